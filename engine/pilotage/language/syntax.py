"""The typed tree of rule files: what was written, where, and nothing about what it means.

The reader builds it, the checker and the compiler read it. Every node knows its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilotage.model.diagnostics import Span

# ── expressions ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Expr:
    """Any expression; `at` covers the text of the whole expression."""

    at: Span


@dataclass(frozen=True, slots=True)
class Number(Expr):
    """A number with or without its unit; `2 min 30 s` arrives as 150 with unit `s`."""

    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class String(Expr):
    """A text in quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Boolean(Expr):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True)
class TimeOfDay(Expr):
    """`22:30`, in minutes since midnight, city time."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A bare word: a variable, a kind, a derived value, a function, or a member of an enumeration."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute(Expr):
    """`base.name`; `name_at` is the place of the last word alone."""

    base: Expr
    name: str
    name_at: Span


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """`function(arguments, keyword=value)`; the function is a Name or an Attribute."""

    function: Expr
    arguments: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`not x` or `-x`."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """`+ - * / %`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Compare(Expr):
    """`a < b <= c`: operators are `< <= > >= == !=`, `in`, `not in`."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Logic(Expr):
    """`and` / `or` over two or more operands."""

    op: str
    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Expr):
    """`then if condition else otherwise`."""

    then: Expr
    condition: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class ListOf(Expr):
    """`[a, b]` or `(a, b)`: the right side of `in`."""

    items: tuple[Expr, ...]


# events, in `when` and inside patterns


@dataclass(frozen=True, slots=True)
class Becomes(Expr):
    """`x becomes v`."""

    subject: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class Changes(Expr):
    """`x changes`."""

    subject: Expr


@dataclass(frozen=True, slots=True)
class Crosses(Expr):
    """`x enters place` / `x leaves place`; alone (`enters`) it speaks of the rule's moving pair."""

    leaves: bool
    subject: Expr | None = None
    place: Expr | None = None


@dataclass(frozen=True, slots=True)
class Every(Expr):
    """`every 15 min`; seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AtTime(Expr):
    """`at 22:30`, or at an expression that yields a time of day."""

    time: Expr


# patterns: true from the moment they are complete


@dataclass(frozen=True, slots=True)
class Sequence(Expr):
    """`a then b within 30 s`; seconds."""

    first: Expr
    second: Expr
    within_s: float


@dataclass(frozen=True, slots=True)
class Without(Expr):
    """`a without b within 30 s`: a, and b did not follow in time; seconds."""

    first: Expr
    missing: Expr
    within_s: float


@dataclass(frozen=True, slots=True)
class Silence(Expr):
    """`no a for 10 min`; seconds."""

    event: Expr
    for_s: float


@dataclass(frozen=True, slots=True)
class Repeats(Expr):
    """`5 times a within 2 min`; seconds."""

    count: int
    event: Expr
    within_s: float


# ── pieces of declarations ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Word:
    """A name with its place."""

    text: str
    at: Span


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time, in seconds, above zero unless the key says otherwise."""

    seconds: float
    at: Span


@dataclass(frozen=True, slots=True)
class Title:
    """A text, or one per language (`fr`, `en`); the key `""` holds a text without a language."""

    texts: Mapping[str, str]
    at: Span

    def in_language(self, language: str) -> str:
        """Return the text in a language, or the next best."""
        for key in (language, "", "en", "fr"):
            if key in self.texts:
                return self.texts[key]
        return next(iter(self.texts.values()), "")


@dataclass(frozen=True, slots=True)
class Text:
    """A text for people, with expressions in braces: plain pieces and expressions in turn.

    When `template` is set it is a Jinja2 template instead, and `parts` is empty.
    """

    parts: tuple[str | Expr, ...]
    at: Span
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A scalar whose position allows an expression or a text: the point's type decides which.

    `expression` is None when the text is no expression; `problem` then says why.
    """

    text: str
    at: Span
    expression: Expr | None
    as_text: Text
    problem: Any = None  # a Finding


@dataclass(frozen=True, slots=True)
class SetOf:
    """A set of entities: `{kind, where, within, of}`, or an expression that yields one."""

    at: Span
    kind: Word | None = None
    where: Expr | None = None
    within_m: float | None = None
    of: Expr | None = None
    expression: Expr | None = None


ForEach = tuple[tuple[Word, SetOf], ...]


@dataclass(frozen=True, slots=True)
class Ramp:
    """How long a change may take, in seconds; None is at once."""

    at: Span
    up_s: float | None = None
    down_s: float | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """How a command, request or call is verified: a status out of `status`, `within_s`, retried `retry` times."""

    at: Span
    status: tuple[Word, ...] = ()
    within_s: float | None = None
    retry: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """One demand that stands while a rule or a plan level holds: `set` + `to`, or `request` + `for`."""

    at: Span
    each: ForEach = ()
    set: Expr | None = None
    to: Raw | None = None
    request: Expr | None = None
    for_: Expr | None = None
    with_: tuple[tuple[Word, Raw], ...] = ()
    priority: Word | None = None
    ramp: Ramp | None = None
    expect: Expect | None = None
    on_failure: tuple[Step, ...] = ()


# ── steps ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Step:
    """Any step of a story."""

    at: Span


@dataclass(frozen=True, slots=True)
class SetStep(Step):
    """`set: POINT, to: VALUE`, with an end: `until` or `at_most`, or both."""

    point: Expr
    to: Raw
    priority: Word | None = None
    until: Expr | None = None
    at_most: Duration | None = None
    ramp: Ramp | None = None
    expect: Expect | None = None
    on_failure: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class CallStep(Step):
    """`call: NAME, with: {...}`."""

    name: Word
    with_: tuple[tuple[Word, Raw | SetOf], ...] = ()
    expect: Expect | None = None
    on_failure: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class NotifyStep(Step):
    """`notify: {to, text, link, acknowledge_within, else}`."""

    to: tuple[Word, ...]
    text: Text
    link: Expr | None = None
    acknowledge_within: Duration | None = None
    otherwise: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentStep(Step):
    """`open_incident: {as, type, severity, title, location, one_per}`."""

    type: Word
    severity: Word
    title: Text
    as_: Word | None = None
    location: Expr | None = None
    one_per: Expr | None = None


@dataclass(frozen=True, slots=True)
class NoteStep(Step):
    """`note: TEXT, on: INCIDENT`; without `on` it goes to the journal."""

    text: Text
    on: Expr | None = None


@dataclass(frozen=True, slots=True)
class LetStep(Step):
    """`let: {name: EXPRESSION or SET}`."""

    names: tuple[tuple[Word, Raw | SetOf], ...]


@dataclass(frozen=True, slots=True)
class IfStep(Step):
    """`if: CONDITION, then: [steps], else: [steps]`; an unknown condition takes `else`."""

    condition: Expr
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class ForEachStep(Step):
    """`for_each: {x: SET}, do: [steps]`, one after the other, or `together`."""

    each: ForEach
    do: tuple[Step, ...]
    together: bool = False


@dataclass(frozen=True, slots=True)
class WaitStep(Step):
    """`wait: DURATION`."""

    duration: Duration


@dataclass(frozen=True, slots=True)
class WaitForStep(Step):
    """`wait_for: CONDITION, timeout: DURATION, else: [steps]`; `else` runs when the time is over."""

    condition: Expr
    timeout: Duration | None = None
    otherwise: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanStep(Step):
    """`plan: NAME, level: EXPRESSION, reason: TEXT`."""

    plan: Word
    level: Expr
    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class AlarmStep(Step):
    """`alarm: {name, severity, text}`: raises an alarm that a person acknowledges."""

    name: Word
    severity: Word
    text: Text


# ── declarations ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Declaration:
    """Anything with a name of its own in a rule file."""

    name: Word
    title: Title | None
    owner: Word | None


@dataclass(frozen=True, slots=True)
class Derive(Declaration):
    """A named value; per entity with `for_each` (exactly one variable), else for the city."""

    value: Expr
    for_each: ForEach = ()
    coverage: float | None = None  # a share between 0 and 1
    coverage_at: Span | None = None
    unit: Word | None = None


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Rest after a release."""

    at: Span
    after: Duration
    per: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Runs:
    """How many runs of a story may live at a time: `one`, `one per X`, `restart`, `queue N`, `parallel N`."""

    at: Span
    mode: str = "one"
    count: int = 1
    per: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule(Declaration):
    """A hold (`while`) or a story (`when`)."""

    for_each: ForEach = ()
    while_: Expr | None = None
    until: Expr | None = None
    unless: tuple[Expr, ...] = ()
    when: Expr | None = None
    if_: Expr | None = None
    for_: Duration | None = None
    keep: Duration | None = None
    at_most: Duration | None = None
    cooldown: Cooldown | None = None
    if_unknown: Word | None = None
    hold_at_most: Duration | None = None
    unknown_after: Duration | None = None
    hold: tuple[Hold, ...] = ()
    do: tuple[Step, ...] = ()
    runs: Runs | None = None
    if_interrupted: Word | None = None
    max_late: Duration | None = None
    respond_within: Duration | None = None
    enabled: bool = True
    shadow: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class PlanParameter:
    """What an operator may change while a plan runs."""

    name: Word
    type: Word  # "count", "percent", "number", "text", "boolean", "duration", "set of KIND"
    default: Raw | SetOf
    min: Raw | None = None
    max: Raw | None = None


@dataclass(frozen=True, slots=True)
class Confirm:
    """A level that is proposed first."""

    at: Span
    from_level: int
    by: tuple[Word, ...]
    within: Duration
    otherwise: Word  # "escalate", "refuse" or "activate"


@dataclass(frozen=True, slots=True)
class Activation:
    """When a plan's automatic level changes and who may change it by hand."""

    at: Span
    for_: Duration | None = None
    step_down_after: Duration | None = None
    if_unknown: Word | None = None
    operators: tuple[Word, ...] = ()
    manual_expires: Duration | None = None
    review_every: Duration | None = None
    confirm: Confirm | None = None
    two_people: bool = False  # a level is raised by hand only when a second person joins
    calendar: Expr | None = None  # true while the calendar asks for level 1
    api: bool = False


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """A step for people; overdue is an alarm."""

    at: Span
    text: Text
    by: Word
    within: Duration


@dataclass(frozen=True, slots=True)
class PlanLevel:
    """One level of a plan; a higher one includes the lower ones."""

    at: Span
    level: int
    name: Word
    enter: Expr | None = None
    hold: tuple[Hold, ...] = ()
    on_enter: tuple[Step, ...] = ()
    on_leave: tuple[Step, ...] = ()
    checklist: tuple[ChecklistItem, ...] = ()
    enable: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan(Declaration):
    """A plan with levels."""

    levels: tuple[PlanLevel, ...] = ()
    priority: Word | None = None
    exclusive_group: Word | None = None
    parameters: tuple[PlanParameter, ...] = ()
    activation: Activation | None = None


@dataclass(frozen=True, slots=True)
class Alarm(Declaration):
    """An alarm after ISA-18.2."""

    raise_while: Expr
    for_each: ForEach = ()
    severity: Word | None = None  # low, medium, high, critical
    latched: bool = False
    on_delay: Duration | None = None
    off_delay: Duration | None = None
    shelve_at_most: Duration | None = None
    out_of_service_by: tuple[Word, ...] = ()
    out_of_service_at_most: Duration | None = None
    suppress_while: Expr | None = None
    if_unknown: Word | None = None
    text: Text | None = None


@dataclass(frozen=True, slots=True)
class Invariant(Declaration):
    """What must never be wanted, and the safe value that replaces it."""

    never: Expr
    set: Expr
    to: Raw
    for_each: ForEach = ()
    assume: tuple[Expr, ...] = ()
    if_unknown: Word | None = None


# ── tests ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Assignment:
    """`bus-7.position: 140 m before J-12` in `set`, `world` or `past`; the runner knows the points."""

    entity: str
    point: str
    text: str
    value: Any  # the scalar as YAML core types read it
    at: Span


@dataclass(frozen=True, slots=True)
class WorldEntity:
    """One entity of a test's world."""

    id: Word
    kind: Word
    values: tuple[Assignment, ...]
    relations: tuple[tuple[Word, tuple[Word, ...]], ...] = ()  # a list under a key


@dataclass(frozen=True, slots=True)
class Past:
    """A value that lasted until the test begins, seconds."""

    assignment: Assignment
    for_s: float


@dataclass(frozen=True, slots=True)
class ExpectPoint:
    """`{point, wanted | reported, by, priority}`; texts as written, None where not asked."""

    at: Span
    entity: str
    point: str
    wanted: Word | None = None
    reported: Word | None = None
    by: Word | None = None
    priority: Word | None = None


@dataclass(frozen=True, slots=True)
class ExpectRule:
    """`{rule, for, state}`."""

    at: Span
    rule: Word
    instance: tuple[Word, ...]
    state: Word


@dataclass(frozen=True, slots=True)
class ExpectSent:
    """`{sent: nothing}` or `{sent: [...]}`; the lines as written."""

    at: Span
    lines: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class ExpectOther:
    """`{alarm|plan|incident: NAME, for: ..., state|level: ...}`: what else a test may ask."""

    at: Span
    subject: str  # "alarm", "plan", "incident" or "value" (a derived value)
    name: Word
    instance: tuple[Word, ...]
    state: Word


@dataclass(frozen=True, slots=True)
class TestStep:
    """One moment of a test: first `set`, then `orders`, then `expect`."""

    at: Span
    at_s: float
    set: tuple[Assignment, ...] = ()
    orders: tuple[
        tuple[str, Mapping[str, Any], Span], ...
    ] = ()  # ("plan"|"override"|"release"|"alarm"|…, arguments)
    expect: tuple[ExpectPoint | ExpectRule | ExpectSent | ExpectOther, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test in a rule file."""

    name: Word
    use: tuple[Word, ...]
    clock: Word | None
    world: tuple[WorldEntity, ...]
    past: tuple[Past, ...]
    devices: tuple[tuple[Word, Word], ...]  # point or entity -> obey, ignore, "slow: 5 s", lie
    steps: tuple[TestStep, ...]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """Everything that one file declares."""

    file: str
    derive: tuple[Derive, ...] = ()
    rules: tuple[Rule, ...] = ()
    plans: tuple[Plan, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    tests: tuple[RuleTest, ...] = ()
    source: str = field(default="", repr=False)
