defmodule Shop do
  use Application

  def start(_type, _args) do
    port = String.to_integer(System.fetch_env!("PORT"))
    options = [:binary, packet: :http_bin, active: false, reuseaddr: true]
    {:ok, listener} = :gen_tcp.listen(port, options)
    Task.start_link(fn -> serve(listener) end)
  end

  defp serve(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)
    read_head(socket)
    body = "hello from Elixir #{System.version()}\n"
    head = "HTTP/1.1 200 OK\r\ncontent-length: #{byte_size(body)}\r\nconnection: close\r\n\r\n"
    :gen_tcp.send(socket, head <> body)
    :gen_tcp.close(socket)
    serve(listener)
  end

  defp read_head(socket) do
    case :gen_tcp.recv(socket, 0) do
      {:ok, :http_eoh} -> :ok
      {:ok, _line} -> read_head(socket)
      {:error, _reason} -> :ok
    end
  end
end
