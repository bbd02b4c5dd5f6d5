"""What a reload replaces is let go of at once: the collector of a running engine is frozen and would never find a circle."""

from __future__ import annotations

import gc
from collections import Counter

from pilotage.core.engine import Engine
from pilotage.language.program import Program
from pilotage.language.rules import load_rules
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import number

START = 1_770_000_000.0
RULES = 40
KINDS = {
    "street": Kind(
        "street",
        "Street",
        (
            PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0),
            PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0),
        ),
    )
}
STREETS = [EntitySpec(f"s-{n}", "street") for n in range(RULES)]
RULE = """\
  dim-{n}:
    title: Dim street {n}
    owner: lighting
    for_each: {{street: {{kind: street, where: street.id == "s-{n}"}}}}
    while: street.flow < {limit} veh/h and avg(street.flow, 5 min) < 900 veh/h
    hold:
      - {{set: street.level, to: 30 %, priority: saving}}
"""


def program(limit: int) -> Program:
    """Return rules that are all otherwise with another limit."""
    rules = "".join(RULE.format(n=n, limit=limit) for n in range(RULES))
    made, findings = load_rules({"a.yaml": f"version: 1\nrules:\n{rules}"}, KINDS, {}, {})
    assert not findings
    return made


def garbage_of(limit: int, engine: Engine, now: float) -> Counter[str]:
    """Exchange all rules and return what is left in circles, by type."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        engine.adopt(program(limit), now)
        engine.tick(now + 0.5)
        gc.collect()
        return Counter(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


class TestReload:
    def test_nothing_of_the_rules_stays(self) -> None:
        """Of forty rules that were exchanged no instance, no watch, no program and no tree is left in a circle."""
        engine = Engine(program(40), STREETS, START)
        engine.tick(START + 1.0)
        garbage_of(41, engine, START + 2.0)  # what a process does once is done

        left = garbage_of(50, engine, START + 4.0)

        assert {name: count for name, count in left.items() if count >= RULES} == {}
        assert left["RuleFile"] == left["Inspection"] == left["HoldInstance"] == 0
