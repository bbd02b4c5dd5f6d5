"""A broker that is killed, stopped, frozen, or out of reach: no order is lost in silence, none is late, none uses an old value."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.broker import Broker, calm, street
from tests.faults.city import City, temporary_folder, under_load
from tests.faults.figures import Figure, Size
from tests.faults.records import Commands, lines, settled

from pilotage import api
from pilotage.testing.proxy import FaultProxy

GOALS = ("G5",)
STREETS: Final = 10
LOOK_S: Final = 0.03
DETECTED_S: Final = 10.0
BACK_S: Final = {
    Size.LONG: 2.0,
    Size.SHORT: 20.0,
}  # the short form runs on machines that do much else
FRESH_S: Final = 1.0  # the street reports ten times a second; older than this is an old value
SETTLE_S: Final = 25.0  # two retries of a command, and its end
SHORT: Final = (
    ("cut", 0.0),
    ("kill", 0.5),
    ("hole", 1.5),
    ("reset", 0.0),
    ("freeze", 1.0),
    ("term", 0.5),
)
KINDS: Final = (
    "kill",
    "term",
    "freeze",
    "freeze",
    "hole",
    "swallow",
    "cut",
    "reset",
    "silent",
    "refuse",
)
LONG_FAULTS: Final = 120

CONNECTION: Final = """\
  field:
    adapter: mqtt
    host: 127.0.0.1
    port: {port}
    points:
      - kind: fault_street
        read:
          - {{topic: "street/{{id}}/flow", point: flow, path: $.flow, time: $.ts}}
          - {{topic: "lamp/{{id}}/state", point: level, path: $.level, time: $.ts}}
        write:
          topic: lamp/{{id}}/set
          point: level
          payload: {{level: "{{value}}", id: "{{command}}", until: "{{deadline}}"}}
"""


@dataclass
class Seen:
    """What was seen from outside during the faults."""

    faults: Counter[str] = field(default_factory=Counter)
    detected_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    undetected: list[str] = field(default_factory=list)
    back_within_s: float = BACK_S[Size.LONG]
    slow: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    looks_while_down: int = 0
    orders: int = 0


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Harm the broker while the engine works, and compare the lamps' log with the journal."""
    faults = list(SHORT) if size is Size.SHORT else _drawn(random.Random("broker"))
    with temporary_folder() as folder:
        seen, found = asyncio.run(_suffer(folder, faults, Seen(back_within_s=BACK_S[size]), say))
        return _figures(seen, found, lines(folder / "lamps.log"))


def _drawn(rng: random.Random) -> list[tuple[str, float]]:
    """Return the faults of the long form: most are short, some last for up to twelve seconds."""
    faults = []
    for _ in range(LONG_FAULTS):
        lasts = rng.uniform(1.0, 12.0) if rng.random() < 0.3 else rng.uniform(0.1, 2.0)
        faults.append((rng.choice(KINDS), round(lasts, 2)))
    return faults


# ── what is there ────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def _engine(folder: Path, port: int) -> AsyncIterator[City]:
    city = City(folder, CONNECTION.format(port=port), STREETS)
    try:
        await asyncio.to_thread(city.start)
        yield city
    finally:
        city.kill()


async def _suffer(
    folder: Path, faults: list[tuple[str, float]], seen: Seen, say: Callable[[str], None]
) -> tuple[Seen, Commands]:
    """Do every fault in turn under load; return what was seen, and what the journal says."""
    broker = Broker(folder)
    try:
        async with FaultProxy("127.0.0.1", broker.port, seed=5) as proxy:
            with street(broker.port, folder, STREETS):
                async with _engine(folder, proxy.port) as city:
                    async with api.AsyncClient(city.socket) as client:
                        watch = _Watch(client, seen)
                        await watch.until_right(30.0)
                        async with under_load(_orders(city, seen)):
                            for kind, lasts in faults:
                                await _fault(kind, lasts, broker, proxy, watch)
                                await asyncio.sleep(0.3)
                    say(f"{len(faults)} faults done, {seen.orders} orders of people meanwhile")
                    for text in (*seen.undetected, *seen.slow, *seen.stale[:5]):
                        say(text)
                    await asyncio.to_thread(calm, broker.port)
                    found = await settled(city.journal, SETTLE_S)
                    await asyncio.to_thread(city.stop)
    finally:
        broker.stop()
    return seen, found


async def _orders(city: City, seen: Seen) -> None:
    """Have people override lamps all the time, through the control socket."""
    rng = random.Random("orders")
    async with api.AsyncClient(city.socket) as client:
        while True:
            order = api.SetOverride(
                point=f"s-{rng.randrange(STREETS)}.level",
                value=float(rng.randrange(10, 90)),
                for_s=rng.uniform(1.0, 4.0),
                person="night desk",
                reason="fault suite",
            )
            seen.orders += (await client.ask(order)).taken
            await asyncio.sleep(0.15)


# ── one fault ────────────────────────────────────────────────────────────────────────────────


async def _fault(kind: str, lasts: float, broker: Broker, proxy: FaultProxy, watch: _Watch) -> None:
    """Do one fault, wait for its end, and for the engine to be right again."""
    watch.begin(f"{kind} of {lasts:g} s")
    began = time.monotonic()
    if kind in ("kill", "term"):
        broker.process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
    elif kind == "freeze":
        broker.process.send_signal(signal.SIGSTOP)
    elif kind in ("hole", "swallow"):
        proxy.hold() if kind == "hole" else proxy.swallow()
    elif kind in ("cut", "reset"):
        proxy.cut(after_bytes=77, reset=kind == "reset")
    elif kind == "silent":
        proxy.silent()
        proxy.cut()
    else:
        await proxy.refuse()
        proxy.cut()
    while time.monotonic() - began < lasts:
        await watch.look()
        await asyncio.sleep(LOOK_S)
    if kind in ("kill", "term"):
        await asyncio.to_thread(broker.again)
    elif kind == "freeze":
        broker.process.send_signal(signal.SIGCONT)
    elif kind not in ("cut", "reset"):
        await proxy.heal()
    if kind == "swallow":  # half a stream: what follows makes no sense to either side
        proxy.cut()
    await watch.until_right(30.0, must_be_seen=kind not in ("freeze", "hole"))
    watch.seen.faults[kind] += 1


class _Watch:
    """Looks at the engine through its control socket, and notes what a person there would see."""

    def __init__(self, client: api.AsyncClient, seen: Seen) -> None:
        self.seen = seen
        self._client = client
        self._what = "start"
        self._began: float | None = None
        self._failures = 0
        self._was_down = False

    def begin(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._was_down = False

    async def look(self) -> bool:
        """Return whether the connection is up; while it is down, no point may have a value."""
        link = await self._link()
        if not self._was_down and (link.state != "up" or link.failures > self._failures):
            self._was_down = True
            if self._began is not None:
                self.seen.detected_s.append(time.monotonic() - self._began)
        self._failures = link.failures
        if link.state == "up":
            return True
        points = (await self._client.ask(api.ListPoints(kind="fault_street"))).points
        again = await self._link()
        if again.state != "up" and again.since == link.since:
            self.seen.looks_while_down += 1
            self.seen.stale += [f"{self._what}: {p.id}" for p in points if _is_old(p, link)]
        return again.state == "up"

    async def until_right(self, timeout_s: float, *, must_be_seen: bool = False) -> None:
        """Wait until every point has a fresh value, and note how long that took."""
        returned = time.monotonic()
        while not (
            await self.look() and (self._was_down or not must_be_seen) and await self._is_fresh()
        ):
            if time.monotonic() - returned > timeout_s:
                self.seen.undetected.append(self._what)
                return
            await asyncio.sleep(LOOK_S)
        if self._began is not None:
            self.seen.back_s.append(time.monotonic() - returned)
            if self.seen.back_s[-1] > self.seen.back_within_s:
                self.seen.slow.append(f"{self._what}: back after {self.seen.back_s[-1]:.2f} s")

    async def _is_fresh(self) -> bool:
        points = (await self._client.ask(api.ListPoints(kind="fault_street"))).points
        ages = [p.age_s for p in points if p.value is not None]
        return len(ages) == 2 * STREETS and all(age is not None and age < FRESH_S for age in ages)

    async def _link(self) -> api.Connection:
        (link,) = (await self._client.ask(api.GetStatus())).connections
        return link


def _is_old(point: api.Point, link: api.Connection) -> bool:
    """Whether a point has a value from before the loss; one that is read while the link is being made is of now."""
    return point.value is not None and (point.time is None or point.time < link.since)


# ── the figures ──────────────────────────────────────────────────────────────────────────────


def _figures(seen: Seen, found: Commands, lamps: list[dict[str, object]]) -> list[Figure]:
    obeyed = {str(line["id"]) for line in lamps if line["obeyed"]}
    late = [
        line for line in lamps if line["obeyed"] and _number(line, "time") > _number(line, "until")
    ]
    refused = sum(not line["obeyed"] for line in lamps)
    lost = [
        id_
        for id_, ends in found.ends.items()
        if "done" in ends and not _was_done(id_, found, obeyed, lamps)
    ]
    count = seen.faults.total()
    worst = max(seen.detected_s, default=0.0)
    back = seen.back_s or [float("inf")]
    how = ", ".join(f"{number} {kind}" for kind, number in sorted(seen.faults.items()))
    ends = ", ".join(f"{number} {end}" for end, number in found.outcomes.most_common())
    return [
        Figure(
            "G5",
            f"{count} broker faults ({how})",
            "every command has one end, 0 done but not carried out",
            f"{len(found.sent)} commands: {ends}; {len(found.unclassified)} without one end, {len(lost)} lost",
            bool(found.sent) and not found.unclassified and not lost,
        ),
        Figure(
            "G5",
            "commands after their deadline",
            "0 carried out",
            f"{len(late)} carried out; {refused} arrived late and were refused by the lamp",
            not late,
        ),
        Figure(
            "G5",
            "until a lost broker is noticed",
            f"at most {DETECTED_S:g} s",
            f"{len(seen.detected_s)} times, {worst:.1f} s at most",
            worst <= DETECTED_S and not seen.undetected,
        ),
        Figure(
            "G5",
            "until all values are fresh again",
            f"at most {seen.back_within_s:g} s",
            f"median {statistics.median(back):.2f} s, {max(back):.2f} s at most",
            max(back) <= seen.back_within_s,
        ),
        Figure(
            "G5",
            "values while the broker is away",
            "0 points with a value",
            f"{len(seen.stale)} in {seen.looks_while_down} looks",
            bool(seen.looks_while_down) and not seen.stale,
        ),
    ]


def _was_done(id_: str, found: Commands, obeyed: set[str], lamps: list[dict[str, object]]) -> bool:
    """Whether a lamp did what a command says: by this command, or by one before that wanted the same."""
    if id_ in obeyed:
        return True
    command = found.sent[id_]
    street, level = str(command["point"]).partition(".")[0], command["value"]
    before = [
        line["level"]
        for line in lamps
        if line["street"] == street
        and line["obeyed"]
        and _number(line, "time") <= found.ended_at[id_]
    ]
    return bool((before[-1] if before else 100.0) == level)


def _number(line: dict[str, object], name: str) -> float:
    value = line[name]
    assert isinstance(value, float | int)
    return float(value)
