import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import greet


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{greet.hello()} from Python {sys.version_info[0]}\n".encode())

    def log_message(self, *args):
        pass


HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
