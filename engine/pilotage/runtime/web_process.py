"""The pages in a process of their own: started with the engine, started again when it ends by itself.

It is told its site by one line on its standard input; the end of that input tells it that we are gone. Nothing that happens in it
can delay a rule: it reaches the engine through the control socket, like anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilotage.model.diagnostics import Severity
from pilotage.runtime.config import Settings
from pilotage.runtime.health import Health

COMMAND: Final = (sys.executable, "-m", "pilotage_web")
FOLDER: Final = "web"
STOP_S: Final = 3.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""After so long without an end the next pause is the first one again."""

log = logging.getLogger("pilotage.web")


def site_of(settings: Settings) -> dict[str, Any]:
    """Return what the web process is told (`pilotage_web.site.Site`)."""
    web, site = settings.web, settings.site
    assert web is not None
    return {
        "name": site.name,
        "language": site.language,
        "time_zone": site.time_zone,
        "position": None
        if site.position is None
        else (site.position.latitude, site.position.longitude),
        "socket": str(settings.control.socket),
        "folder": str(settings.storage.path / FOLDER),
        "host": web.host,
        "port": web.port,
        "address": web.address,
        "certificate": "" if web.certificate is None else str(web.certificate),
        "key": "" if web.key is None else str(web.key),
        "trusted": list(web.trusted),
        "provider": None
        if web.provider is None
        else {**dataclasses.asdict(web.provider), "secret": str(web.provider.secret)},
        "second_factor": web.second_factor,
        "outlive_s": web.outlive_s,
        "map": "" if web.map is None else str(web.map),
        "contact": web.contact,
        "people_key": "" if web.people_key is None else str(web.people_key),
        "posts": [
            {
                "id": post.id,
                "titles": dict(post.titles),
                "trades": list(post.trades),
                "areas": list(post.areas),
                "phone": post.phone,
            }
            for post in settings.posts
        ],
        "log_level": settings.log.level,
        "log_format": settings.log.format,
    }


class WebProcess:
    """Keeps one web process running."""

    def __init__(self, health: Health, command: Sequence[str] = COMMAND) -> None:
        """Prepare it; `start` makes it run."""
        self._health = health
        self._command = command
        self._site: dict[str, Any] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._told = asyncio.Event()
        self.url = ""
        """Where the pages are, once they are there."""

    @property
    def pid(self) -> int:
        """Number of the process, 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    async def start(self, settings: Settings) -> None:
        """Start the process and tell it its site; without `web:` there is none. It listens a moment later."""
        if settings.web is None:
            return
        self._site, self._told = site_of(settings), asyncio.Event()
        self._keeping = asyncio.get_running_loop().create_task(self._keep(), name="web")
        await self._told.wait()

    async def stop(self) -> None:
        """End it in order, by force when it does not go."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        self._health.cleared("web.down")

    async def exchange(self, settings: Settings) -> None:
        """Start it again when its settings have changed."""
        if (site_of(settings) if settings.web is not None else {}) != self._site:
            await self.stop()
            self._site = {}
            await self.start(settings)

    async def _keep(self) -> None:
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_S
        while True:
            began = loop.time()
            why = await self._run()
            if loop.time() - began > STEADY_S:
                pause = FIRST_PAUSE_S
            self._health.raised(
                "web.down",
                f"the pages have ended by themselves ({why}); they are started again",
                "see the engine's log for what they said; the engine pilots the city meanwhile",
                Severity.WARNING,
            )
            log.warning(
                "the pages have ended (%s); again in %g s", why, pause, extra={"event": "web.ended"}
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _run(self) -> str:
        """Run the process until it ends; returns how."""
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the engine, which stops it in order
            )
        except OSError as error:
            self._told.set()
            return error.strerror or str(error)
        try:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(msgspec.json.encode(self._site) + b"\n")
                await process.stdin.drain()
            self._told.set()
            async for line in process.stdout:
                self._hear(line)
            return f"status {await process.wait()}"
        finally:
            await self._end(process)

    def _hear(self, line: bytes) -> None:
        with contextlib.suppress(msgspec.MsgspecError, KeyError, TypeError):
            self.url = msgspec.json.decode(line)["ready"]
            self._health.cleared("web.down")
            log.info("the pages are at %s", self.url, extra={"event": "web.ready"})

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self.url, self._process = "", None
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
