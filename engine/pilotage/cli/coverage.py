"""What tests saw of the rules: each condition true, false and unknown, each demand winning and losing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from pilotage.cli.console import console, print_table, table

if TYPE_CHECKING:
    from pilotage.cli.ruleset import RuleSet
    from pilotage.cli.test import Timed

OUTCOMES = ("true", "false", "unknown")


@dataclass(frozen=True, slots=True)
class Seen:
    """What tests saw of one rule, plan, alarm or invariant.

    Attributes:
        outcomes: Of its condition: `true`, `false`, `unknown`; for a story `true` is a run, for a plan a level.
        may: Outcomes that can be seen at all.
        won: True or False; None for what places no demands.
    """

    name: str
    what: str
    tests: int
    outcomes: frozenset[str]
    may: tuple[str, ...] = OUTCOMES
    won: bool | None = None
    lost: bool | None = None


def coverage_of(rules: RuleSet, runs: Sequence[Timed]) -> list[Seen]:
    """Return what the tests saw, in the order of the rules."""
    return list(_seen(rules, runs))


def _seen(rules: RuleSet, runs: Sequence[Timed]) -> Iterator[Seen]:
    program = rules.program
    parts = (
        *((r.name, "rule" if r.enter else "story", r.decl.name.at.file) for r in program.rules),
        *((p.name, "plan", p.decl.name.at.file) for p in program.plans),
        *((a.name, "alarm", a.decl.name.at.file) for a in program.alarms),
        *((i.name, "invariant", i.decl.name.at.file) for i in program.invariants),
    )
    holding = {r.name for r in program.rules if r.holds}
    holding |= {p.name for p in program.plans if any(level.holds for level in p.levels)}
    for name, what, file in parts:
        if file not in rules.focus:
            continue
        mine = [run for run in runs if name in {word.text for word in run.test.use}]
        yield Seen(
            name,
            what,
            len(mine),
            frozenset(t for run in mine for n, t in run.result.truths if n == name),
            OUTCOMES if what == "rule" else OUTCOMES[:2],
            any(name in run.result.won for run in mine) if name in holding else None,
            any(name in run.result.lost for run in mine) if name in holding else None,
        )


def print_coverage(rules: RuleSet, runs: Sequence[Timed]) -> None:
    """Print the table, and the total; `-` is what cannot be seen of this."""
    seen = coverage_of(rules, runs)
    made = table("NAME", "WHAT", "TESTS", "TRUE", "FALSE", "UNKNOWN", "WON", "LOST")
    for each in seen:
        cells = [
            _mark(outcome in each.outcomes if outcome in each.may else None) for outcome in OUTCOMES
        ]
        made.row(each.name, each.what, str(each.tests), *cells, _mark(each.won), _mark(each.lost))
    out = console()
    out.print()
    print_table(made)
    out.print(total(seen))
    out.print()


def total(seen: Sequence[Seen]) -> str:
    """Return the total in one line."""
    conditions = [outcome in each.outcomes for each in seen for outcome in each.may]
    demands = [d for each in seen for d in (each.won, each.lost) if d is not None]
    parts = (("outcomes of conditions", conditions), ("demands won and lost", demands))
    return "; ".join(
        f"{what}: {sum(marks)} of {len(marks)} ({_percent(marks)})" for what, marks in parts
    )


def _percent(marks: Sequence[bool]) -> str:
    return f"{sum(marks) / len(marks):.0%}" if marks else "nothing to see"


def _mark(seen: bool | None) -> Text:
    return Text("-") if seen is None else Text("yes", "good") if seen else Text("no", "warn")
