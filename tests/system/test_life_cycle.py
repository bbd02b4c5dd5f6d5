"""The life of the engine under a service manager: ready, alive, reloading, stopping, and ended when it is stuck."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.runtime.loop_watch import EXIT_STUCK

HANG = 666
"""A flow at which the plugin of these tests holds the loop for ever."""


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.lines: list[str] = []

    def hears(self, what: str, timeout_s: float = 30.0) -> bool:
        """Return whether a line that begins so comes in time; what is heard before it is kept in `lines`."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                said = self.socket.recv(4096).decode().split("\n")
            except TimeoutError:
                return False
            self.lines += said
            if any(line.startswith(what) for line in said):
                return True
        return False

    def forget(self) -> None:
        """Forget what was said."""
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.recv(4096)
            except BlockingIOError:
                break
        self.lines.clear()


@pytest.fixture
def manager(tmp_path: Path, city: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A service manager that asks for a sign of life every second."""
    path = tmp_path / "notify"
    manager = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    plugin = city.folder / "site" / "pilotage_file" / "plugin.py"
    hangs = f"point, value = line.split()\n                while float(value) == {HANG}: pass"
    plugin.write_text(plugin.read_text().replace("point, value = line.split()", hangs))
    yield manager
    manager.socket.close()


class TestServiceManager:
    def test_whole_life(self, city: Any, manager: Manager) -> None:
        """It is told of readiness, life, a reload and the stop; a process that does not run gives no sign of life."""
        city.start()
        assert manager.hears("READY=1")
        assert manager.hears("STATUS=in service: 1 rules, ")
        assert manager.hears("WATCHDOG=1")
        manager.forget()
        city.process.send_signal(signal.SIGHUP)
        assert manager.hears("RELOADING=1")
        assert manager.hears("READY=1")
        city.process.send_signal(signal.SIGSTOP)
        manager.forget()
        assert not manager.hears("WATCHDOG=1", 1.0)
        city.process.send_signal(signal.SIGCONT)  # it goes on, and is not stuck
        assert manager.hears("WATCHDOG=1")
        began = time.monotonic()
        output = city.stop()
        assert time.monotonic() - began < 5.0
        assert manager.hears("STOPPING=1", 1.0)
        assert "SIGTERM: stopping" in output
        assert list((city.folder / "var" / "snapshots").iterdir())

    def test_not_ready_with_a_mistake(self, city: Any, manager: Manager) -> None:
        """An engine that cannot start never says that it is ready."""
        (city.folder / "rules" / "lighting.yaml").write_text("version: 1\nrules: 5\n")
        assert city.run("run").returncode == 1
        assert not manager.hears("READY=1", 0.2)

    def test_stuck_loop(self, city: Any, manager: Manager) -> None:
        """A plugin that holds the loop ends the process with 70 and all stacks; the next start says so."""
        config = city.folder / "config.yaml"
        config.write_text(config.read_text() + "engine: {stuck_after: 1 s}\n")
        city.start()
        city.report("s-1.flow", HANG)
        output = city.process.communicate(timeout=30)[0]
        assert city.process.returncode == EXIT_STUCK
        assert "pilotage_file/plugin.py" in output
        assert "most recent call first" in output
        (city.folder / "readings").write_text("")
        city.start()
        shown = city.run("status")
        assert "engine.was_stuck" in shown.stdout
        city.stop()


ENDLESS = """

from pilotage.model.entities import Function, Parameter
from pilotage.model.values import NUMBER


def endless(flow):
    while flow == 666:
        pass
    return flow


@hookimpl
def pilotage_functions():
    return [Function("endless", (Parameter("flow", number("veh/h")),), number("veh/h"), endless)]
"""


class TestRuleThatHangs:
    def test_quarantine(self, city: Any) -> None:
        """A rule in which the engine stood still twice is in quarantine from then on, with its alarm; all else goes on."""
        plugin = city.folder / "site" / "pilotage_file" / "plugin.py"
        plugin.write_text(plugin.read_text() + ENDLESS)
        rules = city.folder / "rules" / "lighting.yaml"
        rules.write_text(
            rules.read_text().replace("while: street.flow <", "while: endless(street.flow) <")
        )
        config = city.folder / "config.yaml"
        config.write_text(config.read_text() + "engine: {stuck_after: 0.5 s}\n")
        for _ in range(2):
            (city.folder / "readings").write_text("")
            city.start()
            city.report("s-1.flow", HANG)
            assert "(rule dim-quiet-streets)" in city.process.communicate(timeout=30)[0]
            assert city.process.returncode == EXIT_STUCK
        (city.folder / "readings").write_text("")
        city.start()
        city.until(lambda: "dim-quiet-streets" in city.run("quarantine").stdout)
        city.report("s-1.flow", HANG)
        city.until(lambda: city.ask_point("s-1.flow").point.value == HANG)
        city.stop()


KILL_THREAD = """\
                if float(value) == 667:
                    import ctypes, threading
                    for thread in threading.enumerate():
                        if thread.name == "pilotage-THREAD":
                            end = ctypes.py_object(SystemExit)
                            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), end)
"""


class TestThreads:
    def prepare(self, city: Any, thread: str) -> None:
        """Give the plugin a way to end one of the engine's threads."""
        plugin = city.folder / "site" / "pilotage_file" / "plugin.py"
        line = "point, value = line.split()\n"
        source = plugin.read_text()
        plugin.write_text(source.replace(line, line + KILL_THREAD.replace("THREAD", thread)))

    def test_journal(self, city: Any) -> None:
        """Without the thread of its journal the engine ends itself with all stacks, and the next one goes on."""
        self.prepare(city, "journal")
        city.start()
        city.report("s-1.flow", 667)
        output = city.process.communicate(timeout=30)[0]
        assert city.process.returncode == EXIT_STUCK
        assert "the thread that writes the journal has died" in output
        (city.folder / "readings").write_text("")
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        assert "the thread that writes the journal has died" in city.run("status").stdout
        city.stop()

    def test_history(self, city: Any) -> None:
        """Without the thread of its history it pilots the city, and says what is missing."""
        self.prepare(city, "history")
        city.start()
        city.report("s-1.flow", 667)
        city.until(lambda: "thread.history" in city.run("status").stdout)
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        city.stop()


class TestStop:
    def test_order_that_waits(self, city: Any) -> None:
        """An order whose turn comes after the stop is not waited for: it was not sent, and is told after the next start."""
        plugin = city.folder / "site" / "pilotage_file" / "plugin.py"
        slow = "high=100.0, default=100.0, max_rate=Rate(1, 30.0))"
        source = plugin.read_text().replace("high=100.0, default=100.0)", slow)
        plugin.write_text(source.replace("import Access, Kind,", "import Access, Kind, Rate,"))
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        city.report("s-1.flow", 200)
        city.until(lambda: city.ask_point("s-1.level").wanted == 100.0)
        assert "still under way" not in city.stop()
        city.start()
        assert city.ask_point("s-1.level").wanted == 100.0
        city.stop()


SLOW = """

from pilotage.model.entities import Function, Parameter


def _slow(flow):
    import time
    end = time.process_time() + 0.005
    while time.process_time() < end:
        pass
    return flow


@hookimpl
def pilotage_functions():
    return [Function("slow", (Parameter("x", number("veh/h")),), number("veh/h"), _slow)]
"""


class TestQuarantine:
    def test_costly_rule(self, city: Any) -> None:
        """A rule that costs too much decides nothing any more, with an alarm; the engine goes on, and a replay agrees."""
        plugin = city.folder / "site" / "pilotage_file" / "plugin.py"
        plugin.write_text(plugin.read_text() + SLOW)
        rules = city.folder / "rules" / "lighting.yaml"
        rules.write_text(rules.read_text().replace("street.flow <", "slow(street.flow) <"))
        config = city.folder / "config.yaml"
        config.write_text(config.read_text() + "engine: {rule_budget: 0.5 %}\n")
        city.start()
        flow = iter(range(41, 100_000))

        def is_out() -> bool:
            for _ in range(10):
                city.report("s-1.flow", 41 + next(flow) % 15)
            return any(a.id == "quarantine[dim-quiet-streets]" for a in city.ask(api.ListAlarms()))

        city.until(is_out, "the rule was not put into quarantine", 60.0)
        city.until(lambda: city.sent()[-1] == "s-1.level 100")
        shown = city.run("quarantine")
        assert shown.returncode == 1
        assert "are allowed" in shown.stdout
        (rule,) = city.ask(api.ListRules())
        assert rule.mode == "quarantine"
        released = city.run("quarantine", "dim-quiet-streets", "--release", "--reason", "seen")
        assert (released.returncode, released.stderr) == (0, "")
        city.until(lambda: city.sent()[-1] == "s-1.level 30")
        city.stop()
        replayed = city.run("replay")
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
