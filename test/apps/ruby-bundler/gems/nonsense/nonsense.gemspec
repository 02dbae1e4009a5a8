Gem::Specification.new do |spec|
  spec.name = "nonsense"
  spec.version = "1.0.0"
  spec.summary = "Nonsense"
  spec.authors = ["us"]
end
