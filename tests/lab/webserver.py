"""A small real web server: ``webserver.py NAME PORT``. Every page says NAME; standard library only."""

from __future__ import annotations

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{sys.argv[1]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:  # a page a line would be thousands of them
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Server(("", int(sys.argv[2])), _Page).serve_forever()
