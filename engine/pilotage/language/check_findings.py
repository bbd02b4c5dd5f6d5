"""Every message of the checker, one function each: what is wrong, where, and the mend."""

from __future__ import annotations

from collections.abc import Iterable

from pilotage.language.findings import did_you_mean
from pilotage.model.diagnostics import Finding, Severity, Span
from pilotage.model.units import Unit
from pilotage.model.values import Base, ValueType


def _error(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.ERROR, at, message, label, mend)


def _warning(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.WARNING, at, message, label, mend)


def _listed(words: Iterable[str], most: int = 12) -> str:
    names = list(dict.fromkeys(words))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _what(type_: ValueType) -> str:
    """Return a type as it stands in a sentence: `a flow (veh/h)`, `true or false`, `a bus`."""
    match type_.base:
        case Base.NUMBER if type_.unit.symbol == "%":
            return "a percentage (%)"
        case Base.ENUM:
            return f"one of {_listed(type_.members, 7)}"
        case Base.BOOLEAN | Base.ANY:
            return str(type_)
        case _:
            return _article(str(type_))


def _article(words: str) -> str:
    return f"an {words}" if words[:1] in "aeiou" else f"a {words}"


def _example(type_: ValueType) -> str:
    """Return how a value of a type is written, for a mend."""
    match type_.base:
        case Base.NUMBER:
            return f"30 {type_.unit}".strip()
        case Base.BOOLEAN:
            return "true or false"
        case Base.ENUM:
            return f"one of {_listed(type_.members, 20)}"
        case Base.TEXT:
            return 'a text in quotes: "21"'
        case Base.TIME:
            return "a time of day such as 22:30"
        case Base.POSITION:
            return "a point of type position, or an entity that has one"
        case Base.ENTITY:
            if type_.kind == "incident":
                return "the name under `as` of an `open_incident` step"
            leads = _article(type_.kind) if type_.kind else "something"
            return f"a variable or a point that leads to {leads}"
        case Base.SET:
            return f"a set such as {{kind: {type_.kind or 'KIND'}}}"
        case _:
            return "a value"


def _kind_name(kind: str) -> str:
    """Return how a kind is called: `signal_junction`, or `plan "snow"`."""
    plan = kind.removeprefix("plan:")
    return kind if plan == kind else f'plan "{plan}"'


# ── E20x: names ──────────────────────────────────────────────────────────────────────────────


def no_point(at: Span, kind: str, word: str, points: Iterable[str]) -> Finding:
    """`segment.trafic.flow`."""
    names = list(points)
    heads = [*names, *(n.split(".")[0] for n in names)]
    label, mend = did_you_mean(word, heads), ""
    if not label:
        more = "" if kind.startswith("plan:") else f"; see `pilotage kinds {kind}`"
        mend = f"{_kind_name(kind)} has {_listed(names)}{more}"
    return _error("E201", at, f'{_kind_name(kind)} has no point "{word}"', label, mend)


def unknown_name(
    at: Span, word: str, names: Iterable[str], expected: ValueType | None = None
) -> Finding:
    """A bare word that means nothing here."""
    label, mend = did_you_mean(word, names), ""
    base = expected.base if expected is not None else None
    if base is Base.BOOLEAN and word.lower() in _TRUTHS:
        label = f'did you mean "{_TRUTHS[word.lower()]}"?'
    elif base is Base.TEXT and not label:
        mend = f'put it in quotes if it is a text: "{word}"'
    elif base is Base.NUMBER and not label and expected is not None:
        mend = f"write {_example(expected)}, or the name of something that is {_what(expected)}"
    elif not label:
        mend = f"known here: {_listed(names)}"
    return _error("E202", at, f'"{word}" is no variable, value, kind or function here', label, mend)


_TRUTHS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def unknown_function(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`foo(x)`."""
    label = did_you_mean(word, names)
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
    mend = f"plans: {_listed(known)}" if known else "declare it under `plans:`"
    return _error("E204", at, f'there is no plan "{word}"', did_you_mean(word, known), mend)


def unknown_call(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`call: fleet.despatch`."""
    known = list(names)
    mend = f"calls: {_listed(known)}" if known else "see `pilotage plugins` for what is loaded"
    return _error(
        "E205", at, f'no plugin serves the call "{word}"', did_you_mean(word, known), mend
    )


def unknown_kind(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`{kind: lighting_segmnt}`."""
    label = did_you_mean(word, names)
    return _error(
        "E206",
        at,
        f'no plugin declares the kind "{word}"',
        label,
        "see `pilotage kinds` for all kinds, `pilotage plugins` for what is loaded",
    )


def not_an_entity(at: Span, word: str, type_: ValueType) -> Finding:
    """`bus.delay.line`."""
    mend = f'remove ".{word}", or ask it of an entity'
    if type_.base is Base.TIME:
        mend = "compare the time as it is: `time > 22:00`, `06:00 <= time < 09:00`"
    return _error("E208", at, f'"{word}" is asked of {_what(type_)}, which has no points', "", mend)


def duplicate_name(at: Span, what: str, name: str, first: Span, first_what: str = "") -> Finding:
    """Two declarations of one name."""
    message = f'{what} "{name}" is declared twice'
    if first_what and first_what != what:
        message = f'{what} "{name}" has the name of {_article(first_what)}'
    return _error(
        "E209",
        at,
        message,
        f"first at {first}",
        "give one of them another name: names are unique over the whole rule set",
    )


def wrong_arguments(at: Span, function: str, wanted: str, got: int | None, like: str) -> Finding:
    """Too few or too many arguments; `like` is a call that works."""
    message = f"{function} takes {wanted}" + ("" if got is None else f", not {got}")
    return _error("E210", at, message, "", f"write {like}")


def call_incomplete(at: Span, name: str, missing: Iterable[str]) -> Finding:
    """A call without an argument that the service needs."""
    words = list(missing)
    quoted = " and ".join(f'"{word}"' for word in words)
    sample = ", ".join(f"{word}: …" for word in words)
    return _error("E210", at, f"{name} needs {quoted}", "", f"add with: {{{sample}}}")


def unknown_keyword(at: Span, function: str, word: str, names: Iterable[str]) -> Finding:
    """`nearest(2, camera, too=...)`."""
    known = list(names)
    return _error(
        "E211",
        at,
        f'{function} has no argument "{word}"',
        did_you_mean(word, known),
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


def variable_taken(at: Span, name: str, meaning: str = "") -> Finding:
    """A variable twice, or one that hides a value of the city."""
    why = f": {meaning}" if meaning else ""
    return _error(
        "E213",
        at,
        f'"{name}" already has a meaning here{why}',
        "",
        f"write another name, such as {name}_1",
    )


def unknown_rule(at: Span, word: str, names: Iterable[str]) -> Finding:
    """`use: [dim-quiet-street]`."""
    known = list(names)
    return _error(
        "E214",
        at,
        f'there is no rule, plan, alarm, invariant or derived value "{word}"',
        did_you_mean(word, known),
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
        did_you_mean(word, known),
        "write one of them",
    )


def needs_condition(at: Span, got: ValueType) -> Finding:
    """`while: segment.traffic.flow`."""
    match got.base:
        case Base.NUMBER:
            mend = f"compare it with something: `… < {_example(got)}`"
        case Base.ENUM:
            mend = f'compare it with something: `… == "{got.members[0]}"`'
        case Base.SET:
            mend = "ask something of its members: `any(…)`, `all(…)`, or `count(…) > 0`"
        case Base.ENTITY:
            mend = "ask for one of its points, or whether it is known: `known(…)`"
        case Base.TIME:
            mend = "compare it with a time of day: `… > 22:00`"
        case _:
            mend = 'compare it with something: `… == "21"`'
    return _error("E302", at, f"a condition is needed here, this is {_what(got)}", "", mend)


def wrong_type(at: Span, wanted: ValueType | str, got: ValueType) -> Finding:
    """A text where a number is needed."""
    if isinstance(wanted, ValueType):
        return _error(
            "E303",
            at,
            f"{_what(wanted)} is needed here, this is {_what(got)}",
            "",
            f"write {_example(wanted)}",
        )
    return _error(
        "E303", at, f"{wanted} is needed here, this is {_what(got)}", "", f"write {wanted}"
    )


def wrong_set(at: Span, wanted: ValueType) -> Finding:
    """`default: {kind: route}` of a parameter that is a number."""
    return _error(
        "E303",
        at,
        f"{_what(wanted)} is needed here, this is a set of entities",
        "",
        f"write {_example(wanted)}, or declare the type `set of KIND`",
    )


def needs_unit(at: Span, value: float, unit: Unit) -> Finding:
    """`level < 30`."""
    return _error(
        "E304", at, f"{value:g} has no unit, and {unit} is needed", "", f"write {value:g} {unit}"
    )


def dimensions_differ(at: Span, left: str, right: str, unit: Unit) -> Finding:
    """`flow < 80 km/h`."""
    wanted = f"write a value in {unit}" if unit.symbol else "write a number without a unit"
    return _error(
        "E305",
        at,
        f"{_article(left)} is compared with {_article(right)}",
        "",
        f"{wanted}, or compare with something else",
    )


def difference_of_temperatures(at: Span, value: float | None) -> Finding:
    """`surface - dew_point < 1 °C`: a difference is in K, and 1 °C is 274.15 K."""
    written = f"write {value:g} K" if value is not None else "write differences in K: `… - 2 K`"
    return _error(
        "E305",
        at,
        "a difference of temperatures (K) is compared with a temperature (°C)",
        "",
        f"{written}; subtract K from a temperature to get a lower temperature",
    )


def cannot_add(at: Span, left: str, right: str) -> Finding:
    """`speed + flow`."""
    return _error(
        "E306",
        at,
        f"{_article(left)} and {_article(right)} cannot be added or subtracted",
        "",
        f"add or subtract {_article(left)}, or convert one side by multiplying or dividing",
    )


def cannot_order(at: Span, got: ValueType) -> Finding:
    """`alarm < "high"`."""
    return _error(
        "E307",
        at,
        f"{_what(got)} has no order: only numbers, durations and times of day have",
        "",
        "use == or !=, or `in [a, b]`",
    )


def out_of_range(at: Span, value: str, low: str, high: str) -> Finding:
    """`to: 130 %`; an empty bound is none."""
    label = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    return _error("E308", at, f"{value} is out of range", label)


def text_with_unit(at: Span, left: ValueType, right: ValueType) -> Finding:
    """A comparison of things that are never equal."""
    if left.base is Base.SET or right.base is Base.SET:
        mend = "a set holds entities of its own kind: compare with those"
    elif left.base is Base.ENTITY and right.base is Base.ENTITY:
        mend = f"compare with {_article(left.kind)}"
    else:
        mend = f"compare with {_example(left)}"
    return _error(
        "E309", at, f"{_what(left)} is compared with {_what(right)}: they are never equal", "", mend
    )


def unit_mismatch(at: Span, wanted: Unit, got: ValueType) -> Finding:
    """`to: 30 km/h` for a level in %."""
    type_ = ValueType(Base.NUMBER, wanted)
    return _error(
        "E310",
        at,
        f"{_what(type_)} is needed here, this is {_what(got)}",
        "",
        f"write it as in {_example(type_)}",
    )


def event_in_condition(at: Span) -> Finding:
    """`while: x becomes 1`."""
    return _error(
        "E311",
        at,
        "an event stands where a condition is needed",
        "",
        "write what is true as long as it lasts: `x == value`; events stand in `when`",
    )


def needs_event(at: Span, what: str) -> Finding:
    """`enters` in a rule without a moving pair."""
    return _error("E312", at, what, "", "add a second `for_each` variable with `within` and `of`")


def window_too_long(at: Span, seconds: float) -> Finding:
    """`avg(x, 400 d)`."""
    if seconds <= 0:
        return _error("E313", at, "a window must have a length", "", "write a longer one: 15 min")
    return _error(
        "E313",
        at,
        f"a window of {seconds / 86400:.0f} d is longer than 31 d",
        "",
        "write a shorter one; the journal keeps what is older",
    )


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


def too_often(at: Span, seconds: float) -> Finding:
    """`every 1 ms`."""
    return _error(
        "E317",
        at,
        f"every {seconds:g} s is too often: a period is at least 1 s",
        "",
        "write a longer one, or follow what changes: `x changes`",
    )


# ── E40x: rules ──────────────────────────────────────────────────────────────────────────────


def not_commandable(at: Span, point: str, access: str) -> Finding:
    """`set: bus.delay`."""
    why = {
        "reported": "only reports and cannot be set",
        "fixed": "comes from the inventory and cannot be set",
        "derived": "is worked out and cannot be set",
    }[access]
    return _error("E401", at, f"{point} {why}", "", "see `pilotage kinds` for points to set")


def never_wanted(at: Span, point: str) -> Finding:
    """`wanted(segment.illuminance)`."""
    return _error(
        "E401",
        at,
        f"nobody can want anything of {point}: it cannot be set",
        "",
        f"write {point} without wanted(…)",
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
        did_you_mean(word, known),
        f"levels: {_listed(known, 20)}",
    )


def reserved_priority(at: Span, word: str, whose: str) -> Finding:
    """`priority: operator`."""
    return _error(
        "E404",
        at,
        f'the level "{word}" belongs to {whose}',
        "",
        "choose another level, such as maintenance (7) above it or security (9) below",
    )


def priority_missing(at: Span) -> Finding:
    """A demand without a level."""
    return _error(
        "E405",
        at,
        "a demand needs its level",
        "",
        "add `priority:`, for example `priority: saving`",
    )


def if_unknown_missing(at: Span, what: str, level: str) -> Finding:
    """A rule or a plan at levels 1 to 6."""
    place = " under `activation:`" if what == "plan" else ""
    return _error(
        "E406",
        at,
        f"a {what} at level {level} must say what happens when its condition is unknown",
        "",
        f"add `if_unknown: release`, `hold` or `act`{place}",
    )


def per_no_variable(at: Span, word: str, variables: Iterable[str]) -> Finding:
    """`per: junktion`."""
    known = list(variables)
    return _error(
        "E409",
        at,
        f'"{word}" is no variable of this rule',
        did_you_mean(word, known),
        f"variables: {_listed(known) or 'none'}",
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


def no_place(at: Span, kind: str) -> Finding:
    """A distance from something that has no position."""
    return _error(
        "E416",
        at,
        f"{kind or 'this'} has no point of type position, so it is nowhere",
        "",
        "measure from something that has one; see `pilotage kinds`",
    )


def group_of_nothing(at: Span, name: str, rules: Iterable[str]) -> Finding:
    """`enable: [x]` of something that is no rule."""
    known = list(rules)
    return _error(
        "E417",
        at,
        f'"{name}" cannot be enabled: it is no rule',
        did_you_mean(name, known),
        f"rules: {_listed(known)}" if known else "declare it under `rules:`",
    )


def confirm_level(at: Span, level: float, highest: int) -> Finding:
    """`from_level: 7` of a plan with three levels."""
    return _error(
        "E418",
        at,
        f"there is no level {level:g}",
        "",
        f"write {f'a level from 1 to {highest}' if highest > 1 else 1}, or declare more under `levels:`",
    )


def ramp_on_state(at: Span, point: str) -> Finding:
    """A ramp on a door."""
    return _error(
        "E420", at, f"{point} is no number: it cannot change little by little", "", "remove `ramp`"
    )


def status_unknown(at: Span, word: str, statuses: Iterable[str]) -> Finding:
    """`status: [queud]`."""
    known = list(statuses)
    if not known:
        message = "this point gives no answers: `status` is for requests and calls"
        return _error("E421", at, message, "", "write expect: {within: 5 s, retry: 1}")
    return _error(
        "E421",
        at,
        f'"{word}" is never answered here',
        did_you_mean(word, known),
        f"answers: {_listed(known)}",
    )


def pulse_retried(at: Span, name: str, retry: int) -> Finding:
    """`retry: 2` of something that is done twice when it is sent twice."""
    return _error(
        "E427",
        at,
        f"{name} is a pulse: done again each time it is sent, so it is never sent again by itself",
        f"retry: {retry}",
        "remove `retry`; say under `on_failure` whom to tell",
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
        "a template shows values and chooses: {{ name.point }}, {% if … %}…{% endif %}, "
        "and the filters upper, lower, capitalize, title, trim, default, round, int, length, abs",
    )


def steps_of_own_condition(at: Span, name: str) -> Finding:
    """A hold whose own wanted value is in its condition."""
    return _error(
        "E426",
        at,
        f"the condition reads wanted({name}), which this rule itself decides",
        "",
        f"read the reported value: {name}, or split the rule",
    )


# ── W5xx: doubts ─────────────────────────────────────────────────────────────────────────────


def always(at: Span, truth: bool) -> Finding:
    """A condition that never changes."""
    word = "true" if truth else "false"
    return _warning(
        "W501", at, f"this is always {word}", "", "a condition should be able to change"
    )


def never_in_range(at: Span, truth: bool, point: str, low: str, high: str) -> Finding:
    """`level > 100 %`."""
    word = "true" if truth else "false"
    bounds = (
        f"from {low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    )
    return _warning(
        "W501",
        at,
        f"this is always {word}: {point} is {bounds}",
        "",
        "compare with a value in between",
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


def percent_of_a_count(at: Span, point: str, share: float) -> Finding:
    """`park.free < 5 %`: 0.05 spaces."""
    return _warning(
        "W503",
        at,
        f"{point} is a plain number, so {share:g} % means {share / 100:g} here",
        "",
        f"write {share:g} for a number, or divide: {point} / …",
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


def hysteresis_gap(at: Span, while_: str, until: str) -> Finding:
    """`until` that can be true together with `while`."""
    return _warning(
        "W512",
        at,
        f"both `{while_}` and `{until}` can be true: the hold does not begin then",
        "",
        "leave a gap between the two, such as while: flow < 60 veh/h, until: flow > 80 veh/h",
    )


def cyclic_rules(at: Span, names: Iterable[str]) -> Finding:
    """Rules that drive each other over wanted values."""
    return _warning(
        "W513",
        at,
        f"these rules drive each other: {' -> '.join(names)}",
        "",
        "read the reported value in one of them instead of wanted(…)",
    )


def invariant_of_the_reported(at: Span, point: str) -> Finding:
    """`never: segment.lights.level < 50 %`: the safe value would come and go with the report."""
    return _warning(
        "W514",
        at,
        f"`never` reads what {point} reports, and `otherwise` decides what it is told",
        "",
        f"write wanted({point}): a forbidden value is then replaced before it is sent",
    )


def untested(at: Span, name: str) -> Finding:
    """A rule without a test."""
    return _warning("W520", at, f'no test uses "{name}"', "", "add one under `tests:`")


# ── W53x: doubts that only an inventory raises ───────────────────────────────────────────────


def nobody_of_kind(at: Span, kind: str) -> Finding:
    """An aggregate over a kind that the city does not have."""
    return _warning(
        "W530",
        at,
        f"the inventory has no {kind}: this looks at nothing",
        "",
        f"add a {kind} to the inventory, or remove this",
    )


def never_known(at: Span, kind: str, point: str) -> Finding:
    """A fixed point that no entity has a value for."""
    return _warning(
        "W531",
        at,
        f"no {kind} of the inventory has a value for {point}: this is never known",
        "",
        f"fill in {point} in the inventory, or ask known(...) first",
    )


def no_such_entity(at: Span, kind: str, word: str, ids: Iterable[str]) -> Finding:
    """A comparison with an entity that the city does not have."""
    known = list(ids)
    return _warning(
        "W532",
        at,
        f'the inventory has no {kind or "entity"} "{word}"',
        did_you_mean(word, known),
        f"there are {_listed(known, 5)}" if known else "add it to the inventory",
    )
