"""Traces: readings, decisions and commands as spans, at a collector that is a server of its own."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)


class Collector:
    """Takes traces over HTTP, as a collector of OpenTelemetry does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                bodies.append(body)
                self.send_response(200)
                self.end_headers()

            def log_request(self, code: Any = "-", size: Any = "-") -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"

    @property
    def spans(self) -> list[Any]:
        """Return every span that has come."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def attributes(span: Any) -> dict[str, Any]:
    """Return the plain attributes of a span."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


class TestTraces:
    def test_reading_to_command(self, city: Any, collector: Collector) -> None:
        """One trace leads from the reading over the decision to the command and its end; a person is not named."""
        config = city.folder / "config.yaml"
        config.write_text(
            f"{config.read_text()}traces:\n  endpoint: {collector.address}\n  sample: 100 %\n"
        )
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        order = ("override", "s-2.level", "80 %", "--for", "2h", "--reason", "x", "--person", "ada")
        assert city.run(*order).returncode == 0
        city.until(lambda: city.sent()[-1] == "s-2.level 80")
        city.stop()
        spans = collector.spans
        by_id = {span.span_id: span for span in spans}
        (command,) = (
            s for s in spans if attributes(s).get("pilotage.because", "").startswith("dim")
        )
        decision = by_id[command.parent_span_id]
        reading = by_id[decision.parent_span_id]
        assert [s.name for s in (command, decision, reading)] == ["command", "decision", "reading"]
        assert reading.parent_span_id == b""
        assert len({s.trace_id for s in (command, decision, reading)}) == 1
        assert attributes(command)["pilotage.point"] == "s-1.level"
        assert attributes(command)["pilotage.outcome"] == "done"
        assert (
            reading.start_time_unix_nano
            <= decision.start_time_unix_nano
            <= decision.end_time_unix_nano
            <= command.end_time_unix_nano
        )
        assert len([s for s in spans if s.name == "command"]) == 2
        assert not any(b"ada" in body for body in collector.bodies)

    def test_off(self) -> None:
        """Unless it is asked for, nothing of it is loaded."""
        code = (
            "import sys, pilotage.service; sys.exit(any('opentelemetry' in m for m in sys.modules))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_collector_is_gone(self, city: Any, collector: Collector) -> None:
        """A collector that does not answer holds nothing up: commands leave, and a stop takes no longer."""
        address = collector.address.replace("127.0.0.1", "127.0.0.2")
        config = city.folder / "config.yaml"
        config.write_text(f"{config.read_text()}traces:\n  endpoint: {address}\n  sample: 100 %\n")
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        assert "stopping" in city.stop()
