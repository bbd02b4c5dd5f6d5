"""Decisions as plain sentences."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.demo.words import City, Narrator, because

CITY = City(
    names={
        "seg-monge": "Rue Monge",
        **{f"lamp-{n}": f"Rue Monge {n}" for n in range(8)},
        "J-1": "Darcy",
        "bus-3": "Bus 3",
        "bus-4": "Bus 4",
        "cam-1": "Nord",
        "zone-1": "Cour de Bar",
    },
    kinds={**{f"lamp-{n}": "lamp" for n in range(8)}, "cam-1": "camera"},
    units={f"lamp-{n}.level": "%" for n in range(8)},
    titles={
        "dim": "Dim quiet streets",
        "bus-priority": "Green for late buses",
        "snow": "Snow plan",
    },
    why=lambda rule, instance: "flow is 41 veh/h" if rule == "dim" else "delay is 3 min",
)


@pytest.fixture
def narrator() -> Narrator:
    return Narrator(CITY)


def tell(narrator: Narrator, *events: dict[str, Any]) -> list[str]:
    return [text for _, text in narrator.tell({"number": 3, "now": 0.0, "events": events})]


def holding(rule: str, instance: str) -> dict[str, Any]:
    return {"event": "RuleChanged", "rule": rule, "instance": instance, "after": "holding"}


def target(owner: str) -> dict[str, Any]:
    return {"event": "TargetChanged", "point": "seg-monge.lights.level", "owner": owner}


def command(n: int, value: float = 30.0, attempt: int = 1) -> dict[str, Any]:
    because_of = "seg-monge.lights.level>"
    return {
        "event": "Command",
        "point": f"lamp-{n}.level",
        "value": value,
        "because": because_of,
        "attempt": attempt,
    }


def followed(n: int, outcome: str = "done") -> dict[str, Any]:
    return {"event": "Followed", "point": f"lamp-{n}.level", "outcome": outcome, "detail": ""}


def dim(narrator: Narrator) -> list[str]:
    eight = [command(n) for n in range(8)]
    return tell(narrator, holding("dim", "seg-monge"), target("dim[seg-monge]"), *eight)


class TestRule:
    def test_with_its_reason(self, narrator: Narrator) -> None:
        """A rule that begins to hold, why, and what it tells a street's lamps, are one sentence."""
        assert dim(narrator) == [
            "Rue Monge: Dim quiet streets, because flow is 41 veh/h. 8 lamps are told 30 % (dim)"
        ]

    def test_without_consequence(self, narrator: Narrator) -> None:
        """A rule that begins to hold and changes nothing is not told."""
        assert tell(narrator, holding("dim", "seg-monge")) == []

    def test_takes_over(self, narrator: Narrator) -> None:
        """What a rule tells when one above it gave up names the rule."""
        said = tell(narrator, target("dim[seg-monge]"), command(1), command(2))
        assert said == ["Rue Monge: 2 lamps are told 30 % (dim)"]

    def test_step_of_a_story(self, narrator: Narrator) -> None:
        """A story's command names the story, not its step."""
        event = {
            "event": "Command",
            "point": "cam-1.preset",
            "value": "bearing-090",
            "because": "intrusion-response[zone-1]@34",
        }
        assert tell(narrator, event) == ["Nord is told preset bearing-090 (intrusion-response)"]


class TestFollowing:
    def test_all(self, narrator: Narrator) -> None:
        """When the last lamp of a street has followed, that is one line."""
        dim(narrator)
        assert tell(narrator, *(followed(n) for n in range(7))) == []
        assert tell(narrator, followed(7)) == ["Rue Monge: 8 lamps report 30 %"]

    def test_not_all(self, narrator: Narrator) -> None:
        """A lamp that is told again is named, and one that never follows is counted."""
        dim(narrator)
        again = tell(narrator, command(5, attempt=2))
        assert again == ["Rue Monge 5 did not follow, and is told 30 % again"]
        said = tell(narrator, *(followed(n) for n in range(8) if n != 5), followed(5, "failed"))
        assert said == ["Rue Monge: 7 lamps report 30 %; 1 of 8 did not follow"]

    def test_patience(self, narrator: Narrator) -> None:
        """What is told a lamp that is known not to follow is no news, until it follows."""
        dim(narrator)
        tell(narrator, followed(5, "failed"))
        assert tell(narrator, command(5)) == []
        tell(narrator, followed(5))
        assert tell(narrator, command(5)) == ["Rue Monge 5 is told 30 %"]


class TestRequest:
    def test_request(self, narrator: Narrator) -> None:
        """A request says for whom, why, and when it comes."""
        owner = "bus-priority[J-1, bus-3]"
        request = {
            "event": "Request",
            "point": "J-1.priority",
            "action": "request",
            "entity": "bus-3",
            "data": {"eta": 12.0, "line": "L3"},
            "because": owner,
            "attempt": 1,
        }
        said = tell(narrator, holding("bus-priority", "J-1, bus-3"), request)
        assert said == [
            "Darcy, Bus 3: Green for late buses, because delay is 3 min."
            " Asked for Bus 3 (eta 12 s, line L3) (bus-priority)"
        ]
        assert tell(narrator, {**request, "action": "update"}) == []
        again = tell(narrator, {**request, "attempt": 2})
        assert again == ["Darcy is asked for Bus 3 again: it has not answered (bus-priority)"]

    def test_hand_over(self, narrator: Narrator) -> None:
        """When the next bus takes over, the end of the one before is a line of its own."""
        owner = "bus-priority[J-1, bus-4]"
        base = {"event": "Request", "point": "J-1.priority", "because": owner, "data": {}}
        said = tell(
            narrator,
            {**base, "action": "cancel", "entity": "bus-3"},
            holding("bus-priority", "J-1, bus-4"),
            {**base, "action": "request", "entity": "bus-4"},
        )
        assert said == [
            "Darcy, Bus 4: Green for late buses, because delay is 3 min. Asked for Bus 4 (bus-priority)",
            "Darcy: the request for Bus 3 is given back",
        ]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            {"event": "PlanChanged", "plan": "snow", "before": 0, "after": 1, "reason": "cold"},
            "Snow plan, level 0 → 1, because cold",
        ),
        (
            {
                "event": "AlarmChanged",
                "alarm": "intrusion[zone-1]",
                "text": "Intrusion",
                "severity": "high",
                "after": "raised",
            },
            "Alarm (high): Intrusion, Cour de Bar",
        ),
        (
            {
                "event": "AlarmChanged",
                "alarm": "intrusion[zone-1]",
                "text": "Intrusion",
                "severity": "high",
                "after": "acknowledged",
                "person": "m.garcia",
            },
            "Alarm acknowledged by m.garcia (high): Intrusion, Cour de Bar",
        ),
        ({"event": "Notice", "to": ["a", "b"], "text": "come"}, "To a, b: come"),
        (
            {"event": "CallOut", "name": "fleet.dispatch", "arguments": {"vehicle": ["bus-3"]}},
            "fleet.dispatch: vehicle Bus 3",
        ),
        (
            {"event": "OrderTaken", "person": "m.garcia", "detail": "x at 80 %"},
            "m.garcia: x at 80 %",
        ),
        ({"event": "Demanded", "point": "x"}, None),
        ({"event": "SomethingNew"}, None),
    ],
)
def test_single(narrator: Narrator, event: dict[str, Any], text: str | None) -> None:
    """What stands alone is one line; the small steps on the way to a decision are none."""
    assert tell(narrator, event) == ([] if text is None else [text])


class TestBecause:
    def test_facts(self) -> None:
        """The first values that decided, without the names of variables and with few digits."""
        clause = {
            "values": [
                ["bus.delay", "3 min 39 s"],
                ["approaching(bus, junction)", "true"],
                ["junction.held_by", "nobody"],
            ]
        }
        assert because({"clauses": [clause]}) == (
            "delay is 3 min 39 s and approaching(bus, junction)"
        )
        flow = {"values": [["segment.quiet_flow", "13.4321 veh/h"], ["is_night", "false"]]}
        assert because({"clauses": [flow]}) == "quiet flow is 13.4 veh/h and not is night"

    def test_nothing(self) -> None:
        """A rule that is not explained has no reason."""
        assert because(None) == ""
