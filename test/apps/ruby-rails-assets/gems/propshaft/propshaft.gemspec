Gem::Specification.new do |spec|
  spec.name = "propshaft"
  spec.version = "8.0.0"
  spec.summary = "A stand-in"
  spec.authors = ["us"]
end
