require "socket"
require "greet"
require "words"

server = TCPServer.new("0.0.0.0", ENV.fetch("PORT"))
loop do
  client = server.accept
  client.gets("\r\n\r\n")
  body = "#{Greet.hello} with #{Words::WORD}\n"
  client.write "HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
  client.close
end
