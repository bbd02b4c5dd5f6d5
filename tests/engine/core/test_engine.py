"""The tick: every change is seen, nothing is seen in halves, and a rule set is exchanged in one step."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import engine as engine_module
from pilotage.core.engine import Engine
from pilotage.core.evaluator import Evaluator
from pilotage.core.store import admit
from pilotage.core.stories import Stories
from pilotage.language.program import Program
from pilotage.model.entities import Function
from pilotage.model.messages import (
    Command,
    Faulted,
    Notice,
    OrderRefused,
    Override,
    Reading,
    ReleaseOverride,
    RuleChanged,
    TargetChanged,
)
from pilotage.model.quality import Quality
from pilotage.model.values import number

ROOMS = [Path(engine_module.__file__).parents[1] / room for room in ("model", "language", "core")]


def dim(condition: str = "street.a", **keys: Any) -> dict[str, Any]:
    return {
        "dim": {
            "for_each": {"street": {"kind": "street"}},
            "while": condition,
            "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
            **keys,
        }
    }


class TestTheTick:
    @pytest.mark.source
    def test_fits_on_one_screen(self) -> None:
        """The order of the rooms can be read in one look: 45 lines."""
        assert len(inspect.getsource(Engine.tick).splitlines()) <= 45

    @pytest.mark.parametrize(
        "file",
        sorted(f for room in ROOMS for f in room.rglob("*.py")),
        ids=lambda f: f"{f.parent.name}/{f.name}",
    )
    def test_no_outside(self, file: Path) -> None:
        """No room of the core reads a clock, a file, the environment or chance, or makes threads."""
        forbidden = {
            "time", "random", "uuid", "secrets", "os", "socket", "threading", "asyncio", "logging",
            "sqlite3", "subprocess", "tempfile",
        }  # fmt: skip
        calls = {"open", "input", "print", "eval"}
        attributes = {"now", "today", "utcnow", "urandom", "environ", "getenv", "monotonic"}
        found: list[str] = []
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [a.name for a in node.names if a.name.split(".")[0] in forbidden]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found += [node.module] if node.module.split(".")[0] in forbidden else []
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found += [node.func.id] if node.func.id in calls else []
            elif isinstance(node, ast.Attribute) and node.attr in attributes:
                owner = ast.unparse(node.value)
                if owner in ("datetime", "date", "datetime.datetime", "os", "time"):
                    found.append(f"{owner}.{node.attr}")
        assert found == []

    def test_nothing_decided(self, town: Callable[..., Any]) -> None:
        """A tick that decides nothing leaves no decision."""
        city = town(rules=dim())
        assert city.at(1, {"s1.x": 4.0}) is None

    def test_clock_never_goes_back(self, town: Callable[..., Any]) -> None:
        """A tick that says an earlier time is one at the last time."""
        city = town(rules=dim(**{"for": "10 s"}))
        city.at(5, {"s1.a": True})
        city.engine.tick(city.start + 1)
        assert city.now == 5
        city.at(15.1)
        assert city.state("dim") == "holding"

    def test_every_reading_is_seen(self, town: Callable[..., Any]) -> None:
        """Two readings of one point in one tick are two events, though nothing is commanded in between."""
        city = town(rules=dim())
        city.at(0, {"s1.a": False})
        city.new()
        moment = city.start + 1
        city._tick(moment, [city.reading("s1.a", v, moment) for v in (True, False)])
        assert [e.after for e in city.new(RuleChanged)] == ["holding", "idle"]
        assert city.events(Command) == []

    def test_circle(self, town: Callable[..., Any]) -> None:
        """Rules that drive each other in a circle end with an alarm, not with a hanging city."""
        rules = dim("any(lamp.bright)")
        rules["dark"] = {
            "for_each": {"lamp": {"kind": "lamp"}},
            "while": "any(street.dim)",
            "hold": [{"set": "lamp.mode", "to": "off", "priority": "saving"}],
        }
        derive = {
            "bright": {
                "for_each": {"lamp": {"kind": "lamp"}},
                "value": 'wanted(lamp.mode) == "auto"',
            },
            "dim": {
                "for_each": {"street": {"kind": "street"}},
                "value": "wanted(street.level) < 50 %",
            },
        }
        city = town({"s1": {"kind": "street"}, "L": {"kind": "lamp"}}, rules=rules, derive=derive)
        city.at(1, {"s1.a": True})
        assert city.alarm("loop[rules]") == "raised"
        assert len(city.all_events) < 5_000
        city.at(2, {"s1.x": 1.0})


class TestDerived:
    def test_diamond(self, town: Callable[..., Any]) -> None:
        """Two ways from one value meet again: nobody ever sees one new half and one old."""
        derive = {
            "low": {"for_each": {"street": {"kind": "street"}}, "value": "street.x - 1"},
            "high": {"for_each": {"street": {"kind": "street"}}, "value": "street.lifted + 1"},
            "lifted": {"for_each": {"street": {"kind": "street"}}, "value": "street.x + 0"},
            "gap": {
                "for_each": {"street": {"kind": "street"}},
                "value": "street.high - street.low",
            },
            "moves": {
                "for_each": {"street": {"kind": "street"}},
                "value": "changes(street.gap, 1 h)",
            },
        }
        rules = {**dim("street.gap != 2"), "two": {**dim("street.high < street.low")["dim"]}}
        city = town(derive=derive, rules=rules, past={"s1.x": (0.0, 7200.0)})
        for second in range(1, 50):
            city.at(second, {"s1.x": float(second % 7)})
        assert city.value("s1.gap") == 2.0
        assert "holding" not in [e.after for e in city.events(RuleChanged)]
        assert city.value("s1.moves") in (0.0, None)

    def test_chain_through_a_reference(self, town: Callable[..., Any]) -> None:
        """A derived value of another entity is followed when the reference moves."""
        derive = {"double": {"for_each": {"street": {"kind": "street"}}, "value": "street.x * 2"}}
        things = {f"s{i}": {"kind": "street", "x": float(i)} for i in (1, 2, 3)}
        city = town(things, derive=derive, rules=dim("street.next.double > 5"))
        city.at(1, {"s1.next": "s2"})
        assert city.state("dim", "s1") == "idle"
        city.at(2, {"s1.next": "s3"})
        assert city.state("dim", "s1") == "holding"
        city.at(3, {"s3.x": 1.0})
        assert city.state("dim", "s1") == "idle"


class TestAge:
    def test_stale(self, town: Callable[..., Any]) -> None:
        """Five minutes after the last reading a flow is unknown; a repeated reading keeps it alive."""
        city = town(rules=dim("street.flow < 60 veh/h"))
        city.at(0, {"s1.flow": 40.0})
        city.at(200, {"s1.flow": 40.0})
        city.at(499.9)
        assert city.state("dim") == "holding"
        city.at(500.1)
        assert (city.state("dim"), city.value("s1.flow")) == ("unknown", None)
        assert city.engine.cells["s1.flow"].quality is Quality.STALE
        assert city.engine.cells["s1.flow"].last == 40.0
        city.at(600, {"s1.flow": 40.0})
        assert city.state("dim") == "holding"

    def test_old_on_arrival(self, town: Callable[..., Any]) -> None:
        """A reading that is too old already when it arrives (a gateway's memory) moves nothing."""
        city = town(rules=dim("street.flow < 60 veh/h"))
        now = city.start + 1000
        reading = admit(
            city.engine.cells["s1.flow"], 40.0, Quality.GOOD, now - 301, now, city.engine.entities
        )
        assert isinstance(reading, Reading)
        city._tick(now, [reading])
        assert city.state("dim") == "unknown"
        assert city.events(Command) == []


class TestPlugins:
    def functions(self, *answers: Any) -> list[Function]:
        left = list(answers)

        def broken(x: float) -> Any:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return [Function("vendor.score", broken_parameters(), number(), broken)]

    def test_raises(self, town: Callable[..., Any]) -> None:
        """A function that raises is named, gives unknown, and the other rules go on."""
        rules = {
            **dim("vendor.score(street.x) > 5", if_unknown="hold"),
            "other": dim("street.b")["dim"],
        }
        city = town(rules=rules, functions=self.functions(ValueError("no licence")))
        city.at(1, {"s1.x": 1.0, "s1.b": True})
        assert (city.state("dim"), city.state("other")) == ("unknown", "holding")
        (fault,) = city.events(Faulted)
        assert "broken" in fault.owner and fault.detail == "ValueError: no licence"
        for second in range(2, 50):
            city.at(second, {"s1.x": float(second)})
        assert len(city.events(Faulted)) == 1  # told once a minute

    @pytest.mark.parametrize("answer", ["lots", float("nan"), True, [1.0]])
    def test_answers_nonsense(self, town: Callable[..., Any], answer: Any) -> None:
        """A function that answers with another type than it declares is a fault too."""
        city = town(rules=dim("vendor.score(street.x) > 5"), functions=self.functions(answer))
        city.at(1, {"s1.x": 1.0})
        assert city.state("dim") == "unknown"
        assert len(city.events(Faulted)) == 1


def broken_parameters() -> Any:
    from pilotage.model.entities import Parameter

    return (Parameter("x", number()),)


class TestAdopt:
    def test_unchanged_keeps_its_state(self, town: Callable[..., Any]) -> None:
        """A rule that means the same goes on as if nothing had been; a new title is no new meaning."""
        city = town(rules=dim(keep="60 s"))
        city.at(0, {"s1.a": True})
        city.at(10, {"s1.a": False})
        before = city.engine.evaluator.instances("dim")
        city.adopt(rules=dim(keep="1 min", title="Another title"))
        city.at(69)
        assert city.engine.evaluator.instances("dim") == before
        assert city.state("dim") == "holding"
        city.at(71)
        assert city.state("dim") == "idle"

    def test_changed_is_swapped(self, town: Callable[..., Any]) -> None:
        """A rule that means something else begins anew; what stays wanted is not sent again."""
        city = town(rules=dim())
        city.at(0, {"s1.a": True})
        city.at(1, {"s1.level": 30.0})
        city.sent()
        city.adopt(rules=dim("street.a or street.b"))
        city.at(2)
        assert (city.wanted("s1.level"), city.sent()) == (30.0, [])

    def test_removed_lets_go(self, town: Callable[..., Any]) -> None:
        """A rule that is taken out gives everything back, and a new one begins."""
        city = town(rules=dim())
        city.at(0, {"s1.a": True, "s1.b": True})
        rules = {"eco": {**dim("street.b")["dim"]}}
        rules["eco"]["hold"] = [{"set": "street.level", "to": "60 %", "priority": "saving"}]
        city.adopt(rules=rules)
        city.at(1)
        assert (city.wanted("s1.level"), city.by("s1.level")) == (60.0, "eco")

    def test_forgets_what_is_gone(
        self, town: Callable[..., Any], street_program: Callable[..., Program]
    ) -> None:
        """What was compiled of a rule that is gone goes with it; that of one that stays, stays."""
        both = {**dim("not street.a"), "eco": dim("not street.b")["dim"]}
        city = town(rules=both)
        city.at(0, {"s1.a": False, "s1.b": False})
        old, eco = city.engine.program.rules
        (new,) = street_program(rules=dim("street.a or street.b")).rules
        city.engine.adopt(replace(city.engine.program, rules=(new, eco)), city.engine.now)
        compiled = city.engine.graph._compiled
        assert (old.enter in compiled, eco.enter in compiled) == (False, True)
        city.at(1, {"s1.b": True})
        assert city.state("eco") == "idle"

    def test_windows_keep_their_past(self, town: Callable[..., Any]) -> None:
        """A derived mean of 15 min is as well known after a reload as before."""
        derive = {
            "calm": {"for_each": {"street": {"kind": "street"}}, "value": "avg(street.x, 15 min)"}
        }
        city = town(derive=derive, rules=dim("street.calm < 60"))
        for minute in range(20):
            city.at(minute * 60, {"s1.x": 40.0 + minute % 2})
        assert city.state("dim") == "holding"
        city.new()
        city.adopt(derive=derive, rules={**dim("street.calm < 60"), "new": dim("street.b")["dim"]})
        city.at(1201, {"s1.x": 43.0})
        assert city.state("dim") == "holding"
        assert (city.new(RuleChanged), city.state("new")) == ([], "unknown")

    def test_changed_value(self, town: Callable[..., Any]) -> None:
        """A derived value that means something else is worked out anew at once."""
        derive = {"twice": {"for_each": {"street": {"kind": "street"}}, "value": "street.x * 2"}}
        city = town(derive=derive, rules=dim("street.twice > 5"))
        city.at(1, {"s1.x": 2.0})
        assert city.state("dim") == "idle"
        derive["twice"]["value"] = "street.x * 3"
        city.adopt(derive=derive, rules=dim("street.twice > 5"))
        city.at(2)
        assert city.state("dim") == "holding"

    def test_new_plan_and_who_reads_it(self, town: Callable[..., Any]) -> None:
        """A new plan and the rules and invariants that speak of it come together."""
        plans = {
            "snow": {
                "priority": "plan",
                "levels": [
                    {
                        "level": 1,
                        "name": "on",
                        "enter": "any(street.b)",
                        "enable": ["lent"],
                        "hold": [
                            {"each": {"lamp": {"kind": "lamp"}}, "set": "lamp.level", "to": "9 %"}
                        ],
                    }
                ],
            }
        }
        invariants = {
            "lit": {
                "for_each": {"street": {"kind": "street"}},
                "never": 'plan("snow").level >= 1 and wanted(street.level) < 50 %',
                "otherwise": {"set": "street.level", "to": "50 %"},
            }
        }
        rules = {**dim('plan("snow").active and street.a'), "lent": dim("street.a")["dim"]}
        city = town()
        city.at(0, {"s1.a": True, "s1.b": False})
        city.adopt(rules=rules, plans=plans, invariants=invariants)
        city.at(1)
        assert city.state("lent") == "absent"
        city.at(2, {"s1.b": True})
        assert (city.state("dim"), city.state("lent")) == ("holding", "holding")
        assert city.wanted("s1.level") == 50.0
        assert city.value("plan:snow.level") == 1.0
        city.adopt(rules={"lent": dim("street.a")["dim"]})
        city.at(3)
        assert (city.state("lent"), city.wanted("s1.level")) == ("holding", 30.0)


class TestOverrides:
    def refused(self, city: Any, order: Any) -> str:
        city.new()
        city.at(city.now + 1, {}, order)
        found = city.new(OrderRefused)
        return found[0].why if found else ""

    def test_announced_and_ended(self, town: Callable[..., Any]) -> None:
        """Ten minutes before its end an override is announced, then what waited returns."""
        city = town(rules=dim())
        city.at(0, {"s1.a": True})
        city.at(1, {}, Override("s1.level", 80.0, "ann", "works", city.start + 3600))
        assert city.by("s1.level") == "operator ann"
        city.at(3601)
        notices = [
            d.now - city.start for d in city.decisions for e in d.events if isinstance(e, Notice)
        ]
        assert notices == [3000.0]
        assert city.wanted("s1.level") == 30.0
        assert city.events(TargetChanged)[-1].level == 14

    def test_renewed(self, town: Callable[..., Any]) -> None:
        """A renewed override is announced before its new end only."""
        city = town()
        city.at(1, {}, Override("s1.level", 80.0, "ann", "works", city.start + 3600))
        city.at(2, {}, Override("s1.level", 80.0, "ann", "works", city.start + 7200))
        city.at(5000)
        assert city.events(Notice) == []
        assert city.wanted("s1.level") == 80.0

    def test_refused(self, town: Callable[..., Any]) -> None:
        """No point, no reason, no end, too long, no such value, not to be set: each is said."""
        city = town()
        end = city.start + 3600
        assert (
            self.refused(city, Override("s9.level", 1.0, "ann", "works", end))
            == 'there is no point "s9.level"'
        )
        assert (
            self.refused(city, Override("s1.level", 1.0, "ann", " ", end)) == "a reason is needed"
        )
        late = Override("s1.level", 1.0, "ann", "works", city.start + 90_000)
        assert self.refused(city, late) == "an end is needed, at most 1 d from now"
        assert self.refused(city, Override("s1.level", 1.0, "ann", "works", city.start - 5)) != ""
        assert self.refused(city, Override("s1.level", "high", "ann", "works", end)) != ""
        assert (
            self.refused(city, Override("s1.x", 1.0, "ann", "works", end))
            == "s1.x is reported and cannot be set"
        )
        assert (
            self.refused(city, ReleaseOverride("s1.level", "ann")) == "s1.level is not overridden"
        )
        assert city.wanted("s1.level") == 100.0

    def test_no_input(self, town: Callable[..., Any]) -> None:
        """What is no input is a mistake of the caller."""
        with pytest.raises(TypeError, match="str is no input"):
            town().at(1, {}, "hello")


class TestDoor:
    @pytest.mark.parametrize(
        ("point", "raw", "value", "quality"),
        [
            ("s1.a", True, True, Quality.GOOD),
            ("s1.a", 1, None, Quality.BAD),
            ("s1.x", 3, 3.0, Quality.GOOD),
            ("s1.x", True, None, Quality.BAD),
            ("s1.x", float("nan"), None, Quality.BAD),
            ("s1.x", float("inf"), None, Quality.BAD),
            ("s1.x", 10**400, None, Quality.BAD),
            ("s1.x", "3", None, Quality.BAD),
            ("s1.x", None, None, Quality.MISSING),
            ("L.level", 100.0, 100.0, Quality.GOOD),
            ("L.level", 100.1, None, Quality.BAD),
            ("s1.state", "red", "red", Quality.GOOD),
            ("s1.state", "RED", None, Quality.BAD),
            ("s1.next", "s9", None, Quality.BAD),
            ("s1.next", "L", None, Quality.BAD),
            ("bus.position", [47.0, 5.0], (47.0, 5.0), Quality.GOOD),
            ("bus.position", {"lat": 47.0, "lon": 5.0}, (47.0, 5.0), Quality.GOOD),
            ("bus.position", [147.0, 5.0], None, Quality.BAD),
            ("bus.position", "here", None, Quality.BAD),
        ],
    )
    def test_admits(
        self, town: Callable[..., Any], point: str, raw: Any, value: Any, quality: Quality
    ) -> None:
        """The right type, finite and in range comes in as good; the rest as bad, and the point is unknown."""
        things = {"s1": {"kind": "street"}, "L": {"kind": "lamp"}, "bus": {"kind": "bus"}}
        city = town(things)
        engine = city.engine
        found = admit(
            engine.cells[point], raw, Quality.GOOD, engine.now, engine.now, engine.entities
        )
        assert isinstance(found, Reading)
        assert (found.value, found.quality) == (value, quality)

    @pytest.mark.parametrize(
        ("point", "late_by", "why"),
        [
            ("s1.x", -6.0, "6 s in the future"),
            ("s1.x", 50.0, "40 s older than the last reading"),
            ("s1.x", float("nan"), "is no time"),
            ("s1.rank", 0.0, "devices do not report it"),
        ],
    )
    def test_refuses(self, town: Callable[..., Any], point: str, late_by: float, why: str) -> None:
        """What has no place in time, or no right to speak, does not come in."""
        city = town()
        city.at(90, {"s1.x": 1.0})
        engine, now = city.engine, city.start + 100
        found = admit(engine.cells[point], 1.0, Quality.GOOD, now - late_by, now, engine.entities)
        assert isinstance(found, str) and why in found


class TestWantedReadsBack:
    def test_rule_follows_a_decision(self, town: Callable[..., Any]) -> None:
        """A rule may follow what is wanted elsewhere, in the same tick."""
        rules = dim()
        rules["too"] = {
            "for_each": {"lamp": {"kind": "lamp"}},
            "while": "any(street.dark)",
            "hold": [{"set": "lamp.level", "to": "30 %", "priority": "saving"}],
        }
        derive = {
            "dark": {
                "for_each": {"street": {"kind": "street"}},
                "value": "wanted(street.level) < 50 %",
            }
        }
        city = town({"s1": {"kind": "street"}, "L": {"kind": "lamp"}}, rules=rules, derive=derive)
        decision = city.at(1, {"s1.a": True})
        assert city.wanted("L.level") == 30.0
        assert [e.point for e in decision.events if isinstance(e, Command)] == [
            "s1.level",
            "L.level",
        ]


class TestExchangeAtScale:
    def test_asks_no_room_for_all_its_rules(
        self, town: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An exchange looks each rule up by its name: with 10,000 rules, a list of all for each held the engine for 13 s."""
        rules = {
            f"r{n}": {
                "for_each": {"s": {"kind": "street"}},
                "when": f"s.x becomes {n}",
                "do": [{"note": "x"}],
            }
            for n in range(20)
        }
        city = town(rules=rules)
        asked: list[str] = []

        def all_rules(room: Any) -> dict[str, Any]:
            asked.append(type(room).__name__)
            return {}

        for room in (Evaluator, Stories):
            monkeypatch.setattr(room, "running", property(all_rules))
        city.adopt(rules={**rules, "r3": {**rules["r3"], "do": [{"note": "y"}]}})
        assert asked == []
