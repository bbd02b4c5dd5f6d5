"""An adapter that does wrong on request: what a vendor's plugin may do on its worst day.

`fault:` in the settings names what it does, `after:` (seconds) when; `marker:` is a file that counts how often it was opened, and
with `times:` it behaves well after so many times. With `orders:` it does what stands in that file instead, `NUMBER FAULT`, each
number once, and writes beside it when it began, and when it was up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.hookspecs import hookimpl
from pilotage.model.diagnostics import Finding
from pilotage.model.messages import CallOut, Command, Outcome, Request

if os.environ.get("LANG", "").startswith("rogue_hangs_at_import"):
    time.sleep(3600)
if os.environ.get("LANG", "").startswith("rogue_aborts_at_import"):
    os.abort()

KEPT: list[Any] = []


class Rogue:
    """A connection with points to report and points to command."""

    def __init__(self, settings: ConnectionSettings, site: Site, door: Door) -> None:
        self.options, self.site, self.door = settings.options, site, door
        self.fault = str(settings.options.get("fault", ""))
        self.number = self._count()
        lamps = [f"{entity.id}.level" for entity in site.entities("lamp")]
        self.lamps = [str(p) for p in settings.options.get("lamps", lamps)]
        if self.is_due and self.fault == "open":
            raise ValueError("it cannot be opened")
        if self.is_due and self.fault == "hang in open":
            time.sleep(3600)

    def _count(self) -> int:
        """Return how often it has been opened."""
        marker = self.options.get("marker")
        if not marker:
            return 1
        file = Path(str(marker))
        number = (len(file.read_text()) if file.exists() else 0) + 1
        file.write_text("x" * number)
        return number

    @property
    def is_due(self) -> bool:
        """Whether it does wrong this time."""
        return self.number <= int(self.options.get("times", 1_000_000))

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return all lamps."""
        return self.lamps, []

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Say that it was sent; report it as if the lamp had."""
        if self.is_due and self.fault == "send":
            raise ValueError("it cannot be sent")
        if self.is_due and self.fault == "never answers":
            await asyncio.sleep(3600)
        if isinstance(order, Command):
            point = self.site.point(order.point)
            if point is not None and order.value is not None:
                self.door.report(point, order.value)
        return Outcome.ACKNOWLEDGED

    async def run(self) -> None:
        """Be up, then do wrong."""
        if self.is_due and self.fault == "start":
            raise ValueError("it cannot be started")
        self.door.connected("rogue")
        if "orders" in self.options:
            await self._obey(Path(str(self.options["orders"])))
        await asyncio.sleep(float(self.options.get("after", 0.2)))
        if self.is_due and self.fault:
            act = FAULTS.get(self.fault)
            if act is not None:
                done = act(self)
                if asyncio.iscoroutine(done):
                    await done
        await asyncio.Event().wait()

    async def _obey(self, orders: Path) -> None:
        """Do what a file says, as soon as it says it."""
        with orders.with_suffix(".log").open("a", buffering=1) as log:
            log.write(f"up {time.time()}\n")
            while True:
                number, _, fault = orders.read_text().partition(" ")
                done = orders.with_suffix(".done")
                if fault and (not done.exists() or done.read_text() != number):
                    done.write_text(number)
                    log.write(f"{fault.strip()} {time.time()}\n")
                    began = FAULTS[fault.strip()](self)
                    if asyncio.iscoroutine(began):
                        most_s = self.options.get("seconds", 10.0) if fault in ENDLESS else 60.0
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(began, float(most_s))
                await asyncio.sleep(0.02)


def _raise(_: Rogue) -> None:
    raise ValueError("a mistake of the plugin")


async def _callback(_: Rogue) -> None:
    def fail() -> None:
        raise ValueError("a mistake in a callback")

    for number in range(50):
        asyncio.get_running_loop().call_later(number * 0.01, fail)
    await asyncio.sleep(0.6)
    raise ConnectionError("its callbacks have failed")


def _spin(_: Rogue | None) -> None:
    while True:
        pass


async def _flood(rogue: Rogue) -> None:
    points = [p for lamp in rogue.lamps if (p := rogue.site.point(lamp)) is not None]
    for number in range(10_000_000):
        rogue.door.report(points[number % len(points)], float(number % 101))
        if number % 5_000 == 0:
            await asyncio.sleep(0)


async def _garbage(_: Rogue) -> None:
    for descriptor in _sockets():
        for _turn in range(64):
            os.write(descriptor, os.urandom(64))
    await asyncio.sleep(3600)


async def _close(_: Rogue) -> None:
    for descriptor in _sockets():
        os.close(descriptor)
    await asyncio.sleep(3600)


def _sockets() -> list[int]:
    """Return the descriptors of this process that are sockets."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):  # noqa: PTH115
                found.append(int(name))
        except OSError:
            continue
    return found


async def _leak(rogue: Rogue) -> None:
    while True:
        KEPT.append(bytearray(4_000_000))
        rogue.door.connected("leaking")
        await asyncio.sleep(0.005)


async def _leak_descriptors(_: Rogue) -> None:
    while True:
        KEPT.append(os.open("/dev/null", os.O_RDONLY))
        if len(KEPT) % 64 == 0:
            await asyncio.sleep(0.001)


async def _lie(rogue: Rogue) -> None:
    lies: list[Any] = [
        object(), {"lat": "x"}, [1, [2]], float("nan"), 10**400, "x" * 100_000, b"\xff", None, {1, 2}, 1j, lambda: 0
    ]  # fmt: skip
    while True:
        for lamp in rogue.lamps:
            point = rogue.site.point(lamp)
            for lie in lies:
                rogue.door.report(point, lie)  # type: ignore[arg-type]
        await asyncio.sleep(0.02)


def _allocate(_: Rogue) -> None:
    KEPT.append(bytearray(10_000_000_000))


def _crash(_: Rogue) -> None:
    ctypes.string_at(0)


async def _thread(_: Rogue) -> None:
    threading.Thread(target=_spin, args=(None,), daemon=True).start()


FAULTS: dict[str, Callable[[Rogue], Any]] = {
    "raise": _raise,
    "callback": _callback,
    "spin": _spin,
    "sleep": lambda rogue: time.sleep(float(rogue.options.get("hold", 10.0))),
    "abort": lambda _: os.abort(),
    "exit": lambda _: os._exit(3),
    "crash": _crash,
    "allocate": _allocate,
    "flood": _flood,
    "descriptors": _leak_descriptors,
    "close": _close,
    "lie": _lie,
    "garbage": _garbage,
    "leak": _leak,
    "thread": _thread,
}


ENDLESS = ("flood", "lie")
"""What goes on until somebody ends it, and hurts nobody."""


class RogueFactory:
    """Opens rogues."""

    name = "rogue"

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Find nothing wrong, unless checking is what goes wrong."""
        if settings.options.get("fault") == "hang in check":
            time.sleep(3600)
        return []

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        """Return a rogue."""
        return Rogue(settings, site, door)


@hookimpl
def pilotage_adapters() -> list[AdapterFactory]:
    """Return the factory of `adapter: rogue`."""
    return [RogueFactory()]
