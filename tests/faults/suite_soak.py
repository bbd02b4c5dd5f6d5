"""A city under a steady load with something going wrong all the time: nothing grows, and the engine is the same process at the end.

`python -m tests.faults.suite_soak --minutes 20 --rate 2000` (or `make soak`) prints the slopes; --seed repeats a run's faults.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
from tests.faults.broker import Broker
from tests.faults.city import City, EngineEnded, free_port, install, temporary_folder, until
from tests.faults.crowd import connect, publish
from tests.faults.figures import Figure, Size
from tests.faults.suite_start import CONNECTION, KINDS, rule_files
from tests.faults.trend import Trend, trend

from pilotage import api

GOALS = ("G20",)

YARD: Final = """\
  yard:
    adapter: mqtt
    isolate: true
    host: 127.0.0.1
    port: {port}
    points:
      - {{kind: boulevard, read: [{{topic: "yard/{{id}}/lux", point: lux, path: $.lux}}]}}
"""
WAL: Final = ("journal.db-wal", "history.db-wal", "audit.db-wal")
MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Soak:
    """How long, how much, and how often something goes wrong."""

    minutes: float
    rate: int
    streets: int
    rules: int
    fault_every_s: float
    sample_every_s: float
    seed: int = 20
    only: str = ""


SOAKS: Final = {
    Size.SHORT: Soak(0.06, 200, 100, 20, 0.3, 0.2),
    Size.LONG: Soak(20.0, 2_000, 5_000, 1_000, 6.0, 2.0),
}


@dataclass(slots=True)
class Seen:
    """What was measured, as (seconds, value) by name, and what was done."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    faults: Counter[str] = field(default_factory=Counter)
    when: list[tuple[float, str]] = field(default_factory=list)
    load: dict[str, int] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    standing: list[str] = field(default_factory=list)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Soak, and judge the slopes; a short form judges only that everything was outlived."""
    soak = SOAKS[size]
    return figures(soak, run(soak, say), judge=size is Size.LONG)


def run(soak: Soak, say: Callable[[str], None]) -> Seen:
    """Run the city under its load and its faults."""
    seen = Seen()
    with temporary_folder() as folder:
        broker = Broker(folder, more="max_queued_messages 0\nmax_queued_bytes 0\n")
        metrics = free_port()
        city = _city(folder, broker.port, metrics, soak)
        try:
            city.start()
            with _load(broker.port, soak, seen):
                _soak(city, broker, metrics, soak, seen, say)
            _afterwards(city, seen)
        except EngineEnded as error:
            seen.trouble.append(str(error)[-300:])
        finally:
            city.kill()
            broker.stop()
        seen.trouble += _tracebacks(city.log.read_text())
    return seen


def _city(folder: Path, port: int, metrics: int, soak: Soak) -> City:
    table = "id\n" + "".join(f"b-{n}\n" for n in range(soak.streets))
    config = (
        "site: {name: Largeville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}\n"
        'inventory: [{file: boulevards.csv, kind: boulevard, id: "{id}"}]\n'
        # So small that the oldest goes while it runs, as in a city after a month.
        "storage: {journal: {most: 60 MB}, snapshot_every: 30 s}\n"
        f'metrics: {{listen: "127.0.0.1:{metrics}"}}\n'
        f"connections:\n{CONNECTION.format(port=port)}{YARD.format(port=port)}"
    )
    more = {**rule_files(soak.rules), "boulevards.csv": table, "config.yaml": config}
    city = City(folder, "", 1, "version: 1\n", more=more)
    install(folder / "site", "boulevards", KINDS)
    return city


@contextmanager
def _load(port: int, soak: Soak, seen: Seen) -> Iterator[None]:
    """Run the sensors and lamps as a process of their own."""
    words = [sys.executable, "-m", "tests.faults.soak_load"]
    words += [str(n) for n in (port, soak.streets, soak.rules, soak.rate)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for line in lines:
                seen.load = json.loads(line)

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        try:
            yield
        finally:
            process.kill()
            reading.join()


def _soak(
    city: City, broker: Broker, metrics: int, soak: Soak, seen: Seen, say: Callable[[str], None]
) -> None:
    """Sample and do wrong by turns until the time is over."""
    assert city.process is not None
    faults = Faults(city, broker, metrics, random.Random(soak.seed), soak.only)
    began = time.monotonic()
    next_fault, next_word = soak.fault_every_s, 60.0
    while (passed := time.monotonic() - began) < soak.minutes * 60.0:
        if city.process.poll() is not None:
            raise EngineEnded(
                f"the engine ended after {passed:.0f} s: {city.log.read_text()[-2000:]}"
            )
        _sample(city, metrics, passed, seen)
        if passed >= next_fault:
            next_fault = passed + soak.fault_every_s
            name = faults.next()
            seen.faults[name] += 1
            seen.when.append((passed, name))
        if passed >= next_word:
            next_word += 60.0
            say(f"{passed / 60.0:.0f} min: {_last(seen)}")
        time.sleep(max(0.0, soak.sample_every_s - (time.monotonic() - began - passed)))


def _sample(city: City, metrics: int, at: float, seen: Seen) -> None:
    """Look at the engine, its children and its files."""
    assert city.process is not None
    process = psutil.Process(city.process.pid)
    seen.pids.add(process.pid)
    with contextlib.suppress(psutil.Error):
        values = {
            "memory, MB": process.memory_info().rss / MB,
            "files": float(process.num_fds()),
            "threads": float(process.num_threads()),
        }
        # The isolated plugin's keeper and its child; one that writes a snapshot comes and goes.
        children = process.children(recursive=True)
        values["children"] = float(len(children))
        values["their memory, MB"] = sum(c.memory_info().rss for c in children) / MB
        for name in WAL:
            file = city.folder / "var" / name
            values[f"{name}, MB"] = file.stat().st_size / MB if file.exists() else 0.0
        values |= _told(metrics)
        for name, value in values.items():
            seen.samples[name].append((at, value))


def _told(metrics: int) -> dict[str, float]:
    """Return what only the engine itself can tell; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=2.0) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found = dict(re.findall(r"^(pilotage_loop_tasks|pilotage_inbox_inputs) (\S+)$", text, re.M))
    return {
        "tasks": float(found["pilotage_loop_tasks"]),
        "inbox": float(found["pilotage_inbox_inputs"]),
    }


def _last(seen: Seen) -> str:
    return ", ".join(f"{name} {some[-1][1]:.4g}" for name, some in seen.samples.items())


def _afterwards(city: City, seen: Seen) -> None:
    """Wait until the field is up again, and take down what the engine still complains of."""
    with contextlib.suppress(AssertionError):
        until(lambda: _up(city), "the connections", 40.0)
    seen.standing = [
        f"{each.code}: {each.text}"
        for each in city.ask(api.GetHealth()).findings
        if each.severity == "error"
    ]


def _up(city: City) -> bool:
    return all(c.state == "up" for c in city.ask(api.GetStatus()).connections)


def _tracebacks(log: str) -> list[str]:
    """Return the last line of each traceback in the engine's log."""
    return [
        found.splitlines()[-1]
        for found in re.findall(r"Traceback \(most.*?\n(?=\S)[^\n]+", log, re.S)
    ]


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────


class Faults:
    """Everything that may go wrong beside and around an engine, in an order that a seed decides."""

    def __init__(
        self, city: City, broker: Broker, metrics: int, dice: random.Random, only: str = ""
    ) -> None:
        self._city, self._broker, self._metrics, self._dice = city, broker, metrics, dice
        self._only = only
        self._bag: list[Callable[[], None]] = []

    def next(self) -> str:
        """Do the next wrong thing and return its name; each comes once before any comes again."""
        if not self._bag:
            self._bag = [
                *(self.broker_freezes, self.broker_dies, self.plugin_dies, self.plugin_freezes),
                *(self.nonsense_at_the_socket, self.many_callers, self.malformed_messages),
                *(self.mistake_in_the_rules, self.other_rules, self.orders, self.slow_scrapers),
                *(self.burst, self.backup),
            ]
            if self._only:
                self._bag = [fault for fault in self._bag if self._only in fault.__name__]
            self._dice.shuffle(self._bag)
        fault = self._bag.pop()
        fault()
        return fault.__name__.replace("_", " ")

    def broker_freezes(self) -> None:
        """Stop the broker in its tracks for some seconds."""
        self._broker.process.send_signal(signal.SIGSTOP)
        time.sleep(self._dice.uniform(0.2, 3.0))
        self._broker.process.send_signal(signal.SIGCONT)

    def broker_dies(self) -> None:
        """Kill the broker, and start it again."""
        self._broker.process.send_signal(self._dice.choice((signal.SIGKILL, signal.SIGTERM)))
        time.sleep(self._dice.uniform(0.1, 2.0))
        self._broker.again()

    def plugin_dies(self) -> None:
        """Kill a process of the isolated plugin."""
        with contextlib.suppress(psutil.Error):
            if found := self._children():
                self._dice.choice(found).kill()

    def plugin_freezes(self) -> None:
        """Stop a process of the isolated plugin; the engine has to find out."""
        with contextlib.suppress(psutil.Error):
            if found := self._children():
                frozen = self._dice.choice(found)
                frozen.suspend()
                time.sleep(self._dice.uniform(0.2, 3.0))
                frozen.resume()

    def _children(self) -> list[Any]:
        assert self._city.process is not None
        return list(psutil.Process(self._city.process.pid).children(recursive=True))

    def nonsense_at_the_socket(self) -> None:
        """Have twenty callers say what no caller should."""
        for _ in range(20):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
                line.settimeout(1.0)
                line.connect(str(self._city.socket))
                line.sendall(self._dice.randbytes(self._dice.randrange(1, 5_000)))

    def many_callers(self) -> None:
        """Have a hundred callers ask something and leave, half of them without hearing the answer."""
        for number in range(100):
            with (
                contextlib.suppress(OSError, api.ApiError),
                api.Client(self._city.socket, 5.0) as client,
            ):
                if number % 2:
                    client.ask(api.GetStatus())

    def malformed_messages(self) -> None:
        """Send what no sensor should."""
        texts = [
            b"",
            b"{",
            b'{"flow": "x"}',
            b'{"flow": 1e999}',
            b"\xff" * 50,
            b'{"flow": -5}',
            b"[" * 300,
        ]
        some = b"".join(
            publish(f"city/b-{self._dice.randrange(50)}/flow", self._dice.choice(texts))
            for _ in range(500)
        )
        with (
            contextlib.suppress(OSError, AssertionError),
            connect(self._broker.port, "mallory") as link,
        ):
            link.sendall(some)
            time.sleep(0.1)

    def mistake_in_the_rules(self) -> None:
        """Reload with a mistake: the old rules go on."""
        file = self._city.folder / "rules" / "part-00000.yaml"
        good = file.read_text()
        file.write_text(good.replace("street.flow", "street.flwo", 1))
        self._reload()
        file.write_text(good)

    def other_rules(self) -> None:
        """Reload with one rule otherwise."""
        file = self._city.folder / "rules" / "part-00000.yaml"
        level = self._dice.randrange(20, 40)
        file.write_text(re.sub(r"to: \d+ %", f"to: {level} %", file.read_text(), count=1))
        self._reload()

    def _reload(self) -> None:
        with (
            contextlib.suppress(OSError, api.ApiError),
            api.Client(self._city.socket, 60.0) as client,
        ):
            client.ask(api.Reload())

    def orders(self) -> None:
        """Have an operator set thirty lamps for a moment."""
        with (
            contextlib.suppress(OSError, api.ApiError),
            api.Client(self._city.socket, 10.0) as client,
        ):
            for _ in range(30):
                point = f"b-{self._dice.randrange(50)}.level"
                client.ask(
                    api.SetOverride(point=point, value=50.0, for_s=5.0, person="ada", reason="soak")
                )

    def slow_scrapers(self) -> None:
        """Open the metrics ten times and say half a sentence."""
        lines = []
        for _ in range(10):
            with contextlib.suppress(OSError):
                line = socket.create_connection(("127.0.0.1", self._metrics), 1.0)
                line.sendall(b"GET /metr")
                lines.append(line)
        time.sleep(0.2)
        for line in lines:
            line.close()

    def burst(self) -> None:
        """Send five thousand readings at once."""
        some = b"".join(
            publish(
                f"city/b-{self._dice.randrange(100)}/flow",
                b'{"flow": %d}' % self._dice.randrange(900),
            )
            for _ in range(5_000)
        )
        with (
            contextlib.suppress(OSError, AssertionError),
            connect(self._broker.port, "burst") as link,
        ):
            link.settimeout(5.0)
            link.sendall(some)

    def backup(self) -> None:
        """Copy everything that is kept, beside the running engine."""
        target = self._city.folder / "backup.tar"
        words = ["backup", str(target), "-c", str(self._city.folder / "config.yaml")]
        program = "import sys; from pilotage.cli import main; sys.exit(main())"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self._city.folder / "site"), *sys.path]),
        }
        subprocess.run(
            [sys.executable, "-c", program, *words],
            env=environment,
            capture_output=True,
            check=False,
        )
        target.unlink(missing_ok=True)


# ── figures ──────────────────────────────────────────────────────────────────────────────────


def figures(soak: Soak, seen: Seen, *, judge: bool) -> list[Figure]:
    """Return the lines of the table; slopes are judged when there was time enough to have one."""
    done = sum(seen.faults.values())
    what = f"{soak.minutes:g} min at {soak.rate:,} readings a second, {done} faults: "
    same = not seen.trouble and len(seen.pids) == 1
    alive = "the same process" if same else "; ".join(seen.trouble) or f"{len(seen.pids)} processes"
    standing = "; ".join(seen.standing) or "none"
    made = [
        Figure("G20", f"{what}the engine", "the same process, no traceback", alive, same),
        Figure("G20", f"{what}errors in its health report afterwards", "none", standing, not seen.standing),
        Figure("G20", f"{what}faults and load", "all kinds", _extent(seen), bool(done and seen.load.get("sent"))),
    ]  # fmt: skip
    for name, some in sorted(seen.samples.items()):
        try:
            found: Trend | None = trend(some)
        except ValueError:
            found = None
        reached = "too short" if found is None else str(found)
        holds = not judge or (found is not None and not found.grows)
        made.append(Figure("G20", f"{what}{name}", "no slope beyond its noise", reached, holds))
    return made


def _extent(seen: Seen) -> str:
    kinds = ", ".join(f"{count} x {name}" for name, count in sorted(seen.faults.items()))
    load = ", ".join(f"{value:,} {name}" for name, value in seen.load.items())
    return f"{load}; {kinds}"


def main() -> int:
    """Soak as the arguments say, print the table, and return 1 when something grew."""
    from tests.faults.__main__ import _print

    long = SOAKS[Size.LONG]
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=long.minutes)
    parser.add_argument("--rate", type=int, default=long.rate, help="readings a second")
    parser.add_argument("--streets", type=int, default=long.streets)
    parser.add_argument("--rules", type=int, default=long.rules)
    parser.add_argument("--fault-every", type=float, default=long.fault_every_s, metavar="SECONDS")
    parser.add_argument(
        "--only",
        default="",
        metavar="WORD",
        help="faults whose name has this word: broker, rules, …",
    )
    parser.add_argument("--seed", type=int, default=long.seed)
    parser.add_argument("--json", type=Path, help="also write every sample here")
    given = parser.parse_args()
    sample = min(long.sample_every_s, given.minutes * 60.0 / 100.0)
    soak = Soak(
        given.minutes,
        given.rate,
        given.streets,
        given.rules,
        given.fault_every,
        sample,
        given.seed,
        given.only,
    )
    began = time.monotonic()
    seen = run(soak, lambda text: print(text, file=sys.stderr, flush=True))
    found = figures(soak, seen, judge=True)
    took = time.monotonic() - began
    _print([(figure, took) for figure in found])
    if given.json:
        given.json.write_text(
            json.dumps(
                {
                    "faults": seen.faults,
                    "when": seen.when,
                    "load": seen.load,
                    "samples": seen.samples,
                }
            )
        )
    return 0 if all(figure.holds for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
