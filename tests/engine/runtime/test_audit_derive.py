"""What the audit tells of a decision: the real core decides, and its decisions are derived as the journal keeps them."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import pilotage
from pilotage.model.messages import (
    AlarmOrder,
    Decision,
    Followed,
    Notice,
    OrderRefused,
    OrderTaken,
    Override,
    PlanOrder,
    ReleaseOverride,
)
from pilotage.runtime.audit.derive import derive, owner_of
from pilotage.runtime.audit.entries import Entry, from_json
from pilotage.runtime.envelope import encode_decision

RULES = """\
version: 1
rules:
  dim:
    title: Dim quiet streets
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    while: segment.traffic.flow < 60 veh/h
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]
  light-up:
    title: Light for who walks
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    when: segment.pedestrian_detected becomes true
    do: [{set: segment.lights.level, to: 90 %, priority: people, at_most: 5 min}]
"""

START = 1_768_500_000.0


class Notebook:
    """What a follower remembers, in plain tables."""

    def __init__(self) -> None:
        self.reasons: dict[str, Mapping[str, Any]] = {}
        self.senders: dict[str, str] = {}

    def identity(self, rule: str, now: float) -> str:
        return f"meaning of {rule}"

    def reason(self, owner: str) -> Mapping[str, Any] | None:
        return self.reasons.get(owner)

    def remember(self, owner: str, reason: Mapping[str, Any]) -> None:
        self.reasons[owner] = reason

    def sender(self, command: str) -> str:
        return self.senders.pop(command, "")

    def sent(self, command: str, rule: str) -> None:
        self.senders[command] = rule


class Street:
    """One street with two rules, and the rows of what it decides."""

    def __init__(self) -> None:
        inventory = {"seg-1": {"kind": "lighting_segment", "dimmable": True}}
        self.city = pilotage.open_city(rules=RULES, inventory=inventory, now=START)
        self.now = START
        self.memory = Notebook()

    def feed(self, **values: Any) -> list[tuple[Entry, Mapping[str, str]]]:
        self.now += 1
        points = {f"seg-1.{name.replace('__', '.')}": value for name, value in values.items()}
        return self.rows(self.city.feed(self.now, points))

    def order(self, order: Any) -> list[tuple[Entry, Mapping[str, str]]]:
        self.now += 1
        return self.rows(self.city.order(self.now, order))

    def rows(self, decision: Decision | None) -> list[tuple[Entry, Mapping[str, str]]]:
        if decision is None:
            return []
        return list(derive(msgspec.json.decode(encode_decision(decision)), self.memory))


LEVEL = "seg-1.lights.level"


class TestCommands:
    def test_of_a_hold(self) -> None:
        """A command says which rule sent it, what that meant, and which values its condition had read."""
        street = Street()
        ((entry, people),) = [r for r in street.feed(traffic__flow=41.0) if r[0].action == "sent"]
        assert (entry.kind, entry.subject, from_json(entry.value)) == ("command", LEVEL, 30.0)
        assert (entry.rule, entry.identity) == ("dim", "meaning of dim")
        detail = from_json(entry.detail)
        assert detail["instance"] == "seg-1"
        assert detail["because"]["read"] == {"seg-1.traffic.flow": 41.0}
        assert people == {}

    def test_of_a_story(self) -> None:
        """A story's command says what made the story start."""
        street = Street()
        street.feed(pedestrian_detected=False)
        rows = street.feed(pedestrian_detected=True)
        ((entry, _),) = [r for r in rows if r[0].action == "sent"]
        assert entry.rule == "light-up"
        assert from_json(entry.detail)["because"]["read"] == {"seg-1.pedestrian_detected": True}

    def test_end(self) -> None:
        """The end of a command names the command and its rule."""
        street = Street()
        street.feed(traffic__flow=41.0)
        (sent,) = street.memory.senders
        ((entry, _),) = [r for r in street.feed(lights__level=30.0) if r[0].kind == "command"]
        assert (entry.action, entry.subject, entry.rule) == ("done", LEVEL, "dim")
        assert from_json(entry.detail)["command"] == sent
        assert street.memory.senders == {}

    def test_of_who_was_below(self) -> None:
        """When a rule lets go, the command that follows says who let go, and on which values."""
        street = Street()
        street.feed(traffic__flow=41.0)
        street.feed(lights__level=30.0)
        ((entry, _),) = [r for r in street.feed(traffic__flow=400.0) if r[0].action == "sent"]
        released = from_json(entry.detail)["released"]
        assert released["owner"] == "dim[seg-1]"
        assert released["read"] == {"seg-1.traffic.flow": 400.0}


class TestOrders:
    def test_override(self) -> None:
        """An override is a row of its own with person, reason and way, and its command names the person too."""
        street = Street()
        order = Override(
            LEVEL, 80.0, "m.garcia", "road works", START + 3600, "web www 192.0.2.7 traffic"
        )
        rows = street.order(order)
        ((entry, people),) = [r for r in rows if r[0].kind == "override"]
        assert (entry.action, entry.subject, from_json(entry.value)) == ("set", LEVEL, 80.0)
        assert entry.origin == "web"
        assert people == {
            "person": "m.garcia",
            "reason": "road works",
            "account": "www",
            "address": "192.0.2.7",
            "post": "traffic",
        }
        ((sent, people),) = [r for r in rows if r[0].action == "sent"]
        assert (sent.rule, people) == ("", {"person": "m.garcia"})

    def test_release(self) -> None:
        """A release says who gave whose override back."""
        street = Street()
        street.order(Override(LEVEL, 80.0, "m.garcia", "road works", START + 3600))
        rows = street.order(ReleaseOverride(LEVEL, "a.martin", "cli anne"))
        ((entry, people),) = [r for r in rows if r[0].kind == "override"]
        assert (entry.action, entry.origin) == ("released", "cli")
        assert people == {"person": "a.martin", "about": "m.garcia", "account": "anne"}

    def test_end_of_an_override(self) -> None:
        """An override that ends by itself is a row too."""
        street = Street()
        street.order(Override(LEVEL, 80.0, "m.garcia", "road works", START + 600))
        decisions = street.city.advance(START + 700)
        rows = [row for decision in decisions for row in street.rows(decision)]
        ((entry, people),) = [r for r in rows if r[0].kind == "override"]
        assert (entry.action, people) == ("ended", {"person": "m.garcia"})

    def test_refused(self) -> None:
        """A refused order says who wanted what, and why not, without the name in the chained part."""
        street = Street()
        ((entry, people),) = street.order(ReleaseOverride(LEVEL, "m.garcia", "cli maria"))
        assert (entry.kind, entry.action, entry.subject) == ("override", "refused", LEVEL)
        assert from_json(entry.detail)["why"] == f"{LEVEL} is not overridden"
        assert people == {"person": "m.garcia", "account": "maria"}

    def test_name_in_a_refusal(self) -> None:
        """A refusal that names the person does so in the part that can be erased only."""
        why = "m.garcia may not set it"
        event = {"event": "OrderRefused", "order": "plan", "person": "m.garcia", "why": why, "about": "plan storm"}  # fmt: skip
        ((entry, people),) = derive({"number": 1, "now": 5.0, "events": [event]}, Notebook())
        assert from_json(entry.detail)["why"] == "… may not set it"
        assert people == {"person": "m.garcia"}

    def test_kinds(self) -> None:
        """Orders to alarms and plans are told apart, also when there is no such thing."""
        street = Street()
        ((alarm, _),) = street.order(AlarmOrder("dark[seg-1]", "acknowledge", "m.garcia"))
        ((plan, people),) = street.order(PlanOrder("storm", 2, "m.garcia", "wind"))
        assert (alarm.kind, alarm.subject, alarm.action) == ("alarm", "dark[seg-1]", "refused")
        assert (plan.kind, plan.subject, plan.action) == ("plan", "plan:storm", "refused")
        assert people == {"person": "m.garcia", "reason": "wind"}

    def test_no_person_in_the_chain(self) -> None:
        """Whatever a person does, its name stands in no part that the chain keeps for ever."""
        street = Street()
        rows = street.order(Override(LEVEL, 80.0, "m.garcia", "for m.garcia", START + 3600))
        rows += street.order(Override(LEVEL, 80.0, "m.garcia", "again", START + 3600))
        rows += street.order(ReleaseOverride(LEVEL, "m.garcia"))
        rows += street.order(ReleaseOverride(LEVEL, "m.garcia"))
        assert len(rows) > 4
        assert "m.garcia" not in repr([entry for entry, _ in rows])


class TestOwners:
    def test_names(self) -> None:
        """The rule is found in every form that an owner has."""
        assert owner_of("dim[seg-1]") == ("dim", "seg-1")
        assert owner_of("light-up[seg-1]@12") == ("light-up", "seg-1")
        assert owner_of("plan:storm") == ("plan:storm", "")
        assert owner_of("operator m.garcia") == ("", "")
        assert owner_of("default") == ("default", "")


class TestPlans:
    def test_level(self) -> None:
        """A plan's new level is a row: by a person with the reason apart, by its conditions with the reason in it."""
        memory = Notebook()
        by_person = {"event": "PlanChanged", "plan": "storm", "before": 0, "after": 2, "reason": "wind", "by": "m.garcia"}  # fmt: skip
        by_itself = {**by_person, "reason": "gusts above 90 km/h", "by": "storm"}
        ((entry, people),) = derive({"number": 1, "now": 5.0, "events": [by_person]}, memory)
        assert (entry.rule, people) == ("", {"person": "m.garcia", "reason": "wind"})
        ((entry, people),) = derive({"number": 2, "now": 6.0, "events": [by_itself]}, memory)
        assert (entry.rule, people) == ("plan:storm", {})
        assert from_json(entry.detail) == {"before": 0, "why": "gusts above 90 km/h"}
        assert memory.reasons["plan:storm"]["why"] == "gusts above 90 km/h"


@pytest.fixture(scope="module")
def city_day() -> dict[str, Any]:
    """Every rule there is, under random inputs."""
    return runpy.run_path(str(Path(__file__).parents[1] / "core" / "city_day.py"))


class TestWholeCity:
    def test_every_command_and_its_end(self, city_day: dict[str, Any]) -> None:
        """Some hours of a city with every rule there is: each command and each order is a row, and no person is in the chain."""
        day = city_day["Day"](city_day["city_program"](), seed=5)
        memory = Notebook()
        sent = orders = ends = 0
        rows: list[tuple[Entry, Mapping[str, str]]] = []
        for decision in day.decisions(150):
            sent += sum(not isinstance(item, Notice) for item in decision.outgoing)
            ends += sum(isinstance(e, Followed) and bool(e.command) for e in decision.events)
            orders += sum(isinstance(e, OrderTaken | OrderRefused) for e in decision.events)
            rows += derive(msgspec.json.decode(encode_decision(decision)), memory)
        assert sent > 100
        assert sum(e.action == "sent" for e, _ in rows) == sent
        assert sum(e.kind == "command" and e.action != "sent" for e, _ in rows) == ends
        assert sum("person" in people and e.kind != "command" for e, people in rows) >= orders > 10
        assert re.search(r"op-\d", repr([entry for entry, _ in rows])) is None

    def test_what_led_to_it(self, city_day: dict[str, Any]) -> None:
        """Nearly every command says what led to it (values that were read, who let go, why it is demanded), through groups too."""
        day = city_day["Day"](city_day["city_program"](), seed=6)
        memory = Notebook()
        untold: list[str] = []
        count = 0
        for decision in day.decisions(100):
            for entry, people in derive(msgspec.json.decode(encode_decision(decision)), memory):
                if entry.action == "sent" and entry.rule not in ("default", "minimum-time"):
                    told = {"because", "released", "reason"} & from_json(entry.detail).keys()
                    assert entry.rule or people["person"]
                    assert "." not in entry.rule
                    count += 1
                    if not told and entry.rule:
                        untold.append(entry.rule)
        assert set(untold) <= {
            "no-raise-on-a-vehicle"
        }  # an invariant: what it forbids is its reason
        assert len(untold) < 0.1 * count


class Counted(list[Any]):
    """A list that counts how often somebody goes through it."""

    rounds = 0

    def __iter__(self) -> Any:
        self.rounds += 1
        return super().__iter__()


def test_a_whole_city_at_once() -> None:
    """However many commands a decision has, its events are gone through a few times and not once for each."""
    points = [f"l-{n}.level" for n in range(500)]
    events = Counted(
        event
        for point in points
        for event in (
            {"event": "Demanded", "point": point, "owner": "plan:snow/1.0", "reason": "ice", "level": 10, "value": 80.0, "until": None},
            {"event": "Command", "id": point, "point": point, "value": 80.0, "deadline": 5.0, "attempt": 1, "because": "plan:snow/1.0"},
        )
    )  # fmt: skip
    rows = list(derive({"number": 1, "now": 0.0, "events": events}, Notebook()))
    assert [entry.subject for entry, _ in rows if entry.kind == "command"] == points
    assert events.rounds < 10


class TestIncidents:
    def test_of_a_rule(self) -> None:
        """What a rule opened and wrote is told under its name; what a person did is the row of their order alone."""
        opened = {"event": "IncidentChanged", "incident": "incident-2026-0001", "action": "opened", "text": "Intrusion", "by": "intrusion-response"}  # fmt: skip
        events = [
            opened,
            {**opened, "action": "joined"},
            {**opened, "action": "note", "text": "cameras turned"},
            {**opened, "action": "closed", "by": "ann"},
            {"event": "OrderTaken", "order": "close", "person": "ann", "detail": "", "about": "incident incident-2026-0001"},
        ]  # fmt: skip
        record = {"number": 7, "now": START, "events": events}
        rows = list(derive(record, Notebook()))
        told = [(e.kind, e.action, e.subject, e.rule, p.get("reason", "")) for e, p in rows]
        about = ("incident-2026-0001",)
        assert [row[:2] for row in told] == [("incident", "open"), ("incident", "note"), ("incident", "close")]  # fmt: skip
        assert told[0][2:] == (*about, "intrusion-response", "Intrusion")
        assert told[1][3:] == ("intrusion-response", "cameras turned")
        assert rows[2][1]["person"] == "ann"
