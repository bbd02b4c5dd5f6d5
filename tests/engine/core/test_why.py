"""Why a point is as it is: said as data, and right about what would be otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.core.replayed import point_at
from pilotage.core.why import PointWhy, _party, why_past, why_point
from pilotage.language.rules import load_or_refuse
from pilotage.model.messages import Override, PlanOrder, ReleaseOverride
from pilotage.model.values import as_plain
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.plugins import load_plugins
from pilotage.testing.rules import Scenario, run_tests

REPOSITORY = Path(__file__).parents[3]
RULE_FOLDERS = (
    REPOSITORY / "rules",
    REPOSITORY / "engine" / "pilotage" / "demo" / "city" / "rules",
    *sorted((REPOSITORY / "plugins").glob("*/rules")),
)

DIM = {
    "for_each": {"street": {"kind": "street"}},
    "while": "street.a",
    "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
}
CALM = {
    "title": {"fr": "Rue calme", "en": "Quiet street"},
    "for_each": {"street": {"kind": "street"}},
    "while": "street.b",
    "hold": [{"set": "street.level", "to": "60 %", "priority": "schedule"}],
}
STORM = {
    "title": {"fr": "Tempête", "en": "Storm"},
    "levels": [
        {
            "level": 1,
            "name": "watch",
            "hold": [{"set": "street.level", "to": "80 %", "each": {"street": {"kind": "street"}}}],
        },
        {
            "level": 2,
            "name": "alert",
            "hold": [{"set": "street.level", "to": "90 %", "each": {"street": {"kind": "street"}}}],
        },
    ],
}
LIT = {
    "title": {"fr": "Jamais sombre", "en": "Never dark"},
    "for_each": {"street": {"kind": "street"}},
    "never": "wanted(street.level) < 50 % and street.c",
    "otherwise": {"set": "street.level", "to": "50 %"},
}


def why(city: Any, point: str = "s1.level") -> PointWhy:
    found = why_point(city.engine, point)
    assert found is not None
    return found


def street(town: Callable[..., Any], **declarations: Any) -> Any:
    given = {"rules": {"dim": DIM, "calm": CALM}, **declarations}
    city = town(**given)
    city.at(0, {"s1.a": True, "s1.b": True, "s1.c": False})
    return city


class TestNow:
    def test_nobody(self, town: Callable[..., Any]) -> None:
        """A point that nobody has ever wanted anything of is left alone: its default, nobody, nothing otherwise."""
        found = why(town(rules={"dim": DIM}))

        assert (found.is_decided, found.text, found.who.sort) == (False, "100 %", "default")
        assert (found.demands, found.otherwise, found.way) == ((), None, None)

    def test_winner_and_runner_up(self, town: Callable[..., Any]) -> None:
        """The best level decides; the next one is named with what it would want."""
        found = why(street(town))

        assert (found.text, found.level, found.level_word) == ("30 %", 14, "saving")
        assert (found.who.sort, found.who.name, found.who.instance) == ("rule", "dim", "s1")
        assert [(d.who.name, d.result) for d in found.demands] == [
            ("dim", "wins"),
            ("calm", "next"),
        ]
        assert found.otherwise is not None
        assert (found.otherwise.who.name, found.otherwise.text) == ("calm", "60 %")
        assert found.otherwise.who.titles == {"fr": "Rue calme", "en": "Quiet street"}

    def test_override(self, town: Callable[..., Any]) -> None:
        """A person stands above the rules, with the reason and the end; the others wait in their order."""
        city = street(town)
        end = city.start + 600
        city.at(10, None, Override("s1.level", 100.0, "nadia", "works", end))
        found = why(city)

        assert (found.who.sort, found.who.name, found.text) == ("person", "nadia", "100 %")
        assert found.winner is not None
        assert (found.winner.reason, found.winner.until) == ("works", end)
        assert [d.result for d in found.demands] == ["wins", "next", "dominated"]
        city.at(20, None, ReleaseOverride("s1.level", "nadia"))
        assert why(city).who.name == "dim"

    def test_plan(self, town: Callable[..., Any]) -> None:
        """A plan leaves as a whole: without it none of its levels decides."""
        city = street(town, plans={"storm": STORM})
        city.at(10, None, PlanOrder("storm", 2, "karim", "wind"))
        found = why(city)

        assert (found.who.sort, found.who.name, found.who.level) == ("plan", "storm", 2)
        assert (found.who.by, found.who.since) == ("karim", city.start + 10)
        assert [d.result for d in found.demands] == ["wins", "dominated", "next", "dominated"]
        assert found.otherwise is not None
        assert (found.otherwise.who.name, found.otherwise.text) == ("dim", "30 %")

    def test_invariant(self, town: Callable[..., Any]) -> None:
        """An invariant stands above all; what it replaces is what would be wanted otherwise."""
        city = street(town, invariants={"lit": LIT})
        city.at(10, {"s1.c": True})
        found = why(city)

        assert (found.who.sort, found.who.name, found.level, found.text) == (
            "invariant", "lit", 0, "50 %",
        )  # fmt: skip
        assert [d.result for d in found.demands] == ["limited", "dominated"]
        assert found.otherwise is not None
        assert (found.otherwise.who.name, found.otherwise.text) == ("dim", "30 %")

    def test_an_invariant_would_stand_in_the_way(self, town: Callable[..., Any]) -> None:
        """What would be wanted otherwise has passed the invariants too; asking raises no alarm."""
        city = street(town, invariants={"lit": LIT})
        city.at(10, {"s1.c": True}, Override("s1.level", 70.0, "nadia", "works", city.start + 600))
        before = city.alarm("invariant:lit[s1]")
        found = why(city)

        assert found.otherwise is not None
        assert (found.otherwise.who.sort, found.otherwise.text) == ("invariant", "50 %")
        assert (before, city.alarm("invariant:lit[s1]")) == ("normal", "normal")

    def test_minimum_time(self, town: Callable[..., Any]) -> None:
        """While a minimum time holds a point, what waits for its end is what would be wanted."""
        rule = {
            "for_each": {"lamp": {"kind": "lamp"}},
            "while": "not lamp.broken",
            "hold": [{"set": "lamp.relay", "to": "true", "priority": "saving"}],
        }
        city = town({"l1": {"kind": "lamp"}}, rules={"on": rule})
        city.at(0, {"l1.broken": False})
        city.at(10, {"l1.broken": True})
        found = why(city, "l1.relay")

        assert (found.who.sort, found.text, found.level) == ("minimum_time", "true", 6)
        assert found.otherwise is not None
        assert (found.otherwise.who.sort, found.otherwise.text) == ("default", "false")

    def test_group(self, town: Callable[..., Any]) -> None:
        """A member says which group passes it on, and who decides there."""
        things = {
            "l1": {"kind": "lamp"},
            "s1": {"kind": "street", "lamps": ["l1"]},
        }
        city = town(things, rules={"dim": DIM})
        city.at(0, {"s1.a": True})
        found = why(city, "l1.level")

        assert (found.who.name, found.who.instance, found.who.through) == ("dim", "s1", "s1.level")
        way = why(city).way
        assert way is not None
        assert way.state == "passed_on"

    def test_way(self, town: Callable[..., Any]) -> None:
        """Wanted, sent, confirmed: each with its time."""
        city = town({"l1": {"kind": "lamp"}}, rules={"half": {
            "for_each": {"lamp": {"kind": "lamp"}},
            "while": "not lamp.broken",
            "hold": [{"set": "lamp.level", "to": "50 %", "priority": "saving"}],
        }})  # fmt: skip
        city.at(5, {"l1.broken": False, "l1.level": 100})
        sent = why(city, "l1.level").way
        city.at(8, {"l1.level": 50})
        done = why(city, "l1.level").way

        assert sent is not None
        assert done is not None
        assert (sent.state, sent.sent_text, sent.sent_at) == ("sent", "50 %", city.start + 5)
        assert sent.confirmed_at is None
        assert (done.state, done.sent_at, done.confirmed_at) == (
            "done", city.start + 5, city.start + 8,
        )  # fmt: skip


class TestPast:
    def test_as_it_was(self, town: Callable[..., Any]) -> None:
        """Replayed from the record, a point says the same as the engine said then."""
        city = street(town, plans={"storm": STORM})
        said: dict[float, PointWhy] = {0.0: why(city)}
        city.at(10, None, PlanOrder("storm", 2, "karim", "wind"))
        said[10.0] = why(city)
        city.at(20, None, Override("s1.level", 100.0, "nadia", "works", city.start + 600))
        said[20.0] = why(city)
        city.at(700)
        records = [json.loads(encode_decision(d)) for d in city.decisions]

        for seconds, then in said.items():
            past = why_past(city.engine, point_at(records, "s1.level", city.start + seconds))
            assert past is not None
            for name in ("text", "level", "is_decided", "since"):
                assert getattr(past, name) == getattr(then, name), (seconds, name)
            assert [(d.who.name, d.text, d.until, d.result) for d in past.demands] == [
                (d.who.name, d.text, d.until, d.result) for d in then.demands
            ]
            assert past.otherwise is not None
            assert then.otherwise is not None
            assert (past.otherwise.text, past.otherwise.who.name) == (
                then.otherwise.text,
                then.otherwise.who.name,
            )

    def test_way(self, town: Callable[..., Any]) -> None:
        """What was told, and when it was confirmed, is in the record."""
        city = town({"l1": {"kind": "lamp"}}, rules={"half": {
            "for_each": {"lamp": {"kind": "lamp"}},
            "while": "not lamp.broken",
            "hold": [{"set": "lamp.level", "to": "50 %", "priority": "saving"}],
        }})  # fmt: skip
        city.at(5, {"l1.broken": False, "l1.level": 100})
        city.at(8, {"l1.level": 50})
        records = [json.loads(encode_decision(d)) for d in city.decisions]
        ways = [
            found.way
            for seconds in (6, 9)
            if (found := why_past(city.engine, point_at(records, "l1.level", city.start + seconds)))
        ]

        assert [(w.state, w.sent_at, w.confirmed_at) for w in ways if w is not None] == [
            ("sent", city.start + 5, None),
            ("done", city.start + 5, city.start + 8),
        ]


def cases() -> Iterator[Any]:
    """Return each folder of rules with tests: the site's, the demo's and the packs'."""
    for folder in RULE_FOLDERS:
        files = sorted(folder.glob("*.yaml"))
        if files:
            yield pytest.param(files, id=str(folder.relative_to(REPOSITORY)))


class TestOtherwise:
    @pytest.mark.parametrize("files", list(cases()))
    def test_is_what_comes(self, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        """At every moment that a test of the city's rules looks at: take away whoever decides, and what was said is wanted."""
        catalogue = load_plugins()
        program = load_or_refuse(
            {f.name: f.read_text() for f in files},
            catalogue.kinds,
            catalogue.functions,
            catalogue.calls,
        )
        wrong: list[str] = []
        looked: dict[tuple[int, int], int] = {}
        check = Scenario._check

        def look_and_check(scenario: Scenario, expectation: Any) -> None:
            engine = scenario.engine
            decided = [c for c in engine.cells.values() if c.array is not None and c.array.winner]
            if (id(scenario), engine.number) not in looked:
                twin = load(dump(engine, "test"), catalogue.functions, "test")
                wrong.extend(_compare(engine, twin, cell.id) for cell in decided)
                looked[id(scenario), engine.number] = len(decided)
            check(scenario, expectation)

        monkeypatch.setattr(Scenario, "_check", look_and_check)
        results = run_tests(program)

        assert [r.name for r in results if r.findings] == []
        assert [text for text in wrong if text] == []
        if "plugins" not in files[0].parts:
            assert sum(looked.values()) > len(results)


def _compare(engine: Engine, twin: Engine, point: str) -> str:
    """Take whoever decides a point away from a twin, and return what is other than was said."""
    said = why_point(engine, point)
    assert said is not None
    array = twin.cells[point].array
    assert array is not None
    assert array.winner is not None
    if said.who.sort in ("invariant", "minimum_time"):
        got = as_plain(array.candidate)
    else:
        gone = _party(array.winner)
        for owner, demand in list(array.demands.items()):
            if _party(demand) == gone:
                twin.arbiter.relinquish(array.cell, owner)
        winner, _ = array.best()
        value = array.cell.spec.default if winner is None else winner.value
        got = as_plain(twin.invariants.limit(array.cell, value)[0])
    expected = None if said.otherwise is None else said.otherwise.value
    return "" if got == expected else f"{point}: {got!r} came, {expected!r} was said"
