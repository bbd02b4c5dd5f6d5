"""OPC UA and Modbus servers that freeze, die and come back, in all orders and at once: values return, no write is late or twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.city import City, free_port, temporary_folder, under_load
from tests.faults.figures import Figure, Size
from tests.faults.records import Commands, commands, lines, settled

from pilotage import api

GOALS = ("G6",)
STREETS: Final = 4  # of each server
BACK_S: Final = {
    Size.LONG: 3.0,
    Size.SHORT: 20.0,
}  # the short form runs on machines that do much else
FRESH_S: Final = 1.2
LOOK_S: Final = 0.03
SETTLE_S: Final = 25.0
# Shorter than the deadline of a command: what a server that was frozen for longer has in its own buffer, nobody can take back.
LONGEST_FREEZE_S: Final = 4.0
FREEZE, THAW, KILL, START = "freeze", "thaw", "kill", "start"
WAYS: Final = (
    (FREEZE, THAW),
    (KILL, START),
    (FREEZE, KILL, START),
    (FREEZE, THAW, KILL, START),
    (KILL, START, FREEZE, THAW),
    (FREEZE, THAW, FREEZE, THAW),
    (KILL, START, KILL, START),
)
SHORT: Final = (((FREEZE, THAW), (KILL, START)), ((KILL, START), (FREEZE, THAW)))
LONG_ROUNDS: Final = 25

Ways = tuple[tuple[str, ...], tuple[str, ...]]

CONNECTIONS: Final = """\
  junctions:
    adapter: opcua
    url: "opc.tcp://127.0.0.1:{opcua}"
    security: none
    publishing: 0.2
    points:
{opcua_points}
  cabinet:
    adapter: modbus
    host: 127.0.0.1
    port: {modbus}
    poll: 300 ms
    points:
{modbus_points}
"""
OPCUA_POINT: Final = """\
      - entity: {street}
        read: {{points: {{flow: "ns=2;s={street}.Flow", level: "ns=2;s={street}.Level"}}}}
        write: {{point: level, node: "ns=2;s={street}.Level"}}
"""
MODBUS_POINT: Final = """\
      - entity: {street}
        unit_id: 1
        points: {{flow: {{input: {address}}}, level: {{holding: {address}, scale: 0.01}}}}
"""


@dataclass
class Seen:
    """What was seen from outside."""

    faults: Counter[str] = field(default_factory=Counter)
    back_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    never: list[str] = field(default_factory=list)
    back_within_s: float = BACK_S[Size.LONG]
    slow: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    looks_while_down: int = 0
    orders: int = 0


class Server:
    """One server as a process, on one port for all its lives."""

    def __init__(self, protocol: str, connection: str, folder: Path, first: int) -> None:
        self.protocol, self.connection = protocol, connection
        self.port = free_port()
        self.log = folder / f"{protocol}.log"
        self.streets = [f"s-{number}" for number in range(first, first + STREETS)]
        self._words = [
            *(sys.executable, "-m", "tests.faults.servers", protocol),
            *(str(self.port), str(self.log), str(first), str(STREETS)),
        ]
        self._process = self._started()

    def do(self, step: str) -> None:
        """Do one step; `start` returns when the server can be reached."""
        if step == START:
            self._process.wait()
            self._process = self._started()
        else:
            number = {FREEZE: signal.SIGSTOP, THAW: signal.SIGCONT, KILL: signal.SIGKILL}[step]
            self._process.send_signal(number)

    def _started(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
        process = subprocess.Popen(
            self._words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", self.protocol
        process.stdout.close()
        return process

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Harm both servers under load, and compare what they wrote down with the journal."""
    rounds: list[Ways] = list(SHORT) if size is Size.SHORT else _drawn()
    with temporary_folder() as folder, _servers(folder) as servers:
        seen, found, at_the_end = asyncio.run(
            _suffer(folder, servers, rounds, Seen(back_within_s=BACK_S[size]), say)
        )
        writes = [line for server in servers for line in lines(server.log)]
    return _figures(seen, found, at_the_end, writes)


def _drawn() -> list[Ways]:
    rounds = list(itertools.product(WAYS, WAYS))
    random.Random("servers").shuffle(rounds)
    return rounds[:LONG_ROUNDS]


@contextmanager
def _servers(folder: Path) -> Iterator[list[Server]]:
    servers = [
        Server("opcua", "junctions", folder, 0),
        Server("modbus", "cabinet", folder, STREETS),
    ]
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


def _connections(servers: list[Server]) -> str:
    opcua, modbus = servers
    return CONNECTIONS.format(
        opcua=opcua.port,
        modbus=modbus.port,
        opcua_points="".join(OPCUA_POINT.format(street=s) for s in opcua.streets),
        modbus_points="".join(
            MODBUS_POINT.format(street=s, address=at) for at, s in enumerate(modbus.streets)
        ),
    )


async def _suffer(
    folder: Path,
    servers: list[Server],
    rounds: list[Ways],
    seen: Seen,
    say: Callable[[str], None],
) -> tuple[Seen, Commands, Commands]:
    """Do every round on both servers at once, under load; return what was seen, and what the journal says then and at the end.

    An override that ends between the two still has something sent.
    """
    rng = random.Random("pauses")
    city = City(folder, _connections(servers), 2 * STREETS)
    try:
        await asyncio.to_thread(city.start)
        async with api.AsyncClient(city.socket) as client:
            watches = [_Watch(client, server, seen) for server in servers]
            await asyncio.gather(*(watch.until_right("start") for watch in watches))
            async with under_load(_orders(city, seen)):
                for ways in rounds:
                    pairs = zip(watches, ways, strict=True)
                    await asyncio.gather(*(_harm(watch, way, rng) for watch, way in pairs))
        say(f"{seen.faults.total()} faults done, {seen.orders} orders of people meanwhile")
        for text in (*seen.never, *seen.slow, *seen.stale[:5]):
            say(text)
        found = await settled(city.journal, SETTLE_S)
        await asyncio.to_thread(city.stop)
    finally:
        city.kill()
    return seen, found, commands(city.journal)


async def _harm(watch: _Watch, way: tuple[str, ...], rng: random.Random) -> None:
    """Do the steps of one server with pauses, and wait until its values are right again."""
    for step in way:
        await asyncio.to_thread(watch.server.do, step)
        if step in (FREEZE, KILL):
            watch.seen.faults[f"{step} {watch.server.protocol}"] += 1
            pause = rng.uniform(0.3, LONGEST_FREEZE_S if rng.random() < 0.3 else 1.5)
            await watch.look_for(pause)
        else:
            await watch.until_right(f"{step} {watch.server.protocol}")
            await watch.look_for(rng.uniform(0.0, 0.5))


async def _orders(city: City, seen: Seen) -> None:
    """Have people override lamps all the time; no level is asked for twice at one lamp."""
    rng = random.Random("orders")
    async with api.AsyncClient(city.socket) as client:
        for number in itertools.count():
            order = api.SetOverride(
                point=f"s-{number % (2 * STREETS)}.level",
                value=round(1.0 + number % 9_800 / 100, 2),
                for_s=rng.uniform(0.5, 3.0),
                person="night desk",
                reason="fault suite",
            )
            seen.orders += (await client.ask(order)).taken
            await asyncio.sleep(0.1)


class _Watch:
    """Looks at one connection through the control socket."""

    def __init__(self, client: api.AsyncClient, server: Server, seen: Seen) -> None:
        self.server = server
        self.seen = seen
        self._client = client

    async def look_for(self, seconds: float) -> None:
        """Look, and go on looking, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self._look()
            await asyncio.sleep(LOOK_S)

    async def until_right(self, what: str) -> None:
        """Wait until every flow has a fresh value and every level is known."""
        began = time.monotonic()
        while not await self._look():
            if time.monotonic() - began > 30.0:
                self.seen.never.append(f"{what}: no values after 30 s")
                return
            await asyncio.sleep(LOOK_S)
        took = time.monotonic() - began
        if what != "start":
            self.seen.back_s[self.server.protocol].append(took)
            if took > self.seen.back_within_s:
                self.seen.slow.append(f"{what}: values after {took:.2f} s")

    async def _look(self) -> bool:
        """Return whether values are right; while the connection is down, none may be there."""
        link = await self._link()
        found = (await self._client.ask(api.ListPoints(kind="fault_street"))).points
        bound = {f"{street}.{name}" for street in self.server.streets for name in ("flow", "level")}
        points = [point for point in found if point.id in bound]
        if link.state != "up":
            again = await self._link()
            if again.state == link.state and again.since == link.since:
                self.seen.looks_while_down += 1
                self.seen.stale += [f"{link.name}: {p.id}" for p in points if _is_old(p, link)]
            return False
        flows = [point.age_s for point in points if point.id.endswith("flow")]
        known = all(point.value is not None for point in points)
        return known and all(age is not None and age < FRESH_S for age in flows)

    async def _link(self) -> api.Connection:
        found = (await self._client.ask(api.GetStatus())).connections
        return next(link for link in found if link.name == self.server.connection)


def _is_old(point: api.Point, link: api.Connection) -> bool:
    """Whether a point has a value from before the loss; one that is read while the link is being made is of now."""
    return point.value is not None and (point.time is None or point.time < link.since)


# ── the figures ──────────────────────────────────────────────────────────────────────────────


def _figures(
    seen: Seen, found: Commands, at_the_end: Commands, writes: list[dict[str, object]]
) -> list[Figure]:
    twice, late, strange = _wrong(at_the_end, writes)
    count = seen.faults.total()
    times = [took for each in seen.back_s.values() for took in each] or [float("inf")]
    how = ", ".join(f"{number} {kind}" for kind, number in sorted(seen.faults.items()))
    each = "; ".join(
        f"{protocol} median {statistics.median(took):.2f} s, {max(took):.2f} s at most"
        for protocol, took in sorted(seen.back_s.items())
    )
    ends = ", ".join(f"{number} {end}" for end, number in found.outcomes.most_common())
    return [
        Figure(
            "G6",
            f"{count} server faults ({how})",
            f"data again within {seen.back_within_s:g} s",
            each,
            max(times) <= seen.back_within_s and not seen.never,
        ),
        Figure(
            "G6",
            f"{len(writes)} writes that the servers carried out",
            "0 late, 0 twice, 0 without a command",
            f"{late} late, {twice} twice, {strange} without a command",
            bool(writes) and not (twice or late or strange),
        ),
        Figure(
            "G6",
            "commands to these servers",
            "each has one end",
            f"{len(found.sent)} commands: {ends}; {len(found.unclassified)} without one end",
            bool(found.sent) and not found.unclassified,
        ),
        Figure(
            "G6",
            "values while a server is away",
            "0 points with a value",
            f"{len(seen.stale)} in {seen.looks_while_down} looks",
            bool(seen.looks_while_down) and not seen.stale,
        ),
    ]


def _wrong(found: Commands, writes: list[dict[str, object]]) -> tuple[int, int, int]:
    """Return how many writes were twice, late, or of no command.

    Each command allows one write of its value, up to its deadline.
    """
    allowed: dict[tuple[str, float], list[tuple[float, float]]] = defaultdict(list)
    for id_, command in found.sent.items():
        key = (str(command["point"]).partition(".")[0], round(float(command["value"]), 2))
        allowed[key].append((found.decided_at[id_], float(command["deadline"])))
    twice = late = strange = 0
    for line in sorted(writes, key=lambda line: _number(line, "time")):
        at, key = _number(line, "time"), (str(line["street"]), _number(line, "level"))
        before = [span for span in allowed.get(key, ()) if span[0] <= at]
        if not before:
            twice += key in allowed
            strange += key not in allowed
            continue
        open_ = [span for span in before if at <= span[1]]
        late += not open_
        allowed[key].remove(min(open_ or before, key=lambda span: span[1]))
    return twice, late, strange


def _number(line: dict[str, object], name: str) -> float:
    value = line[name]
    assert isinstance(value, float | int)
    return float(value)
