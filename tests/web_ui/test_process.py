"""The pages as the engine keeps them: a real process, started, told, ended, started again."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.health import Health
from pilotage.runtime.web_process import WebProcess
from pilotage_web.place import address_of

WITHIN_S = 20.0


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not look():
            await asyncio.sleep(0.02)


def status_of(url: str, path: str = "/accessibility") -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A site with pages, on a free port."""
    config = tmp_path / "config.yaml"
    (tmp_path / "rules").mkdir()
    config.write_text(
        "site: {name: Dijon, position: [47.32, 5.04]}\n"
        "web: {listen: '127.0.0.1:0', outlive: 1 min}\n"
    )
    return load_settings(config, {})


@pytest.fixture
async def web(settings: Settings) -> AsyncIterator[WebProcess]:
    """Its pages, which listen."""
    web = WebProcess(Health())
    await web.start(settings)
    await until(lambda: web.url)
    yield web
    await web.stop()


class TestLife:
    async def test_answers_without_an_engine(self, web: WebProcess) -> None:
        """The pages are there although no engine answers yet."""
        assert await asyncio.to_thread(status_of, web.url) == 200

    async def test_says_where(self, settings: Settings, web: WebProcess) -> None:
        """While they listen the command line knows where, whatever the configuration says."""
        folder = settings.storage.path / "web"
        await until(lambda: address_of(folder))
        assert address_of(folder) == web.url
        await web.stop()
        assert address_of(folder) == ""

    async def test_none_without_settings(self, settings: Settings) -> None:
        """A site without `web:` has no such process."""
        settings.file.write_text("site: {name: Dijon, position: [47.32, 5.04]}\n")
        web = WebProcess(Health())
        await web.start(load_settings(settings.file, {}))
        assert web.pid == 0
        await web.stop()

    async def test_killed(self, web: WebProcess) -> None:
        """Pages that end by themselves are started again, and the health report says so meanwhile."""
        first, health = web.pid, web._health
        os.kill(first, signal.SIGKILL)
        await until(lambda: health.finding("web.down"))
        await until(lambda: web.url and web.pid not in (0, first))
        assert health.finding("web.down") is None
        assert await asyncio.to_thread(status_of, web.url) == 200

    async def test_stopped(self, web: WebProcess) -> None:
        """They end with the engine, at once."""
        pid = web.pid
        async with asyncio.timeout(2.0):
            await web.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    async def test_left_behind(self, settings: Settings, web: WebProcess) -> None:
        """Pages of an engine that died go on, until those of the next one take their place."""
        old, process = web.pid, web._process
        assert process is not None and process.stdin is not None
        assert web._keeping is not None
        process.stdin.close()  # as when our process has gone
        await asyncio.sleep(0.3)
        assert await asyncio.to_thread(status_of, web.url) == 200
        following = WebProcess(Health())
        await following.start(settings)
        await until(lambda: following.url)
        assert following.pid != old
        assert await process.wait() == 0
        await web.stop()
        await following.stop()

    async def test_changed_settings(self, settings: Settings, web: WebProcess) -> None:
        """A reload that changes them starts them anew; one that does not leaves them alone."""
        first = web.pid
        await web.exchange(settings)
        assert web.pid == first
        settings.file.write_text(settings.file.read_text().replace("Dijon", "Metz"))
        await web.exchange(load_settings(settings.file, {}))
        await until(lambda: web.url)
        assert web.pid not in (0, first)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, secret


class TestBeyondThisMachine:
    async def test_own_certificate(self, settings: Settings, tmp_path: Path) -> None:
        """Pages with a certificate speak TLS, tell browsers to stay with it, and mark their cookies."""
        chain, key = certificate(tmp_path)
        settings.file.write_text(
            settings.file.read_text().replace(
                "web: {", f"web: {{certificate: {chain}, key: {key}, "
            )
        )
        web = WebProcess(Health())
        await web.start(load_settings(settings.file, {}))
        await until(lambda: web.url)
        try:
            assert web.url.startswith("https://127.0.0.1:")
            context = ssl.create_default_context(cafile=str(chain))
            async with httpx.AsyncClient(verify=context, base_url=web.url) as client:
                answer = await client.get("/accessibility")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"].startswith("max-age=")
        finally:
            await web.stop()

    async def test_proxy(self, settings: Settings) -> None:
        """Behind a proxy the name of the browser's address counts, not that of where they listen."""
        text = settings.file.read_text().replace(
            "web: {",
            "web: {behind_proxy: true, trusted: [127.0.0.1], address: 'https://city.example', ",
        )
        settings.file.write_text(text)
        web = WebProcess(Health())
        await web.start(load_settings(settings.file, {}))
        await until(lambda: web.url)
        try:
            assert web.url == "https://city.example"
            (port,) = [c.laddr.port for c in psutil.Process(web.pid).net_connections("tcp")]
            there = f"http://127.0.0.1:{port}/accessibility"
            told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
            async with httpx.AsyncClient() as client:
                ours = await client.get(there, headers={"Host": "city.example", **told})
                other = await client.get(there)
            assert (ours.status_code, other.status_code) == (200, 421)
        finally:
            await web.stop()
