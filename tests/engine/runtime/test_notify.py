"""What the service manager is told: over a path or an abstract name, and nothing when nobody listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.runtime.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's end."""
    address = str(tmp_path / "notify") if request.param == "path" else f"\0pilotage-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.bind(address)
        way.settimeout(5.0)
        yield way


def address_of(manager: socket.socket) -> str:
    """Return the address as the environment has it."""
    name = manager.getsockname()
    return "@" + name[1:].decode() if isinstance(name, bytes) else str(name)


def heard(manager: socket.socket) -> list[str]:
    """Return the lines of the next message."""
    return manager.recv(4096).decode().split("\n")


class TestMessages:
    async def test_in_order(self, manager: socket.socket) -> None:
        """A start, a reload and a stop are told as sd_notify(3) has them."""
        notifier = Notifier(address_of(manager))
        notifier.ready()
        assert heard(manager) == ["READY=1"]
        async with notifier.reloading():
            reloading, moment = heard(manager)
            assert reloading == "RELOADING=1"
            assert moment.removeprefix("MONOTONIC_USEC=").isdigit()
        assert heard(manager) == ["READY=1"]
        notifier.stopping()
        assert heard(manager) == ["STOPPING=1", "STATUS=stopping"]

    def test_status_once(self, manager: socket.socket) -> None:
        """A status is said when it is another, in one line whatever it holds."""
        notifier = Notifier(address_of(manager))
        for text in ("lamps up", "lamps up", "lamps\nREADY=1"):
            notifier.status(text)
        assert heard(manager) == ["STATUS=lamps up"]
        assert heard(manager) == ["STATUS=lamps READY=1"]

    def test_signs_of_life(self, manager: socket.socket) -> None:
        """Signs of life are given at the pace that is asked for, however often there would be one."""
        notifier = Notifier(address_of(manager), 600.0)
        for _ in range(100):
            notifier.alive()
        notifier.ready()
        assert [heard(manager), heard(manager)] == [["WATCHDOG=1"], ["READY=1"]]


class TestNobody:
    def test_no_address(self) -> None:
        """Without a service manager nothing happens."""
        notifier = Notifier.of_environment({})
        notifier.ready()
        notifier.alive()

    def test_nobody_there(self, tmp_path: Path) -> None:
        """A service manager that is gone stops nothing."""
        Notifier(str(tmp_path / "gone")).ready()


class TestEnvironment:
    def test_taken_out(self) -> None:
        """What the environment says is read once, and is not there for the processes of plugins."""
        environ = {
            "NOTIFY_SOCKET": "@x",
            "WATCHDOG_USEC": "3000000",
            "WATCHDOG_PID": str(os.getpid()),
            "LANG": "C",
        }
        notifier = Notifier.of_environment(environ)
        assert notifier._pause_s == 1.0
        assert environ == {"LANG": "C"}

    def test_of_another(self) -> None:
        """A watchdog that is asked of another process is not ours."""
        environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
        assert Notifier.of_environment(environ)._pause_s == 0.0
