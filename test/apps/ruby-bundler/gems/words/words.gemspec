Gem::Specification.new do |spec|
  spec.name = "words"
  spec.version = "1.0.0"
  spec.summary = "Words"
  spec.authors = ["us"]
  spec.files = ["lib/words.rb"]
end
