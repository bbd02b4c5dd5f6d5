"""A checked rule set, ready to run: declarations whose expressions are typed.

Nothing here changes while the engine runs; the core builds its live state beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from pilotage.language import syntax
from pilotage.language.typed import Read, Typed
from pilotage.model.diagnostics import Span
from pilotage.model.entities import CallSpec, Function, Kind
from pilotage.model.values import ValueType


@dataclass(frozen=True, slots=True)
class SetProgram:
    """A variable that runs over a set of entities.

    Attributes:
        source: An expression that yields the set, instead of a kind.
    """

    variable: str
    kind: str
    where: Typed | None = None
    within_m: float | None = None
    of: Typed | None = None
    source: Typed | None = None


@dataclass(frozen=True, slots=True)
class TextProgram:
    """A text for people: plain pieces and typed expressions, or a Jinja2 template with its names."""

    parts: tuple[str | Typed, ...]
    template: str | None = None
    names: tuple[tuple[str, Typed], ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectProgram:
    """How a command is verified; None leaves it to the point's kind."""

    status: tuple[str, ...] = ()
    within_s: float | None = None
    retry: int | None = None


@dataclass(frozen=True, slots=True)
class HoldProgram:
    """A demand that stands while its owner holds.

    Attributes:
        target: The point; its base is an expression over the rule's variables and those of `each`.
        value: What is wanted (an entity for a request).
        data: The `with` of a request.
    """

    each: tuple[SetProgram, ...]
    target: Read
    value: Typed | TextProgram
    is_request: bool
    data: tuple[tuple[str, Typed | TextProgram], ...]
    level: int
    ramp_up_s: float
    ramp_down_s: float
    expect: ExpectProgram
    on_failure: tuple[StepProgram, ...]
    at: Span


@dataclass(frozen=True, slots=True)
class StepProgram:
    """A step of a story, typed.

    Attributes:
        how: `set`, `call`, `notify`, `incident`, `note`, `let`, `if`, `for_each`, `wait`, `wait_for`, `plan`, `alarm`.
        parts: The step's expressions and settings by name.
        branches: The step's own steps by name: `then`, `otherwise`, `do`, `on_failure`.
    """

    how: str
    at: Span
    parts: Mapping[str, Any]
    branches: Mapping[str, tuple[StepProgram, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleProgram:
    """A rule: either `enter` (a hold) or `when` (a story) is set."""

    name: str
    identity: str
    decl: syntax.Rule
    for_each: tuple[SetProgram, ...]
    enter: Typed | None
    stay: Typed | None
    when: Typed | None
    condition: Typed | None
    holds: tuple[HoldProgram, ...]
    steps: tuple[StepProgram, ...]
    if_unknown: str
    cost: int

    @property
    def title(self) -> str:
        """The rule's title, in English where there is a choice."""
        return self.decl.title.in_language("en") if self.decl.title else self.name


@dataclass(frozen=True, slots=True)
class DeriveProgram:
    """A derived value, per entity of `kind` or for the city (`kind` empty)."""

    name: str
    kind: str
    variable: str
    where: Typed | None
    value: Typed
    type: ValueType
    coverage: float | None
    identity: str = ""


@dataclass(frozen=True, slots=True)
class LevelProgram:
    """A level of a plan."""

    level: int
    name: str
    enter: Typed | None
    holds: tuple[HoldProgram, ...]
    on_enter: tuple[StepProgram, ...]
    on_leave: tuple[StepProgram, ...]
    checklist: tuple[tuple[TextProgram, str, float], ...]
    enable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParameterProgram:
    """A parameter of a plan: a typed default, and its range in the parameter's unit."""

    name: str
    type: ValueType
    default: Typed | SetProgram
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class PlanProgram:
    """A plan; its entity is `plan:NAME`, of the kind of the same name."""

    name: str
    identity: str
    decl: syntax.Plan
    kind: Kind
    parameters: tuple[ParameterProgram, ...]
    levels: tuple[LevelProgram, ...]
    calendar: Typed | None

    @property
    def entity(self) -> str:
        """Id of the plan's entity."""
        return f"plan:{self.name}"


@dataclass(frozen=True, slots=True)
class AlarmProgram:
    """An alarm."""

    name: str
    identity: str
    decl: syntax.Alarm
    for_each: tuple[SetProgram, ...]
    raise_while: Typed
    suppress_while: Typed | None
    severity: str
    text: TextProgram


@dataclass(frozen=True, slots=True)
class InvariantProgram:
    """What must never be wanted, and what replaces it."""

    name: str
    decl: syntax.Invariant
    for_each: tuple[SetProgram, ...]
    never: Typed
    target: Read
    value: Typed


def expressions(part: Any) -> Iterator[Typed]:
    """Return the expressions of a declaration, wherever they stand in it."""
    if isinstance(part, Typed):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from expressions(value)
    elif isinstance(part, tuple):
        for value in part:
            yield from expressions(value)
    elif type(part) in _WITH_EXPRESSIONS:
        for each in fields(part):
            yield from expressions(getattr(part, each.name))


@dataclass(frozen=True, slots=True)
class Program:
    """A whole rule set."""

    kinds: Mapping[str, Kind]
    functions: Mapping[str, Function]
    calls: Mapping[str, CallSpec]
    derived: tuple[DeriveProgram, ...] = ()
    rules: tuple[RuleProgram, ...] = ()
    plans: tuple[PlanProgram, ...] = ()
    alarms: tuple[AlarmProgram, ...] = ()
    invariants: tuple[InvariantProgram, ...] = ()
    tests: tuple[syntax.RuleTest, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


_WITH_EXPRESSIONS: Final = frozenset(
    {SetProgram, TextProgram, HoldProgram, StepProgram, RuleProgram}
)
"""Records of a rule that hold expressions; others hold settings, or what was written."""
