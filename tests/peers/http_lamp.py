"""A lamp behind HTTP, served by the standard library: `http_lamp.py PORT`; GET and PUT of `/lamps/lamp-1`, a JSON object."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pilotage.testing.peers import obey_lines

PATH = "/lamps/lamp-1"


class Lamp(ThreadingHTTPServer):
    """Its state, and what it sends in place of it once it is garbled."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.state: dict[str, Any] = {"level": 0, "quality": "good"}
        self.garbage: list[bytes] = []

    async def obey(self, what: str, _point: str, value: Any) -> Any:
        match what:
            case "held":
                return self.state["level"]
            case "tell":
                self.state = {"level": value, "quality": "good"}
            case "flood":
                for each in value:
                    self.state = {"level": each, "quality": "good"}
            case "distrust":
                self.state = {**self.state, "quality": "bad"}
            case "garbage":
                self.garbage = [b"", b"{", b"[]", b'{"level": "bright"}', b"\xff\xfe"]
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers with the state, in one piece."""

    server: Lamp
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        garbage = self.server.garbage
        self.answer(garbage.pop(0) if garbage else json.dumps(self.server.state).encode())

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.state = {"level": json.loads(body)["level"], "quality": "good"}
        self.answer(b"{}")

    def answer(self, body: bytes) -> None:
        self.send_response(200 if self.path == PATH else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: the output is for answers."""


if __name__ == "__main__":
    lamp = Lamp(int(sys.argv[1]))
    threading.Thread(target=lamp.serve_forever, daemon=True).start()
    asyncio.run(obey_lines(lamp.obey))
