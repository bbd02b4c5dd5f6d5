"""The pages as the engine keeps them: a real process, started, told, ended, started again."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.health import Health
from pilotage.runtime.web_process import WebProcess

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
