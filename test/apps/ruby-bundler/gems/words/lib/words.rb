module Words
  WORD = "gems"
end
