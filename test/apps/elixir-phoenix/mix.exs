defmodule Shop.MixProject do
  use Mix.Project

  def project do
    [app: :shop, version: "1.0.0", elixir: "~> 1.15", aliases: aliases(), deps: deps()]
  end

  defp deps do
    [
      {:phoenix, "~> 1.7.0"},
      {:bandit, "~> 1.5"}
    ]
  end

  defp aliases do
    ["assets.deploy": ["phx.digest"]]
  end
end
