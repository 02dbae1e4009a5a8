source "https://rubygems.org"
gem "puma"
