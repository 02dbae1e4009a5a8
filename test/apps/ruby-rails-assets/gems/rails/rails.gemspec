Gem::Specification.new do |spec|
  spec.name = "rails"
  spec.version = "8.0.0"
  spec.summary = "A stand-in"
  spec.authors = ["us"]
  spec.bindir = "exe"
  spec.executables = ["rails", "rake"]
end
