import Config
config :shop, cdn: System.get_env("CDN_URL")
