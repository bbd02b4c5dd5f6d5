"""Demands and steps: `hold` and `do` of rules, plans and whatever else carries them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pilotage.language import findings as say
from pilotage.language.fields import Fields, Report, maps_in, variable_name
from pilotage.language.loader import MapNode
from pilotage.language.syntax import (
    AlarmStep,
    CallStep,
    Expect,
    ForEachStep,
    Hold,
    IfStep,
    IncidentStep,
    LetStep,
    NoteStep,
    NotifyStep,
    PlanStep,
    Ramp,
    Raw,
    SetStep,
    Step,
    WaitForStep,
    WaitStep,
    Word,
)

SEVERITIES: Final = ("low", "medium", "high", "critical")
_HOLD_KEYS: Final = (
    "each",
    "set",
    "to",
    "request",
    "for",
    "with",
    "priority",
    "ramp",
    "expect",
    "on_failure",
)


# ── demands ──────────────────────────────────────────────────────────────────────────────────


def holds(fields: Fields, key: str = "hold") -> tuple[Hold, ...]:
    """Return the demands under a key."""
    nodes = fields.items(key, "demands such as `set: POINT` with `to: VALUE`")
    read = (_hold(node, fields.report) for node in maps_in(nodes, key, fields.report))
    return tuple(hold for hold in read if hold is not None)


def _hold(node: MapNode, report: Report) -> Hold | None:
    fields = Fields(node, "a demand", _HOLD_KEYS, report)
    if ("set" in fields) == ("request" in fields):
        report.add(say.not_one_demand(node.at))
        return None
    marker, others = ("set", ("for", "with")) if "set" in fields else ("request", ("to", "ramp"))
    for key in others:
        if key in fields:
            report.add(say.no_request_key(fields.key_at(key), key, marker))
    fields.require(*(("to", "to: VALUE") if marker == "set" else ("for", "for: ENTITY")))
    hold = Hold(
        node.at,
        each=fields.for_each("each"),
        set=fields.expression("set"),
        to=fields.raw("to"),
        request=fields.expression("request"),
        for_=fields.expression("for"),
        with_=_values(fields),
        priority=fields.word("priority"),
        ramp=ramp(fields),
        expect=expect(fields),
        on_failure=steps(fields, "on_failure"),
    )
    is_whole = (hold.set and hold.to) if marker == "set" else (hold.request and hold.for_)
    return hold if is_whole else None


def _values(fields: Fields) -> tuple[tuple[Word, Raw], ...]:
    found = []
    for name, value in fields.bindings("with"):
        if isinstance(value, Raw):
            found.append((name, value))
        else:
            shape = "a set of entities"
            fields.report.add(say.wrong_shape(value.at, name.text, "one value", shape))
    return tuple(found)


def ramp(fields: Fields) -> Ramp | None:
    """Return how long a change may take."""
    inside = fields.map_of("ramp", ("up", "down"), "a ramp", "ramp: {up: 1 s, down: 60 s}")
    if inside is None:
        return None
    up, down = (inside.duration(key, may_be_zero=True) for key in ("up", "down"))
    return Ramp(inside.node.at, up.seconds if up else None, down.seconds if down else None)


def expect(fields: Fields) -> Expect | None:
    """Return how a command, request or call is verified."""
    inside = fields.map_of(
        "expect", ("status", "within", "retry"), "expect", "expect: {within: 5 s, retry: 2}"
    )
    if inside is None:
        return None
    within = inside.duration("within")
    return Expect(
        inside.node.at,
        inside.words("status"),
        within.seconds if within else None,
        inside.integer("retry", 0),
    )


# ── steps ────────────────────────────────────────────────────────────────────────────────────


def steps(fields: Fields, key: str) -> tuple[Step, ...]:
    """Return the steps under a key, in order."""
    nodes = fields.items(key, "steps")
    read = (_step(node, fields.report) for node in maps_in(nodes, key, fields.report))
    return tuple(step for step in read if step is not None)


def _step(node: MapNode, report: Report) -> Step | None:
    markers = [key for key, _ in node.entries if key.text in _STEPS]
    if not markers:
        report.add(say.no_step(node.at, _STEPS))
        return None
    marker = markers[0].text
    for other in markers[1:]:
        report.add(say.two_steps(other.at, marker, other.text))
    read, keys = _STEPS[marker]
    allowed = (marker, *keys, *(other.text for other in markers[1:]))
    return read(Fields(node, f"a `{marker}` step", allowed, report))


def _set(fields: Fields) -> Step | None:
    fields.require("to", "to: VALUE")
    if "until" not in fields and "at_most" not in fields:
        fields.report.add(say.no_end(fields.key_at("set")))
    point, to, priority = fields.expression("set"), fields.raw("to"), fields.word("priority")
    until, at_most = fields.expression("until"), fields.duration("at_most")
    how, verified, failed = ramp(fields), expect(fields), steps(fields, "on_failure")
    if point is None or to is None:
        return None
    return SetStep(fields.node.at, point, to, priority, until, at_most, how, verified, failed)


def _call(fields: Fields) -> Step | None:
    name = fields.word("call")
    values, verified, failed = fields.bindings("with"), expect(fields), steps(fields, "on_failure")
    return CallStep(fields.node.at, name, values, verified, failed) if name else None


_NOTIFY_KEYS: Final = ("to", "text", "link", "acknowledge_within", "else")


def _notify(fields: Fields) -> Step | None:
    inside = fields.map_of("notify", _NOTIFY_KEYS, "notify", "notify: {to: NAME, text: TEXT}")
    if inside is None:
        return None
    inside.require("to", "to: NAME")
    inside.require("text", "text: TEXT")
    to, text, link = inside.words("to"), inside.text("text"), inside.expression("link")
    within, otherwise = inside.duration("acknowledge_within"), steps(inside, "else")
    if "else" in inside and "acknowledge_within" not in inside:
        inside.report.add(
            say.missing_key(
                inside.key_at("else"), "acknowledge_within", "notify", "acknowledge_within: 60 s"
            )
        )
    return NotifyStep(fields.node.at, to, text, link, within, otherwise) if to and text else None


_INCIDENT_KEYS: Final = ("as", "type", "severity", "title", "location", "one_per")


def _incident(fields: Fields) -> Step | None:
    example = "open_incident: {type: NAME, severity: high, title: TEXT}"
    inside = fields.map_of("open_incident", _INCIDENT_KEYS, "open_incident", example)
    if inside is None:
        return None
    for key, sample in (
        ("type", "type: NAME"),
        ("severity", "severity: high"),
        ("title", "title: TEXT"),
    ):
        inside.require(key, sample)
    type_, severity, title = inside.word("type"), inside.word("severity"), inside.text("title")
    as_, location, one_per = (
        _name_for(inside, "as"),
        inside.expression("location"),
        inside.expression("one_per"),
    )
    if type_ is None or severity is None or title is None:
        return None
    return IncidentStep(fields.node.at, type_, severity, title, as_, location, one_per)


def _name_for(fields: Fields, key: str) -> Word | None:
    node = fields.scalar(key, "a name")
    return None if node is None else variable_name(node, fields.report)


def _note(fields: Fields) -> Step | None:
    text, on = fields.text("note"), fields.expression("on")
    return NoteStep(fields.node.at, text, on) if text else None


def _let(fields: Fields) -> Step | None:
    inside = fields.node_of("let")
    if isinstance(inside, MapNode):
        for name, _ in inside.entries:
            variable_name(name, fields.report)
    names = fields.bindings("let")
    return LetStep(fields.node.at, names) if names else None


def _if(fields: Fields) -> Step | None:
    fields.require("then", "then: with its steps")
    condition = fields.expression("if")
    then, otherwise = steps(fields, "then"), steps(fields, "else")
    return IfStep(fields.node.at, condition, then, otherwise) if condition else None


def _for_each(fields: Fields) -> Step | None:
    fields.require("do", "do: with its steps")
    each, together, do = fields.for_each(), fields.boolean("together", False), steps(fields, "do")
    return ForEachStep(fields.node.at, each, do, together) if each else None


def _wait(fields: Fields) -> Step | None:
    duration = fields.duration("wait")
    return WaitStep(fields.node.at, duration) if duration else None


def _wait_for(fields: Fields) -> Step | None:
    condition, timeout, otherwise = (
        fields.expression("wait_for"),
        fields.duration("timeout"),
        steps(fields, "else"),
    )
    if "else" in fields and "timeout" not in fields:
        fields.report.add(
            say.missing_key(fields.key_at("else"), "timeout", "wait_for", "timeout: 5 min")
        )
    return WaitForStep(fields.node.at, condition, timeout, otherwise) if condition else None


def _plan(fields: Fields) -> Step | None:
    inside = fields
    key = "plan"
    if isinstance(fields.node_of("plan"), MapNode):
        made = fields.map_of("plan", ("name", "level", "reason"), "plan")
        assert made is not None
        inside, key = made, "name"
        inside.require("name", "name: PLAN")
    inside.require("level", "level: 1")
    plan, level, reason = inside.word(key), inside.expression("level"), inside.text("reason")
    return PlanStep(fields.node.at, plan, level, reason) if plan and level else None


def _alarm(fields: Fields) -> Step | None:
    inside = fields.map_of(
        "alarm",
        ("name", "severity", "text"),
        "alarm",
        "alarm: {name: NAME, severity: high, text: TEXT}",
    )
    if inside is None:
        return None
    for key, sample in (
        ("name", "name: NAME"),
        ("severity", "severity: high"),
        ("text", "text: TEXT"),
    ):
        inside.require(key, sample)
    name, severity, text = (
        inside.word("name"),
        inside.choice("severity", SEVERITIES),
        inside.text("text"),
    )
    return AlarmStep(fields.node.at, name, severity, text) if name and severity and text else None


_Reading = Callable[[Fields], "Step | None"]
_STEPS: Final[dict[str, tuple[_Reading, Sequence[str]]]] = {
    "set": (_set, ("to", "priority", "until", "at_most", "ramp", "expect", "on_failure")),
    "call": (_call, ("with", "expect", "on_failure")),
    "notify": (_notify, ()),
    "open_incident": (_incident, ()),
    "note": (_note, ("on",)),
    "let": (_let, ()),
    "if": (_if, ("then", "else")),
    "for_each": (_for_each, ("together", "do")),
    "wait": (_wait, ()),
    "wait_for": (_wait_for, ("timeout", "else")),
    "plan": (_plan, ("level", "reason")),
    "alarm": (_alarm, ()),
}
