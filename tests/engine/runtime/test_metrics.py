"""What the engine measures of itself: every metric of the catalogue is there and true, at a door for reading only."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime.config import load_settings, read_settings
from pilotage.runtime.histogram import Histogram
from pilotage.runtime.metrics.catalogue import METRICS
from pilotage.runtime.metrics.instruments import MOST_RULES, OTHERS, Instruments
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


async def ask(port: int, request: str, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write(request.encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


def get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def measured(config: Path, workshop: Any, port: int) -> Any:
    """A service whose metrics are read."""
    config.write_text(config.read_text() + f"metrics: {{listen: '127.0.0.1:{port}'}}\n")
    service = Service(load_settings(config, {}), workshop)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> None:
    """A certificate for 127.0.0.1 and its key, as c.pem and k.pem."""
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
        " -addext subjectAltName=IP:127.0.0.1 -keyout k.pem -out c.pem"
    )
    subprocess.run(words.split(), cwd=tmp_path, check=True, capture_output=True)


async def values(port: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what `/metrics` shows, by name and values of labels."""
    _, text = await ask(port, get("/metrics"))
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestMetrics:
    async def test_catalogue(self, measured: Service, port: int) -> None:
        """What is shown is what the catalogue has: names, types and sentences, and nothing else."""
        _, text = await ask(port, get("/metrics"))
        shown = {
            line.split(" ", 3)[2]: line.split(" ", 3)[3]
            for line in text.splitlines()
            if line.startswith("# TYPE ")
        }
        assert shown == {metric.name: metric.type for metric in METRICS}
        assert all(
            f"# HELP {m.name} {m.help}\n" in text for m in METRICS if m.name[:8] != "process_"
        )

    async def test_labels(self, measured: Service, port: int, eventually: Eventually) -> None:
        """The labels of each sample are those of the catalogue."""
        measured.inbox.put(
            Reading(measured.engine.cells["street-1.flow"], 41.0, Quality.GOOD, time.time())
        )
        await eventually(lambda: measured.instruments.decisions)
        _, text = await ask(port, get("/metrics"))
        known = {metric.name: set(metric.labels) for metric in METRICS}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name if sample.name in known else family.name
                assert set(sample.labels) - {"le"} == known[name], sample.name

    async def test_a_reading_counts(
        self, measured: Service, workshop: Any, port: int, eventually: Eventually
    ) -> None:
        """A reading that becomes a command is seen at each place that it passes."""
        adapter = workshop.factory.opened["lamps"]
        before = await values(port)
        adapter.door.report(adapter.site.point("street-1.flow"), 12)
        adapter.door.report(adapter.site.point("street-1.flow"), "a lot")
        await eventually(lambda: adapter.sent and measured.instruments.decisions)
        await eventually(lambda: measured.health.counters["sent.lamps.acknowledged"])
        after = await values(port)

        def grown(name: str, *labels: str) -> float:
            return after[name, labels] - before.get((name, labels), 0.0)

        assert grown("pilotage_readings_total", "lamps") == 2
        assert grown("pilotage_readings_bad_total", "lamps") == 1
        assert grown("pilotage_orders_total", "lamps", "acknowledged") == 1
        assert grown("pilotage_reading_to_command_seconds_count") == 1
        assert grown("pilotage_decisions_total") == 1
        assert grown("pilotage_inputs_total") >= 2
        assert after["pilotage_tick_seconds_count", ()] == after["pilotage_ticks_total", ()]
        assert after["pilotage_connection_up", ("echo", "lamps")] == 1
        assert after["pilotage_journal_commit_seconds_count", ()] > 0

    async def test_trouble_shows(self, measured: Service, port: int) -> None:
        """A finding is counted by its severity, and takes the engine's soundness away."""
        measured.health.raised("journal.fenced", "another engine writes")
        found = await values(port)
        assert found["pilotage_sound", ()] == 0
        assert found["pilotage_findings", ("error",)] == 1


class TestHealth:
    async def test_well(self, measured: Service, port: int) -> None:
        """An engine that is in service says so."""
        assert (await ask(port, get("/healthz")))[0] == 200
        assert (await ask(port, get("/readyz"))) == (200, "the engine is in service\n")

    async def test_must_be_restarted(self, measured: Service, port: int) -> None:
        """What only a restart mends makes it dead and unready, and says why."""
        measured.health.raised("journal.fenced", "another engine writes to this journal")
        for page in ("/healthz", "/readyz"):
            status, text = await ask(port, get(page))
            assert (status, text) == (503, "another engine writes to this journal\n")

    async def test_unready_is_not_dead(self, measured: Service, port: int) -> None:
        """While it starts or stops it is alive, and not ready."""
        measured._is_ready = False
        assert (await ask(port, get("/healthz")))[0] == 200
        assert (await ask(port, get("/readyz")))[0] == 503


class TestDoor:
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ("POST /metrics HTTP/1.1\r\n\r\n", 405),
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", 404),
            (f"GET / HTTP/1.1\r\nX: {'x' * 20_000}\r\n\r\n", 431),
            ("nonsense\r\n\r\n", 405),
        ],
    )
    async def test_refuses(self, measured: Service, port: int, request_: str, status: int) -> None:
        """What is no question for metrics is refused, and the door stays open."""
        assert (await ask(port, request_))[0] == status
        assert (await ask(port, get("/healthz")))[0] == 200

    async def test_head(self, measured: Service, port: int) -> None:
        """HEAD is answered without a body."""
        assert await ask(port, get("/metrics").replace("GET", "HEAD")) == (200, "")

    async def test_port_in_use(self, config: Path, workshop: Any, port: int) -> None:
        """An address that is in use is a finding; the city is piloted."""
        with socket.create_server(("127.0.0.1", port)):
            config.write_text(config.read_text() + f"metrics: {{listen: '127.0.0.1:{port}'}}\n")
            service = Service(load_settings(config, {}), workshop)
            await service.start()
            finding = service.health.finding("metrics.closed")
            assert finding is not None and str(port) in finding.text
            await service.stop()

    async def test_tls(
        self, config: Path, workshop: Any, port: int, tmp_path: Path, certificate: None
    ) -> None:
        """With a certificate and its key it speaks TLS, and nothing else."""
        config.write_text(
            config.read_text()
            + f"metrics: {{listen: '0.0.0.0:{port}', certificate: c.pem, key: k.pem}}\n"
        )
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        context = ssl.create_default_context(cafile=tmp_path / "c.pem")
        assert (await ask(port, get("/healthz"), context))[0] == 200
        with pytest.raises((ConnectionError, IndexError)):
            await ask(port, get("/healthz"))
        await service.stop()


class TestSettings:
    @pytest.mark.parametrize(
        ("written", "codes"),
        [
            (["listen: 127.0.0.1:9464"], []),
            (["listen: '[::1]:9464'"], []),
            (["listen: 'off'"], []),
            (["listen: 0.0.0.0:9464", "allow_remote: true"], []),
            (["listen: 0.0.0.0:9464"], ["C171"]),
            (["listen: metrics"], ["C170"]),
            (["listen: 127.0.0.1:99999"], ["C170"]),
            (["listen: 127.0.0.1:9464", "key: k.pem"], ["C172"]),
        ],
    )
    def test_findings(self, config: Path, written: list[str], codes: list[str]) -> None:
        """Metrics are read from this machine, over TLS, or where somebody says that it is right."""
        lines = "".join(f"  {line}\n" for line in written)
        config.write_text(f"{config.read_text()}metrics:\n{lines}")
        assert [f.code for f in read_settings(config, {}).findings] == codes

    def test_off(self, config: Path) -> None:
        """Unless it is asked for, nobody listens."""
        assert load_settings(config, {}).metrics.host == ""


class TestCounting:
    def test_histogram(self) -> None:
        """A value counts at its bound and all above; the sum is that of the values."""
        histogram = Histogram((0.1, 1.0))
        for value in (0.05, 0.1, 0.5, 7.0):
            histogram.add(value)
        assert histogram.buckets == [(0.1, 2), (1.0, 3), (float("inf"), 4)]
        assert histogram.total == pytest.approx(7.65)

    def test_rules_without_end(self) -> None:
        """So many rules are counted by name; the others together."""
        found = Instruments()
        for number in range(MOST_RULES + 7):
            found._changed(f"rule-{number}")
        found._changed("rule-0")
        assert found.rules["rule-0"] == 2
        assert found.rules[OTHERS] == 7
        assert len(found.rules) == MOST_RULES + 1
