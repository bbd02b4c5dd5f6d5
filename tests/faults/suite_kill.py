"""The engine killed with SIGKILL under load, again and again: what the devices did, what the journal says and what people were told agree."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.broker import Broker, calm, street
from tests.faults.city import City, temporary_folder
from tests.faults.figures import Figure, Size
from tests.faults.records import CITY, Commands, commands, lines, settled

from pilotage import api
from pilotage.runtime.journal import JournalReader

GOALS = ("G1",)
KILLS: Final = {Size.SHORT: 6, Size.LONG: 200}
STREETS: Final = 10
LASTING: Final = 5  # the first streets have overrides that last, the others short ones
WAIT_S: Final = 2.0
SETTLE_S: Final = 25.0
BY_HAND: Final = "never-on"
"""A rule that people put live, into shadow and off."""

RULES: Final = """\
version: 1
rules:
  dim-quiet-streets:
    title: Dim quiet streets
    owner: lighting
    for_each: {street: {kind: fault_street}}
    while: street.flow < 60 veh/h
    hold:
      - {set: street.level, to: 30 %, priority: saving}
  ring-when-quiet:
    title: Ring once when a street falls quiet
    owner: lighting
    for_each: {street: {kind: fault_street}}
    while: street.flow < 60 veh/h
    hold:
      - {set: street.bell, to: ring, priority: saving}
  never-on:
    title: Put live, into shadow and off by hand
    owner: lighting
    for_each: {street: {kind: fault_street}}
    while: street.flow > 1900 veh/h
    hold:
      - {set: street.level, to: 20 %, priority: saving}
  note-when-busy:
    title: Wait, then write it down
    owner: lighting
    for_each: {street: {kind: fault_street}}
    when: street.flow becomes 200 veh/h
    do:
      - wait: 2 s
      - note: busy
plans:
  works:
    title: Works in the street
    owner: lighting
    levels:
      - {level: 1, name: prepared, enter: false}
      - {level: 2, name: under_way, enter: false}
"""

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
          - topic: lamp/{{id}}/set
            point: level
            payload: {{level: "{{value}}", id: "{{command}}", until: "{{deadline}}"}}
          - topic: lamp/{{id}}/ring
            point: bell
            payload: {{ring: "{{value}}", id: "{{command}}", until: "{{deadline}}"}}
"""


@dataclass
class Told:
    """What people asked for and were told, over all lives of the engine.

    Attributes:
        accepted: Reason of each accepted order: number of the decision that says so.
        lasting: By point, the value of the last accepted override, and of one after it that has got no answer.
        plan: The levels that the plan may have.
        modes: What the rule may have been put to by hand.
        forgotten: What stood otherwise after a start.
        overdue: Overrides that stood beyond their end.
    """

    accepted: dict[str, int] = field(default_factory=dict)
    lasting: dict[str, list[float]] = field(default_factory=dict)
    plan: set[int] = field(default_factory=lambda: {0})
    modes: set[str] = field(default_factory=lambda: {""})
    orders: int = 0
    kills: int = 0
    forgotten: list[str] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Kill the engine, start it, compare; and at the end compare everything."""
    with temporary_folder() as folder:
        broker = Broker(folder)
        try:
            with street(broker.port, folder, STREETS):
                city = City(folder, CONNECTION.format(port=broker.port), STREETS, RULES)
                try:
                    told = _live(city, KILLS[size], say)
                    calm(broker.port)
                    found = _settled(city)
                    city.stop()
                finally:
                    city.kill()
        finally:
            broker.stop()
        return _figures(told, found, city.journal, lines(folder / "lamps.log"), say)


def _live(city: City, kills: int, say: Callable[[str], None]) -> Told:
    """Start and kill the engine so often; at the end it runs."""
    rng, told, numbers = random.Random("kill"), Told(), itertools.count(1)
    for life in range(kills):
        if rng.random() < 0.2 and life:  # while it starts
            city.spawn()
            time.sleep(rng.uniform(0.05, 1.5))
            city.kill()
        else:
            city.start()
            _compare(city, told, life)
            killer = threading.Timer(rng.uniform(0.05, 0.5), city.kill)
            killer.start()
            _orders(city, told, rng, numbers)
            killer.join()
        told.kills += 1
        if life and life % 50 == 0:
            say(f"{life} kills")
    city.start()
    _compare(city, told, kills)
    return told


def _orders(city: City, told: Told, rng: random.Random, numbers: itertools.count[int]) -> None:
    """Have people give orders one after the other until the engine is gone; the last may stay without an answer."""
    with api.Client(city.socket, 5.0) as client:
        while True:
            reason = f"order {next(numbers)}"
            told.orders += 1
            try:
                what = rng.random()
                if what < 0.2:
                    _order_plan(client, told, reason, rng)
                elif what < 0.3:
                    _order_rule(client, told, reason, rng)
                else:
                    _order_override(client, told, reason, rng)
            except api.NoEngineError:
                return


def _order_plan(client: api.Client, told: Told, reason: str, rng: random.Random) -> None:
    level = rng.randrange(1, 3)
    told.plan.add(level)
    receipt = client.ask(api.SetPlan(plan="works", level=level, person="desk", reason=reason))
    if receipt.taken:
        told.accepted[reason] = receipt.decision
        told.plan = {level}


def _order_rule(client: api.Client, told: Told, reason: str, rng: random.Random) -> None:
    action, mode = rng.choice((("shadow", "shadow"), ("enable", "live"), ("disable", "off")))
    told.modes.add(mode)
    order = api.OrderRule(rule=BY_HAND, action=action, person="desk", reason=reason)
    receipt = client.ask(order)
    if receipt.taken:
        told.accepted[reason] = receipt.decision
    told.modes = {mode}  # refused is what it is put to already


def _order_override(client: api.Client, told: Told, reason: str, rng: random.Random) -> None:
    lamp, value = rng.randrange(STREETS), float(rng.randrange(10, 90))
    point, for_s = f"s-{lamp}.level", 7_200.0 if lamp < LASTING else rng.uniform(0.3, 3.0)
    if lamp < LASTING:
        told.lasting.setdefault(point, []).append(value)
    order = api.SetOverride(point=point, value=value, for_s=for_s, person="desk", reason=reason)
    receipt = client.ask(order)
    if receipt.taken:
        told.accepted[reason] = receipt.decision
        if lamp < LASTING:
            del told.lasting[point][:-1]


def _compare(city: City, told: Told, life: int) -> None:
    """Compare what stands after a start with what people had been told before."""
    for number in range(STREETS):
        point = f"s-{number}.level"
        detail = city.ask(api.GetPoint(point=point))
        mine = [demand for demand in detail.demands if demand.level == 8]
        now = city.ask(api.GetStatus()).now
        told.overdue += [
            f"life {life}: {point} until {d.until}, now {now}"
            for d in mine
            if (d.until or 0) < now - 1
        ]
        may = told.lasting.get(point, [])
        if number >= LASTING or not may:
            continue
        stands = mine[0].value if mine else None
        if stands in may:
            told.lasting[point] = [stands]
        elif told.accepted:
            told.forgotten.append(f"life {life}: {point} is overridden by {stands}, not {may}")
            told.lasting[point] = []
    (plan,) = city.ask(api.ListPlans())
    if plan.level not in told.plan:
        told.forgotten.append(f"life {life}: the plan is at {plan.level}, not {told.plan}")
    told.plan = {plan.level}
    (rule,) = (rule for rule in city.ask(api.ListRules()) if rule.name == BY_HAND)
    mode = rule.hand.mode if rule.hand is not None else ""
    if mode not in told.modes:
        told.forgotten.append(f"life {life}: the rule is {mode} by hand, not {told.modes}")
    told.modes = {mode}


def _settled(city: City) -> Commands:
    """Wait until every command and every story has its end, and return what the journal says then."""
    time.sleep(WAIT_S + 1.0)
    return asyncio.run(settled(city.journal, SETTLE_S))


# ── the figures ──────────────────────────────────────────────────────────────────────────────


@dataclass
class Record:
    """What the journal holds besides commands.

    Attributes:
        taken: How many orders each decision says to be carried out.
        begun: Runs of the story that began, and how often each ended.
        noted: What they wrote.
        rings: How often a street fell quiet, so that its bell had to ring.
        gap: The first hole in the numbers, 0 without any.
    """

    taken: Counter[int] = field(default_factory=Counter)
    begun: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    noted: int = 0
    rings: Counter[str] = field(default_factory=Counter)
    gap: int = 0


def _record(journal: Path) -> Record:
    found, last = Record(), 0
    for record in JournalReader(journal).decisions(CITY):
        if record.number != last + 1 and not found.gap:
            found.gap = record.number
        last = record.number
        for event in json.loads(record.record)["events"]:
            _note(found, event, record.number)
    return found


def _note(found: Record, event: dict[str, Any], number: int) -> None:
    match event:
        case {"event": "OrderTaken"}:
            found.taken[number] += 1
        case {"event": "RunChanged", "rule": "note-when-busy", "run": run, "state": state}:
            if state == "started":
                found.begun.add(run)
            elif state in ("ended", "failed"):
                found.ended[run] += 1
        case {"event": "Noted", "text": "busy"}:
            found.noted += 1
        case {"event": "RuleChanged", "rule": "ring-when-quiet", "after": "holding"}:
            found.rings[event["instance"]] += 1


def _figures(
    told: Told,
    found: Commands,
    journal: Path,
    lamps: list[dict[str, Any]],
    say: Callable[[str], None],
) -> list[Figure]:
    record, sent = _record(journal), commands(journal)  # also what was sent after all had settled
    told_of = Counter(told.accepted.values())
    lost = [number for number, count in told_of.items() if record.taken[number] < count]
    early = [
        line["id"]
        for line in lamps
        if line["id"] not in sent.sent or sent.decided_at[line["id"]] > line["time"]
    ]
    rings = Counter(line["street"] for line in lamps if line["point"] == "ring")
    twice = sum(max(0, count - record.rings[name]) for name, count in rings.items())
    by_id = Counter(line["id"] for line in lamps)
    twice += sum(count - 1 for count in by_id.values())
    runs = [run for run in record.begun if record.ended[run] != 1]
    ends = ", ".join(f"{number} {end}" for end, number in found.outcomes.most_common())
    for text in (*lost[:3], *early[:3], *told.forgotten[:5], *told.overdue[:3], *runs[:3]):
        say(str(text))
    for id_ in found.unclassified[:5]:
        say(f"{found.sent[id_]} ended {found.ends.get(id_)}")
    return [
        Figure(
            "G1",
            f"{told.kills} kills under load, {len(told.accepted)} accepted orders of {told.orders}",
            "0 accepted orders lost, no hole in the journal",
            f"{len(lost)} lost, {'no hole' if not record.gap else f'a hole at {record.gap}'}",
            told.kills > 0 and bool(told.accepted) and not lost and not record.gap,
        ),
        Figure(
            "G1",
            f"{len(lamps)} effects at the devices, {rings.total()} of them pulses",
            "0 without an earlier intent, 0 pulses twice",
            f"{len(early)} without, {twice} twice",
            bool(lamps) and bool(rings) and not early and not twice,
        ),
        Figure(
            "G1",
            f"{len(found.sent)} commands",
            "100 % have exactly one end",
            f"{len(found.unclassified)} have not; {ends}",
            bool(found.sent) and not found.unclassified,
        ),
        Figure(
            "G1",
            "overrides and plans after each start",
            "as people were told, none beyond its end",
            f"{len(told.forgotten)} otherwise, {len(told.overdue)} beyond their end",
            not told.forgotten and not told.overdue,
        ),
        Figure(
            "G1",
            f"{len(record.begun)} stories that waited",
            "each ended once, each wrote once",
            f"{len(runs)} did not end once; {record.noted} notes",
            bool(record.begun) and not runs and record.noted == len(record.begun),
        ),
    ]
