"""A vendor's server in a process of its own: `peer.py PORT [CERTIFICATE KEY]`. It has lamps, and a mode for each path.

GET and PUT of `/lamps/ID` read and set a level; `POST /_mode` says how a path behaves from now on; `GET /_log` tells what was asked.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

levels: dict[str, Any] = {"lamp-1": 10.0, "lamp-2": 20.0, "lamp-3": 30.0}
modes: dict[str, str] = {}
asked: list[dict[str, Any]] = []
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path == "/_mode":
            modes.update(json.loads(body))
            self.answer(204)
            return
        if self.path == "/_log":
            self.answer(200, json.dumps(asked).encode())
            return
        with lock:
            asked.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "body": body.decode("latin-1"),
                    "headers": dict(self.headers.items()),
                    "time": time.time(),
                }
            )
        self.behave(modes.get(self.path.partition("?")[0], "ok"), body)

    def behave(self, mode: str, body: bytes) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        word, _, rest = mode.partition(":")
        match word:
            case "status":
                self.answer(int(rest), b'{"error": "no"}')
            case "redirect":
                self.answer(302, Location=rest)
            case "hang":
                self.set(name, body)
                time.sleep(float(rest))
                self.answer(200, b"{}")
            case "close":
                self.set(name, body)
                self.close_connection = True
                self.connection.close()
            case "truncated":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"level": 5')
                self.close_connection = True
            case "huge":
                self.answer(200, b" " * 1_000_000)
            case "endless":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for _ in range(int(rest)):
                    self.wfile.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
                self.close_connection = True
            case "raw":
                self.answer(200, rest.encode("latin-1"))
            case "noise":
                self.wfile.write(b"\x00\xff nonsense \r\n\r\n")
                self.close_connection = True
            case "etag":
                if self.headers.get("If-None-Match") == '"one"':
                    self.answer(304)
                else:
                    self.answer(200, json.dumps({"level": levels[name]}).encode(), ETag='"one"')
            case _:
                self.set(name, body)
                if name == "all":
                    found = [{"id": key, "level": value} for key, value in levels.items()]
                    self.answer(200, json.dumps({"items": found}).encode())
                elif name == "dispatch":
                    self.answer(200, b'{"status": "ok", "why": "on its way"}')
                else:
                    self.answer(200, json.dumps({"level": levels.get(name)}).encode())

    def set(self, name: str, body: bytes) -> None:
        if self.command != "GET" and name in levels and body:
            levels[name] = json.loads(body)["level"]

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815


def main(port: str, *files: str) -> None:
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
