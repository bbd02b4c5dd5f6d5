"""Rule files that mean harm: none makes the engine raise, and none takes it longer than a second."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

from pilotage.core.engine import Engine
from pilotage.language.program import Program
from pilotage.language.rules import load_rules
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec
from pilotage.runtime.plugins import Catalogue, load_plugins

REPOSITORY = Path(__file__).resolve().parents[3]
MOST_S = 10.0  # a hang, not a figure: machines are shared
START = 1_770_000_000.0
ZONES = [
    EntitySpec(f"z{i}", "building_zone", values={"occupied": True, "co2": 900.0}) for i in range(3)
]
GATE = [EntitySpec("g", "gate", values={"open": True})]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """What the domain plugins bring."""
    folders = sorted((REPOSITORY / "plugins").glob("pilotage_*"))
    modules = [import_module(f"{folder.name}.plugin") for folder in folders]
    return load_plugins(extra=modules, entry_points=False)


Load = Callable[[str], tuple[Program, list[Finding]]]


@pytest.fixture
def load(catalogue: Catalogue) -> Load:
    """Load a rule file, without hanging."""

    def load_one(text: str) -> tuple[Program, list[Finding]]:
        begun = time.process_time()
        answer = load_rules({"x.yaml": text}, catalogue.kinds, catalogue.functions, catalogue.calls)
        assert time.process_time() - begun < MOST_S
        return answer

    return load_one


def codes(findings: Sequence[Finding]) -> set[str]:
    """Return the codes of the mistakes."""
    return {finding.code for finding in findings if finding.is_error}


def run(program: Program, inventory: Sequence[EntitySpec], ticks: int = 4) -> Engine:
    """Build an engine and let some seconds pass, each without hanging."""
    begun = time.process_time()
    engine = Engine(program, inventory, START)
    for second in range(ticks):
        engine.tick(START + second + 1.0)
        assert time.process_time() - begun < MOST_S
        begun = time.process_time()
    return engine


def hold(condition: str, *, name: str = "r", point: str = "climate", to: str = "eco") -> str:
    """Return a rule over zones, to stand below `rules:`."""
    return (
        f"  {name}:\n    title: t\n    owner: o\n    for_each: {{z: {{kind: building_zone}}}}\n"
        f"    while: {json.dumps(condition)}\n"
        f"    hold: [{{set: z.{point}, to: {json.dumps(to)}, priority: saving}}]\n"
    )


def story(when: str, step: str, more: str = "") -> str:
    """Return a story, to stand below `rules:`."""
    return f"  s:\n    title: t\n    owner: o\n    when: {when}\n{more}    do:\n      - {step}\n"


class TestExpressions:
    @pytest.mark.parametrize(
        "condition",
        [
            "(" * 900 + "z.occupied" + ")" * 900,
            "not " * 400 + "z.occupied",
            "-" * 1500 + "1 < 2",
            "true if z.occupied else " * 80 + "false",
            " or ".join(["z.occupied"] * 100_000),
            "(" * 400_000,
            "z" * 900_000,
            "z.co2 < " + "9" * 400 + " ppm",
            "z.co2 < 1e400 ppm",
        ],
    )
    def test_refused(self, load: Load, condition: str) -> None:
        """What nobody can read is refused."""
        _, found = load("rules:\n" + hold(condition))
        assert codes(found)

    @pytest.mark.parametrize(
        "condition",
        [
            " or ".join(["z.occupied"] * 90),
            "z.co2 / 0 < 3 ppm",
            "z.co2 % 0 ppm < 3 ppm",
            "round(z.co2, 400) < 3 ppm",
            "round(z.co2, -400) < 3 ppm",
            "clamp(z.co2, 9 ppm, 3 ppm) < 3 ppm",
            "z.co2 < " + "*".join(["99999999999999999999"] * 40) + " * 1 ppm",
            "avg(avg(avg(avg(z.co2, 31 d), 31 d), 31 d), 31 d) > 400 ppm",
        ],
    )
    def test_borne(self, load: Load, condition: str) -> None:
        """What is merely odd is worked out, or unknown."""
        program, found = load("rules:\n" + hold(condition))
        assert codes(found) == set()
        assert set(run(program, ZONES).evaluator.running) == {"r"}

    @pytest.mark.parametrize("name", ["__class__", "__init__", "co2.__class__", "__dict__"])
    def test_no_way_into_python(self, load: Load, name: str) -> None:
        """The names of Python's own are points that do not exist."""
        _, found = load("rules:\n" + hold(f"z.{name}"))
        assert codes(found) <= {"E201", "E208"} and found


class TestDerive:
    @pytest.mark.parametrize("step", [1, -1])
    def test_long_chain(self, load: Load, step: int) -> None:
        """A chain of eight hundred values stands in either order."""
        names = [f"a{i}" for i in range(800)][::step]
        lines = [f"  {names[0]}: {{value: min(building_zone.co2)}}"]
        lines += [f"  {b}: {{value: {a} + 1 ppm}}" for a, b in pairwise(names)]
        program, found = load("derive:\n" + "\n".join(lines[::step]) + "\n")
        assert codes(found) == set()
        assert run(program, ZONES).graph.globals[names[-1]].value == 900.0 + 799.0

    def test_long_circle(self, load: Load) -> None:
        """A circle of eight hundred values is told once, not followed to the bottom."""
        lines = [f"  a{i}: {{value: a{(i + 1) % 800} + 1 ppm}}" for i in range(800)]
        _, found = load("derive:\n" + "\n".join(lines) + "\n")
        assert codes(found) == {"E413"}

    def test_many_windows(self, load: Load) -> None:
        """Two hundred windows of a month are no burden."""
        lines = [
            f"  w{i}:\n    for_each: {{z: {{kind: building_zone}}}}\n    value: avg(z.co2, 31 d)"
            for i in range(200)
        ]
        program, _ = load("derive:\n" + "\n".join(lines) + "\n")
        assert run(program, ZONES).now == START + 4.0


class TestFiles:
    @pytest.mark.parametrize(
        "text",
        [
            "[" * 5000 + "]" * 5000,
            "\n".join(" " * i + "a:" for i in range(1000)),
            "a: &a [1]\nb: [*a, *a]\n",
            "rules:\n  " + "r" * 900_000 + ":\n    title: t\n",
            'rules:\n  r:\n    title: "' + "x" * 900_000 + '"\n',
            "rules:\n  r\0x:\n    title: t\n",
            "rules:\n" + story("at 12:00", 'note: "' + "x" * 1_000_000 + '"'),
            "rules:\n" + story("at 12:00", 'note: "' + "{time}" * 150_000 + '"'),
            "rules:\n" + story("at 12:00", 'note: "' + "{" * 900_000 + '"'),
            'rules:\n  "été ☃":\n    title: t\n    owner: o\n',
        ],
        ids=lambda text: ascii(text[:20]),
    )
    def test_refused(self, load: Load, text: str) -> None:
        """A file that is too deep, too long or too odd is refused."""
        _, found = load(text)
        assert codes(found)


class TestTemplates:
    @pytest.mark.parametrize(
        "template",
        [
            "{{ 'x' * 1000000000 }}",
            "{% for n in range(10) %}x{% endfor %}",
            "{% set x = 1 %}",
            "{{ 10 ** 10 ** 10 }}",
            "{{ z.name | replace('a', 'b') }}",
            "{{ z.name.upper() }}",
            "{{ z['name'] }}",
            "{% include 'x' %}",
            "{% macro a() %}{% endmacro %}",
            "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
            "{{ z.__class__ }}",
            "{{ cycler }}",
            "x" * 5000,
        ],
    )
    def test_refused(self, load: Load, template: str) -> None:
        """A template shows values, and does nothing else."""
        each = "    for_each: {z: {kind: building_zone}}\n"
        step = f"note: {{template: {json.dumps(template)}}}"
        _, found = load("rules:\n" + story("every 1 s", step, each))
        assert codes(found)

    @pytest.mark.parametrize(
        "template",
        ["{{ ''.__class__ }}", "{{ -z.name }}", "{{ z.name | round }}", "{{ z.co2 + z.name }}"],
    )
    def test_failing(self, load: Load, template: str) -> None:
        """A template that fails while it is filled in stops nothing."""
        each = "    for_each: {z: {kind: building_zone}}\n"
        step = f"note: {{template: {json.dumps(template)}}}"
        program, _ = load("rules:\n" + story("every 1 s", step, each))
        assert run(program, ZONES).stories.runs("s") == []


class TestCrowds:
    def test_ten_thousand_pairs(self, load: Load) -> None:
        """A hundred buses at a hundred junctions are ten thousand pairs."""
        text = (
            "rules:\n  r:\n    title: t\n    owner: o\n    for_each:\n"
            "      j: {kind: signal_junction}\n      b: {kind: bus, within: 50 km, of: j}\n"
            "    while: b.delay > 2 min\n    hold: [{request: j.priority, for: b, priority: service}]\n"
        )
        places = [(47.3 + i * 0.00001, 5.0) for i in range(100)]
        inventory = [
            *(EntitySpec(f"J{i}", "signal_junction", values={"position": p}) for i, p in enumerate(places)),  # type: ignore[dict-item]
            *(EntitySpec(f"b{i}", "bus", values={"position": p, "delay": 300.0}) for i, p in enumerate(places)),  # type: ignore[dict-item]
        ]  # fmt: skip
        program, _ = load(text)
        assert len(run(program, inventory).evaluator.instances("r")) == 10_000

    def test_branches(self, load: Load) -> None:
        """Branches that wait for ever are bounded, and an alarm tells."""
        step = (
            "for_each: {a: {kind: building_zone}}\n        together: true\n        do:\n"
            "          - for_each: {b: {kind: gate}}\n            together: true\n"
            "            do: [{wait: 1 h}]\n"
        )
        program, _ = load("rules:\n" + story("every 1 s", step, "    runs: parallel 1000\n"))
        zones = [EntitySpec(f"z{i}", "building_zone") for i in range(100)]
        gates = [EntitySpec(f"g{i}", "gate") for i in range(100)]
        assert run(program, [*zones, *gates]).alarms.all["loop[s]"].state == "raised"

    def test_every_millisecond(self, load: Load) -> None:
        """A period that would keep the engine busy with nothing else is refused."""
        _, found = load("rules:\n" + story("every 1 ms", "note: x"))
        assert codes(found) == {"E317"}


CIRCLES = {
    "wishes over a derived value": (
        "derive:\n  w:\n    for_each: {z: {kind: building_zone}}\n"
        '    value: wanted(z.climate) == "comfort"\nrules:\n' + hold("z.w")
    ),
    "a value that climbs": "rules:\n"
    + hold("z.occupied", point="setpoint", to="wanted(z.setpoint) + 0.01 K"),
    "a plan that ends its own reason": (
        "plans:\n  p:\n    title: t\n    owner: o\n    levels:\n"
        "      - {level: 1, name: a, enter: plan.level == 0}\n"
        "      - {level: 2, name: b, enter: plan.level == 1}\n"
    ),
    "plans that need each other's absence": (
        'plans:\n  p:\n    title: t\n    owner: o\n    levels: [{level: 1, name: a, enter: not plan("r").active}]\n'
        '  r:\n    title: t\n    owner: o\n    levels: [{level: 1, name: a, enter: plan("p").active}]\n'
    ),
    "a plan that its own steps set": (
        "plans:\n  p:\n    title: t\n    owner: o\n    levels:\n"
        "      - {level: 1, name: a, on_enter: [{plan: p, level: 0}], on_leave: [{plan: p, level: 1}]}\n"
        "rules:\n" + story("every 1 s", "{plan: p, level: 1}")
    ),
    "a story that its own incidents start": (
        "rules:\n  a:\n    title: t\n    owner: o\n    for_each: {i: {kind: incident}}\n"
        '    when: i.type becomes "x"\n    do: [{open_incident: {type: x, severity: low, title: y}}]\n'
        + story("every 1 s", "{open_incident: {type: x, severity: low, title: y}}")
    ),
    "a story that answers itself": (
        "rules:\n"
        + story(
            "wanted(g.lock) changes",
            """{set: g.lock, to: '"free" if wanted(g.lock) == "locked" else "locked"', """
            "priority: event, at_most: 1 h}",
            "    for_each: {g: {kind: gate}}\n",
        )
        + "  b:\n    title: t\n    owner: o\n    for_each: {g: {kind: gate}}\n    while: g.open\n"
        "    hold: [{set: g.lock, to: free, priority: service}]\n"
    ),
}


class TestCircles:
    @pytest.mark.parametrize("name", CIRCLES)
    def test_stays_calm(self, load: Load, name: str) -> None:
        """What drives itself is stopped within the tick, and the `loop` alarm tells."""
        program, found = load(CIRCLES[name])
        assert codes(found) == set()
        engine = run(program, [*ZONES, *GATE])
        assert [a.state for a in engine.alarms.all.values() if a.name == "loop"] == ["raised"]

    def test_invariants_that_fight(self, load: Load) -> None:
        """Of two invariants that forbid everything the first is obeyed."""
        lines = [
            f"  {name}: {{title: t, owner: o, for_each: {{z: {{kind: building_zone}}}}, "
            f'never: wanted(z.climate) == "{bad}", otherwise: {{set: z.climate, to: {good}}}}}'
            for name, bad, good in (("i", "eco", "comfort"), ("j", "comfort", "eco"))
        ]
        program, _ = load(
            "rules:\n" + hold("z.occupied") + "invariants:\n" + "\n".join(lines) + "\n"
        )
        array = run(program, ZONES).cells["z0.climate"].array
        assert array is not None and array.wanted == "comfort"

    def test_a_large_city_is_no_circle(self, load: Load) -> None:
        """A tick in which very many conditions change once each loses none of them."""
        zones = [
            EntitySpec(f"z{i}", "building_zone", values={"occupied": True}) for i in range(3_000)
        ]
        program, _ = load("rules:\n" + "".join(hold("z.occupied", name=f"r{i}") for i in range(3)))
        engine = Engine(program, zones, START)
        engine.tick(START + 1.0)
        states = [i.state for n in ("r0", "r1", "r2") for i in engine.evaluator.instances(n)]
        assert states == ["holding"] * 9_000
        assert not engine.alarms.all
