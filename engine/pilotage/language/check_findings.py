"""Every message of the checker, one function each: what is wrong, where, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pilotage.model.diagnostics import Finding, Severity, Span
from pilotage.model.units import Unit
from pilotage.model.values import Base, ValueType


def nearest_word(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably meant, or None."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None


def _error(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.ERROR, at, message, label, mend)


def _warning(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.WARNING, at, message, label, mend)


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    meant = nearest_word(word, words)
    return f'did you mean "{meant}"?' if meant else ""


def _listed(words: Iterable[str], most: int = 12) -> str:
    names = list(dict.fromkeys(words))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# ── E20x: names ──────────────────────────────────────────────────────────────────────────────


def no_point(at: Span, kind: str, word: str, points: Iterable[str]) -> Finding:
    """`segment.trafic.flow`."""
    names = list(points)
    heads = [*names, *(n.split(".")[0] for n in names)]
    label = _did_you_mean(word, heads)
    mend = "" if label else f"{kind} has {_listed(names)}; see `pilotage kinds {kind}`"
    return _error("E201", at, f'{kind} has no point "{word}"', label, mend)


def unknown_name(at: Span, word: str, names: Iterable[str]) -> Finding:
    """A bare word that means nothing here."""
    label = _did_you_mean(word, names)
    return _error(
        "E202",
        at,
        f'"{word}" is no variable, value, kind or function here',
        label,
        "" if label else f"known here: {_listed(names)}",
    )


def unknown_function(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`foo(x)`."""
    label = _did_you_mean(word, names)
    return _error(
        "E203",
        at,
        f'there is no function "{word}"',
        label,
        "" if label else f"known: {_listed(names, 30)}",
    )


def unknown_plan(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`plan("snw")`."""
    known = list(names)
    return _error(
        "E204",
        at,
        f'there is no plan "{word}"',
        _did_you_mean(word, known),
        f"plans: {_listed(known) or 'none'}",
    )


def unknown_call(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`call: fleet.despatch`."""
    known = list(names)
    return _error(
        "E205",
        at,
        f'no plugin serves the call "{word}"',
        _did_you_mean(word, known),
        f"calls: {_listed(known)}",
    )


def unknown_kind(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`{kind: lighting_segmnt}`."""
    label = _did_you_mean(word, names)
    return _error(
        "E206",
        at,
        f'no plugin declares the kind "{word}"',
        label,
        "see `pilotage kinds` for all kinds, `pilotage plugins` for what is loaded",
    )


def not_an_entity(at: Span, word: str, type_: ValueType) -> Finding:
    """`bus.delay.line`."""
    return _error("E208", at, f'"{word}" is asked of a {type_}, which has no points')


def duplicate_name(at: Span, what: str, name: str, first: Span) -> Finding:
    """Two declarations of one name."""
    return _error(
        "E209",
        at,
        f'{what} "{name}" is declared twice',
        f"first at {first}",
        "give one of them another name: names are unique over the whole rule set",
    )


def wrong_arguments(at: Span, function: str, wanted: str, got: int) -> Finding:
    """Too few or too many arguments."""
    return _error(
        "E210",
        at,
        f"{function} takes {wanted}, not {got}",
        "",
        f"see `{function}` in the language guide",
    )


def unknown_keyword(at: Span, function: str, word: str, names: Iterable[str]) -> Finding:
    """`nearest(2, camera, too=...)`."""
    known = list(names)
    return _error(
        "E211",
        at,
        f'{function} has no argument "{word}"',
        _did_you_mean(word, known),
        f"it takes {_listed(known) or 'no named arguments'}",
    )


def several_entities(at: Span, relation: str, kind: str) -> Finding:
    """`segment.lamps.level` where one value is needed."""
    return _error(
        "E212",
        at,
        f'"{relation}" leads to several {kind}s, and one value is needed here',
        "",
        f"join them: avg(…), min(…), max(…), any(…), or count({kind}, where=…)",
    )


def variable_taken(at: Span, name: str) -> Finding:
    """A variable twice, or one that hides a value of the city."""
    return _error(
        "E213", at, f'the variable "{name}" already has a meaning here', "", "choose another name"
    )


def unknown_rule(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`use: [dim-quiet-street]`."""
    known = list(names)
    return _error(
        "E214",
        at,
        f'there is no rule, plan, alarm, invariant or derived value "{word}"',
        _did_you_mean(word, known),
        f"known: {_listed(known)}",
    )


# ── E30x: types and units ────────────────────────────────────────────────────────────────────


def not_a_member(at: Span, word: str, members: Iterable[str]) -> Finding:
    """`alarm == "trigered"`."""
    known = list(members)
    return _error(
        "E301",
        at,
        f'"{word}" is none of {_listed(known, 20)}',
        _did_you_mean(word, known),
        "write one of them",
    )


def needs_condition(at: Span, got: ValueType) -> Finding:
    """`while: segment.traffic.flow`."""
    return _error(
        "E302",
        at,
        f"a condition is needed here, this is a {got}",
        "",
        "compare it with something: `… < 60 veh/h`",
    )


def wrong_type(at: Span, wanted: ValueType | str, got: ValueType) -> Finding:
    """A text where a number is needed."""
    return _error("E303", at, f"{wanted} is needed here, this is {got}")


def needs_unit(at: Span, value: float, unit: Unit) -> Finding:
    """`level < 30`."""
    return _error(
        "E304",
        at,
        f"{value:g} has no unit, and the other side is in {unit}",
        "",
        f"write {value:g} {unit}",
    )


def dimensions_differ(at: Span, left: str, right: str) -> Finding:
    """`flow < 80 km/h`."""
    return _error("E305", at, f"a {left} is compared with a {right}")


def cannot_add(at: Span, left: str, right: str) -> Finding:
    """`speed + flow`."""
    return _error("E306", at, f"a {left} and a {right} cannot be added or subtracted")


def cannot_order(at: Span, got: ValueType) -> Finding:
    """`alarm < "high"`."""
    return _error(
        "E307",
        at,
        f"{got} has no order: only numbers, durations and times of day have",
        "",
        "use == or !=",
    )


def out_of_range(at: Span, value: str, low: str, high: str) -> Finding:
    """`to: 130 %`."""
    return _error("E308", at, f"{value} is outside the point's range", f"{low} to {high}")


def text_with_unit(at: Span, left: ValueType, right: ValueType) -> Finding:
    """A comparison of things that are never equal."""
    return _error("E309", at, f"{left} is compared with {right}: they are never equal")


def unit_mismatch(at: Span, wanted: Unit, got: ValueType) -> Finding:
    """`to: 30 km/h` for a level in %."""
    return _error(
        "E310", at, f"a {wanted.dimension.title} ({wanted}) is needed here, this is a {got}"
    )


def event_in_condition(at: Span) -> Finding:
    """`while: x becomes 1`."""
    return _error(
        "E311",
        at,
        "an event stands where a condition is needed",
        "",
        "events belong into `when`; write `x == value`",
    )


def needs_event(at: Span, what: str) -> Finding:
    """`enters` in a rule without a moving pair."""
    return _error("E312", at, what, "", "add a second `for_each` variable with `within` and `of`")


def window_too_long(at: Span, seconds: float) -> Finding:
    """`avg(x, 400 d)`."""
    return _error("E313", at, f"a window of {seconds / 86400:.0f} d is longer than 31 d")


def needs_duration(at: Span, function: str) -> Finding:
    """`rate(x)`."""
    return _error(
        "E314", at, f"{function} needs a length of time", "", f"write {function}(…, 15 min)"
    )


def not_reactive(at: Span, function: str) -> Finding:
    """`nearest` in a condition that is followed all the time."""
    return _error(
        "E315",
        at,
        f"{function} is worked out once, and cannot stand in a condition that is followed all the time",
        "",
        "give it a name with a `let` step, or use `for_each` with `within` and `of`",
    )


def window_of_variable(at: Span) -> Finding:
    """`avg(cam.x, 5 min)` in a step, over a variable of `let`."""
    return _error(
        "E316",
        at,
        "a window needs a history, which a value of a step has not",
        "",
        "give it a name under `derive`",
    )


# ── E40x: rules ──────────────────────────────────────────────────────────────────────────────


def not_commandable(at: Span, point: str, access: str) -> Finding:
    """`set: bus.delay`."""
    return _error(
        "E401",
        at,
        f"{point} is {access} and cannot be set",
        "",
        "see `pilotage kinds` for points to set",
    )


def not_a_point(at: Span) -> Finding:
    """`set: 30`."""
    return _error(
        "E402",
        at,
        "a point is needed here",
        "",
        "write it as variable.point: `segment.lights.level`",
    )


def unknown_priority(at: Span, word: str, words: Iterable[str]) -> Finding:
    """`priority: saveing`."""
    known = list(words)
    return _error(
        "E403",
        at,
        f'"{word}" is no level',
        _did_you_mean(word, known),
        f"levels: {_listed(known, 20)}",
    )


def reserved_priority(at: Span, word: str, whose: str) -> Finding:
    """`priority: operator`."""
    return _error("E404", at, f'the level "{word}" belongs to {whose}', "", "choose another level")


def priority_missing(at: Span) -> Finding:
    """A demand without a level."""
    return _error(
        "E405",
        at,
        "a demand needs its level",
        "",
        "add `priority:`, for example `priority: saving`",
    )


def if_unknown_missing(at: Span, level: str) -> Finding:
    """A rule at levels 1 to 6."""
    return _error(
        "E406",
        at,
        f"a rule at level {level} must say what happens when its condition is unknown",
        "",
        "add `if_unknown: release`, `hold` or `act`",
    )


def bad_word(at: Span, word: str, key: str, words: Iterable[str]) -> Finding:
    """`if_unknown: relese`."""
    known = list(words)
    return _error(
        "E407",
        at,
        f'"{word}" is no value of {key}',
        _did_you_mean(word, known),
        f"write one of {_listed(known)}",
    )


def cooldown_needs_per(at: Span, variables: Iterable[str]) -> Finding:
    """`cooldown: 90 s` with instances."""
    return _error(
        "E408",
        at,
        "a cooldown of a rule with instances must say what rests",
        "",
        f"write {{after: …, per: …}} with one of {_listed(variables)}",
    )


def per_no_variable(at: Span, word: str, variables: Iterable[str]) -> Finding:
    """`per: junktion`."""
    known = list(variables)
    return _error(
        "E409",
        at,
        f'"{word}" is no variable of this rule',
        _did_you_mean(word, known),
        f"variables: {_listed(known) or 'none'}",
    )


def set_without_end(at: Span) -> Finding:
    """A `set` step that would stand for ever."""
    return _error(
        "E410",
        at,
        "a `set` step needs an end, or it would stand for ever",
        "",
        "add `until:` a condition, or `at_most:` a duration; for as long as a state lasts use `while` and `hold`",
    )


def not_a_request(at: Span, point: str) -> Finding:
    """`request: segment.lights.level`."""
    return _error("E411", at, f"{point} holds a value, not a request", "", "write `set:` and `to:`")


def is_a_request(at: Span, point: str) -> Finding:
    """`set: junction.priority`."""
    return _error(
        "E412",
        at,
        f"{point} holds a request, not a value",
        "",
        "write `request:`, `for:` and `with:`",
    )


def cycle(at: Span, names: Iterable[str]) -> Finding:
    """Derived values that need each other."""
    return _error(
        "E413",
        at,
        f"these values need each other: {' -> '.join(names)}",
        "",
        "break the circle: one must come first",
    )


def too_costly(at: Span, cost: int, most: int) -> Finding:
    """An expression that is too long to evaluate at every change."""
    return _error(
        "E414",
        at,
        f"this rule costs {cost} steps per evaluation, the bound is {most}",
        "",
        "give parts of it a name under `derive`",
    )


def within_needs_of(at: Span) -> Finding:
    """`{kind: bus, within: 150 m}`."""
    return _error(
        "E415",
        at,
        "`within` needs `of`: a distance from what?",
        "",
        "add `of:` an earlier variable",
    )


def no_place(at: Span, kind: str) -> Finding:
    """A distance from something that has no position."""
    return _error("E416", at, f"{kind} has no point of type position, so it is nowhere")


def group_of_nothing(at: Span, name: str) -> Finding:
    """`enable: [x]` of something that is no rule."""
    return _error("E417", at, f'"{name}" cannot be enabled', "", "list rules of this rule set")


def confirm_level(at: Span, level: int, highest: int) -> Finding:
    """`from_level: 7` of a plan with three levels."""
    return _error("E418", at, f"there is no level {level}: the highest is {highest}")


def parameter_type(at: Span, word: str) -> Finding:
    """`type: percentage`."""
    return _error(
        "E419",
        at,
        f'"{word}" is no type of a parameter',
        "",
        "write count, percent, number, duration, boolean, text, or set of KIND",
    )


def ramp_on_state(at: Span, point: str) -> Finding:
    """A ramp on a door."""
    return _error(
        "E420", at, f"{point} is no number: it cannot change little by little", "", "remove `ramp`"
    )


def status_unknown(at: Span, word: str, statuses: Iterable[str]) -> Finding:
    """`status: [queud]`."""
    known = list(statuses)
    return _error(
        "E421",
        at,
        f'"{word}" is no answer of this point or call',
        _did_you_mean(word, known),
        f"{_listed(known)}",
    )


def otherwise_is_forbidden(at: Span, value: str) -> Finding:
    """An invariant whose safe value is itself forbidden."""
    return _error(
        "E422",
        at,
        f"the safe value {value} is itself forbidden",
        "",
        "choose a value that `never` allows",
    )


def product_too_large(at: Span) -> Finding:
    """Two unrelated sets."""
    return _error(
        "E423",
        at,
        "every entity is paired with every other here",
        "",
        "relate them: `within` and `of`, or a set of the first one (`x: segment.lamps`)",
    )


def template_refused(at: Span, why: str) -> Finding:
    """A Jinja2 template that does more than show values."""
    return _error(
        "E424",
        at,
        f"this template is refused: {why}",
        "",
        "use {{ name }}, if, and the listed filters",
    )


def step_down_without_levels(at: Span) -> Finding:
    """A plan without any level."""
    return _error(
        "E425",
        at,
        "a plan needs at least one level",
        "",
        "add `levels:` with `level: 1` and its `name`",
    )


def steps_of_own_condition(at: Span, name: str) -> Finding:
    """A hold whose own wanted value is in its condition."""
    return _error(
        "E426",
        at,
        f"the condition reads wanted({name}), which this rule itself decides",
        "",
        "read the reported value, or split the rule",
    )


# ── W5xx: doubts ─────────────────────────────────────────────────────────────────────────────


def always(at: Span, truth: bool) -> Finding:
    """A condition that never changes."""
    word = "true" if truth else "false"
    return _warning(
        "W501", at, f"this is always {word}", "", "a condition should be able to change"
    )


def tie(at: Span, point: str, level: str, other: str) -> Finding:
    """Two rules may want one point at one level."""
    return _warning(
        "W502",
        at,
        f"{other} may want {point} at the same level ({level}) at the same time",
        "",
        "give one of them another level, or make their conditions exclude each other; today the older demand keeps it",
    )


def never_fires(at: Span, why: str) -> Finding:
    """A rule without instances."""
    return _warning(
        "W510", at, f"never fires: {why}", "", "check the inventory, or remove the rule"
    )


def slow_promise(at: Span, promised: float, needed: float, because: str) -> Finding:
    """`respond_within` that the equipment cannot keep."""
    return _warning(
        "W511",
        at,
        f"{promised:g} s cannot be kept: {because} take {needed:g} s",
        "",
        "promise more time, or use faster equipment",
    )


def hysteresis_gap(at: Span) -> Finding:
    """`until` that is true whenever `while` is."""
    return _warning(
        "W512",
        at,
        "`until` is true as soon as `while` is: the rule would flicker",
        "",
        "leave a gap between the two",
    )


def cyclic_rules(at: Span, names: Iterable[str]) -> Finding:
    """Rules that drive each other over wanted values."""
    return _warning(
        "W513",
        at,
        f"these rules drive each other: {' -> '.join(names)}",
        "",
        "read reported values",
    )


def untested(at: Span, name: str) -> Finding:
    """A rule without a test."""
    return _warning("W520", at, f'no test uses "{name}"', "", "add one under `tests:`")


def shadow_set(at: Span, name: str) -> Finding:
    """A unit that a derived value cannot have."""
    return _error("E427", at, f'"{name}" is no unit', "", "write a unit as in 60 veh/h")


def kind_title(base: Base) -> str:
    """Return what people call a family of values."""
    return base.value
