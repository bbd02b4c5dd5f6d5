"""One meaning, three ways: the compiled function, the interpreter, and Kleene's truth tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from pilotage.model.diagnostics import RuleError

World = Mapping[str, Any]
READ = ("a", "b", "c", "x", "y", "z", "speed", "temperature", "state")


@dataclass(frozen=True)
class Said:
    """An expression as it is written, and what it means in a world of values that may be None."""

    text: str
    means: Callable[[World], Any]


def strict(text: str, call: Callable[..., Any], *parts: Said) -> Said:
    """Unknown as soon as a part is."""

    def means(world: World) -> Any:
        values = [part.means(world) for part in parts]
        return None if any(v is None for v in values) else call(*values)

    return Said(text.format(*(p.text for p in parts)), means)


def all_of(*parts: Said) -> Said:
    """Kleene's `and`: the least of false < unknown < true."""
    rank = {False: 0, None: 1, True: 2}
    return Said(
        "(" + " and ".join(p.text for p in parts) + ")",
        lambda w: min((p.means(w) for p in parts), key=rank.__getitem__),
    )


def any_of(*parts: Said) -> Said:
    """Kleene's `or`: the greatest of false < unknown < true."""
    rank = {False: 0, None: 1, True: 2}
    return Said(
        "(" + " or ".join(p.text for p in parts) + ")",
        lambda w: max((p.means(w) for p in parts), key=rank.__getitem__),
    )


def choice(condition: Said, then: Said, otherwise: Said) -> Said:
    """`x if c else y`: unknown with its condition, and only the chosen side matters."""

    def means(world: World) -> Any:
        truth = condition.means(world)
        return None if truth is None else (then if truth else otherwise).means(world)

    return Said(f"({then.text} if {condition.text} else {otherwise.text})", means)


def point(name: str) -> Said:
    return Said(f"street.{name}", lambda w: w[name])


def known(part: Said) -> Said:
    return Said(f"known({part.text})", lambda w: part.means(w) is not None)


def divided(a: float, b: float) -> float | None:
    return None if b == 0 else a / b


def rest(a: float, b: float) -> float | None:
    return None if b == 0 else a % b


def half_up(a: float) -> float:
    return math.floor(a + 0.5)


NUMBER_LEAF = st.one_of(
    st.sampled_from([point("x"), point("y"), point("z")]),
    st.integers(0, 3).map(lambda n: Said(str(n), lambda w: float(n))),
)


def bigger_numbers(inner: st.SearchStrategy[Said]) -> st.SearchStrategy[Said]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda p: strict("({} + {})", lambda a, b: a + b, *p)),
        two.map(lambda p: strict("({} - {})", lambda a, b: a - b, *p)),
        two.map(lambda p: strict("({} * {})", lambda a, b: a * b, *p)),
        two.map(lambda p: strict("({} / {})", divided, *p)),
        two.map(lambda p: strict("({} % {})", rest, *p)),
        two.map(lambda p: strict("min({}, {})", min, *p)),
        inner.map(lambda p: strict("(-{})", lambda a: -a, p)),
        inner.map(lambda p: strict("abs({})", abs, p)),
        inner.map(lambda p: strict("round({})", half_up, p)),
        st.tuples(inner, st.sampled_from("abc").map(point), inner).map(
            lambda p: choice(p[1], p[0], p[2])
        ),
    )


NUMBERS = st.recursive(NUMBER_LEAF, bigger_numbers, max_leaves=5)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
CONDITION_LEAF = st.one_of(
    st.sampled_from([point("a"), point("b"), point("c")]),
    st.tuples(NUMBERS, st.sampled_from(sorted(OPERATORS)), NUMBERS).map(
        lambda p: strict(f"({{}} {p[1]} {{}})", OPERATORS[p[1]], p[0], p[2])
    ),
    st.tuples(NUMBERS, NUMBERS, NUMBERS).map(
        lambda p: Said(
            f"({p[0].text} < {p[1].text} <= {p[2].text})",
            all_of(
                strict("{} {}", OPERATORS["<"], p[0], p[1]),
                strict("{} {}", OPERATORS["<="], p[1], p[2]),
            ).means,
        )
    ),
    NUMBERS.map(known),
    # 36 km/h = 10 m/s; 0 °C = 273.15 K: by hand
    st.just(strict("({} > 10 m/s)", lambda v: v > 36.0, point("speed"))),
    st.just(strict("(260 K < {})", lambda t: t > -13.15, point("temperature"))),
    st.just(strict('({} == "red")', lambda s: s == "red", point("state"))),
    st.just(strict("({} in [red, blue])", lambda s: s in ("red", "blue"), point("state"))),
    st.just(strict("({} not in [green])", lambda s: s != "green", point("state"))),
)


def bigger_conditions(inner: st.SearchStrategy[Said]) -> st.SearchStrategy[Said]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda p: all_of(*p)),
        several.map(lambda p: any_of(*p)),
        inner.map(lambda p: strict("(not {})", lambda a: not a, p)),
        inner.map(known),
        st.tuples(inner, inner, inner).map(lambda p: choice(*p)),
    )


CONDITIONS = st.recursive(CONDITION_LEAF, bigger_conditions, max_leaves=8)
WORLDS = st.lists(
    st.fixed_dictionaries(
        {
            **{n: st.sampled_from([True, False, None]) for n in "abc"},
            **{n: st.sampled_from([0.0, 1.0, 2.5, -3.0, None]) for n in "xyz"},
            "speed": st.sampled_from([0.0, 35.0, 37.0, None]),
            "temperature": st.sampled_from([-14.0, 5.0, None]),
            "state": st.sampled_from(["red", "green", "blue", None]),
        }
    ),
    min_size=1,
    max_size=6,
)


def rule(text: str) -> dict[str, Any]:
    return {
        "r": {
            "for_each": {"street": {"kind": "street"}},
            "while": text,
            "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
        }
    }


class TestThreeValues:
    @settings(max_examples=400, deadline=None)
    @given(said=CONDITIONS, worlds=WORLDS)
    def test_same_truth(self, town: Callable[..., Any], said: Said, worlds: list[World]) -> None:
        """Compiled, interpreted and worked out by truth table, a condition says the same of every world."""
        try:
            city = town(rules=rule(f"street.a or known(street.x) or ({said.text})"))
        except RuleError as error:
            assert {f.code for f in error.findings} == {"E414"}, (
                said.text
            )  # too costly to be a rule
            reject()
        (instance,) = city.engine.evaluator.instances("r")
        node = instance.rule.enter.operands[2]
        compiled = city.engine.graph.bind(node, instance.env)
        for second, world in enumerate(worlds, start=1):
            city.at(second, {f"s1.{name}": value for name, value in world.items()})
            expected = said.means(world)
            assert compiled() is expected, said.text
            assert city.engine.interpreter.evaluate(node, instance.env) is expected, said.text

    def test_kleene(self, town: Callable[..., Any]) -> None:
        """The two tables of Kleene (1938), written out."""
        city = town(rules=rule("(street.a and street.b) or known(street.x)"))
        (instance,) = city.engine.evaluator.instances("r")
        both = instance.rule.enter.operands[0]
        evaluate = city.engine.graph.bind(both, instance.env)
        table = {
            (True, True): True, (True, None): None, (True, False): False,
            (None, True): None, (None, None): None, (None, False): False,
            (False, True): False, (False, None): False, (False, False): False,
        }  # fmt: skip
        for second, (a, b) in enumerate(itertools.product((True, None, False), repeat=2), start=1):
            city.at(second, {"s1.a": a, "s1.b": b})
            assert evaluate() is table[(a, b)]


class TestDepth:
    @pytest.mark.parametrize("op", ["+", "and"])
    def test_long_chains(self, town: Callable[..., Any], op: str) -> None:
        """A long sum or conjunction compiles: whatever the checker lets through runs."""
        if op == "and":
            text = " and ".join(["street.a"] * 60)
        else:
            text = "(" + " + ".join(["street.x"] * 48) + ") > 0"
        city = town(rules=rule(text))
        city.at(1, {"s1.a": True, "s1.x": 1.0})
        assert city.state("r") == "holding"

    def test_deep_brackets(self, town: Callable[..., Any]) -> None:
        """Deeply nested choices compile too."""
        text = "street.x"
        for _ in range(16):
            text = f"abs({text} + (1 if street.a else 2))"
        city = town(rules=rule(f"{text} > 0"))
        city.at(1, {"s1.a": True, "s1.x": 1.0})
        assert city.state("r") == "holding"


class TestHugeNumbers:
    @pytest.mark.parametrize(
        "text", ["round(street.x * 1000000000)", "street.x * street.x", "round(street.y, street.x)"]
    )
    def test_no_answer(self, town: Callable[..., Any], text: str) -> None:
        """A number that is too large for arithmetic stops nothing: it is unknown, or as large as it gets."""
        city = town(rules=rule(f"{text} > 5"))
        city.at(1, {"s1.x": 1e308, "s1.y": 1.0})
        assert city.state("r") in ("unknown", "holding", "idle")
        city.at(2, {"s1.x": 3.0, "s1.y": 7.0})
        assert city.state("r") == "holding"


class TestReferences:
    THINGS: ClassVar[dict[str, Any]] = {
        "s1": {"kind": "street"},
        "s2": {"kind": "street", "a": True, "x": 1.0},
        "s3": {"kind": "street", "a": False, "x": 9.0},
    }

    @pytest.mark.parametrize(
        ("text", "at_s2", "at_s3"),
        [
            ("street.next.a", True, False),
            ("street.next.x > 5", False, True),
            ("wanted(street.next.level) > 50 %", True, False),
            ("age(street.next.b) > 5 s", True, False),
            ('street.next.id == "s2"', True, False),
            ("street.next.next.a", False, True),
        ],
    )
    def test_change_while_it_runs(
        self, town: Callable[..., Any], text: str, at_s2: bool, at_s3: bool
    ) -> None:
        """What a condition reads moves with the reference; an unknown reference is unknown."""
        rules = rule(text)
        rules["r"]["for_each"]["street"]["where"] = 'street.id == "s1"'
        rules["dark"] = {
            "for_each": {"street": {"kind": "street", "where": 'street.id == "s3"'}},
            "while": "not street.a",
            "hold": [{"set": "street.level", "to": "10 %", "priority": "saving"}],
        }
        city = town(self.THINGS, rules=rules)
        city.at(20, {"s3.b": True, "s2.next": "s3", "s3.next": "s2"})
        assert city.state("r", "s1") == "unknown"
        states = {True: "holding", False: "idle"}
        city.at(21, {"s1.next": "s2"})
        assert city.state("r", "s1") == states[at_s2]
        city.at(22, {"s1.next": "s3", "s3.b": True})
        assert city.state("r", "s1") == states[at_s3]
        city.at(23, {"s1.next": "s2"})
        assert city.state("r", "s1") == states[at_s2]
        city.at(24, {"s1.next": None})
        assert city.state("r", "s1") == "unknown"
