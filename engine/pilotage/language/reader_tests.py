"""The tests of rule files: a world, what lasted, and moments with readings, orders and expectations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pilotage.language import findings as say
from pilotage.language.expressions import parse_duration
from pilotage.language.fields import Fields, Report, maps_in, scalar, shape_of, words_in
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, core_value, plain
from pilotage.language.syntax import (
    Assignment,
    ExpectOther,
    ExpectPoint,
    ExpectRule,
    ExpectSent,
    Past,
    RuleTest,
    TestStep,
    Word,
    WorldEntity,
)
from pilotage.model.diagnostics import Span

Expectation = ExpectPoint | ExpectRule | ExpectSent | ExpectOther
Order = tuple[str, dict[str, Any], Span]

_TEST_KEYS: Final = ("use", "clock", "world", "past", "devices", "steps")
_STEP_KEYS: Final = ("at", "set", "orders", "expect")
_SUBJECTS: Final = ("point", "rule", "sent", "alarm", "plan", "incident", "value")
_DEVICES: Final = ("obey", "ignore", "slow: DURATION", "lie")
_CLOCK: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2})?")
_SENT: Final = re.compile(
    r"set [^\s.]+\.\S+ to \S.*|(?:request|update|cancel) [^\s.]+\.\S+ for \S+|(?:call|notify) \S+"
)
_POINT: Final = re.compile(r"\w+(?:\.\w+)*")
_PAST: Final = re.compile(r"(?P<value>.*\S)\s+for\s+(?P<duration>\S.*)", re.DOTALL)


def read_test(name: ScalarNode, node: Node, report: Report) -> RuleTest | None:
    """Return one test; its name is a sentence."""
    if not isinstance(node, MapNode):
        report.add(say.wrong_shape(node.at, name.text, "a map", shape_of(node)))
        return None
    fields = Fields(node, "a test", _TEST_KEYS, report, name.at)
    fields.require("steps", "steps: with what happens and what is expected")
    reading = _TestReading(fields, report)
    return RuleTest(
        name=Word(name.text, name.at),
        use=fields.words("use"),
        clock=_clock(fields),
        world=reading.world(),
        past=reading.past(),
        devices=_devices(fields),
        steps=reading.steps(),
    )


def _clock(fields: Fields) -> Word | None:
    found = fields.phrase("clock")
    if found is None:
        return None
    try:
        if _CLOCK.fullmatch(found.text):
            datetime.fromisoformat(found.text)
            return found
    except ValueError:
        pass
    fields.report.add(say.bad_clock(found.at, found.text))
    return None


def _devices(fields: Fields) -> tuple[tuple[Word, Word], ...]:
    found = []
    for name, node in fields.entries(
        "devices", "{ENTITY: ignore}", "devices: {seg-12.lights.level: ignore}"
    ):
        mode = _device(name, node, fields.report)
        if mode is not None:
            found.append((Word(name.text, name.at), mode))
    return tuple(found)


def _device(name: ScalarNode, node: Node, report: Report) -> Word | None:
    written = ""
    if isinstance(node, MapNode) and [key.text for key, _ in node.entries] == ["slow"]:
        inside = scalar(node.entries[0][1], "slow", "a duration", report)
        written = f"slow: {inside.text}" if inside else ""
    elif isinstance(node, ScalarNode):
        written = node.text
    if written in ("obey", "ignore", "lie") or _is_slow(written):
        return Word(written, node.at)
    report.add(say.bad_choice(node.at, name.text, written or shape_of(node), _DEVICES))
    return None


def _is_slow(written: str) -> bool:
    word, colon, length = written.partition(":")
    seconds, _ = parse_duration(length.strip(), lambda offset, length: Span("", 1, 1))
    return word == "slow" and bool(colon) and seconds is not None


class _TestReading:
    """Reads the parts of one test that name points: the world's ids tell where an entity's name ends."""

    def __init__(self, fields: Fields, report: Report) -> None:
        self.fields = fields
        self.report = report
        world = fields.node_of("world")
        entries = world.entries if isinstance(world, MapNode) else []
        self.ids = frozenset(key.text for key, _ in entries)

    def world(self) -> tuple[WorldEntity, ...]:
        """Return the entities with their first values."""
        entries = self.fields.entries(
            "world", "{ENTITY: {kind: KIND}}", "world: {seg-12: {kind: KIND}}"
        )
        read = (self._entity(name, node) for name, node in entries)
        return tuple(entity for entity in read if entity is not None)

    def _entity(self, name: ScalarNode, node: Node) -> WorldEntity | None:
        if not isinstance(node, MapNode):
            self.report.add(
                say.wrong_shape(
                    node.at, name.text, "a map", shape_of(node), "{kind: KIND, POINT: VALUE}"
                )
            )
            return None
        kind: Word | None = None
        values: list[Assignment] = []
        relations: list[tuple[Word, tuple[Word, ...]]] = []
        for key, value in node.entries:
            if isinstance(value, ListNode):
                relations.append(
                    (Word(key.text, key.at), words_in(value.items, key.text, self.report))
                )
                continue
            found = scalar(value, key.text, "a value", self.report)
            if found is not None and key.text == "kind":
                kind = Word(found.text, found.at)
            elif found is not None:
                values.append(Assignment(name.text, key.text, found.text, found.value, found.at))
        if node.get("kind") is None:
            self.report.add(say.missing_key(name.at, "kind", f'entity "{name.text}"', "kind: KIND"))
        return (
            WorldEntity(Word(name.text, name.at), kind, tuple(values), tuple(relations))
            if kind
            else None
        )

    def past(self) -> tuple[Past, ...]:
        """Return the values that lasted until the test begins."""
        nodes = self.fields.items("past", "lines such as seg-12.traffic.flow: 40 veh/h for 20 min")
        maps = maps_in(nodes, "past", self.report)
        read = (self._past(key, value) for node in maps for key, value in node.entries)
        return tuple(each for each in read if each is not None)

    def _past(self, key: ScalarNode, node: Node) -> Past | None:
        found = scalar(node, key.text, "VALUE for DURATION", self.report)
        names = self._point(key)
        if found is None or names is None:
            return None
        match = _PAST.fullmatch(found.text)
        if match is None:
            self.report.add(say.bad_past(found.at, found.text))
            return None
        offset = match.start("duration")
        seconds, problem = parse_duration(
            match["duration"], lambda at, length: found.place(offset + at, length)
        )
        if problem is not None or seconds is None:
            self.report.add(problem or say.bad_past(found.at, found.text))
            return None
        return Past(
            Assignment(*names, match["value"], core_value(match["value"]), found.at), seconds
        )

    def steps(self) -> tuple[TestStep, ...]:
        """Return the moments in order of time."""
        found: list[TestStep] = []
        for node in maps_in(
            self.fields.items("steps", "moments such as at: 1 s"), "steps", self.report
        ):
            step = self._step(node, found[-1].at_s if found else 0.0)
            if step is not None:
                found.append(step)
        return tuple(found)

    def _step(self, node: MapNode, not_before_s: float) -> TestStep | None:
        fields = Fields(node, "a test's step", _STEP_KEYS, self.report)
        fields.require("at", "at: 1 s")
        at = fields.duration("at", may_be_zero=True)
        if at is not None and at.seconds < not_before_s:
            written = fields.node_of("at")
            self.report.add(
                say.descending_time(at.at, written.text if isinstance(written, ScalarNode) else "")
            )
        readings, orders, expected = self._readings(fields), _orders(fields), self._expected(fields)
        return TestStep(node.at, at.seconds, readings, orders, expected) if at else None

    def _readings(self, fields: Fields) -> tuple[Assignment, ...]:
        found: list[Assignment] = []
        for key, node in fields.entries(
            "set", "{ENTITY.POINT: VALUE}", "set: {seg-12.pedestrian_detected: true}"
        ):
            value = scalar(node, key.text, "a value", self.report)
            names = self._point(key)
            if value is not None and names is not None:
                found.append(Assignment(*names, value.text, value.value, value.at))
        return tuple(found)

    def _point(self, node: ScalarNode) -> tuple[str, str] | None:
        """Return (entity, point) of `seg-12.lights.level`."""
        written = node.text
        dots = [found.start() for found in re.finditer(r"\.", written[:500])]
        known = [dot for dot in dots if written[:dot] in self.ids]  # an id may contain dots itself
        dot = known[-1] if known else dots[0] if dots else 0
        if dot > 0 and _POINT.fullmatch(written, dot + 1) and not re.search(r"\s", written):
            return written[:dot], written[dot + 1 :]
        self.report.add(say.assignment_without_point(node.at, written))
        return None

    # expectations

    def _expected(self, fields: Fields) -> tuple[Expectation, ...]:
        nodes = fields.items("expect", "items such as {point: seg-12.lights.level, wanted: 30 %}")
        read = (self._expectation(node) for node in maps_in(nodes, "expect", self.report))
        return tuple(each for each in read if each is not None)

    def _expectation(self, node: MapNode) -> Expectation | None:
        subject = next((key.text for key, _ in node.entries if key.text in _SUBJECTS), None)
        if subject is None:
            self.report.add(say.unknown_expectation(node.at, _SUBJECTS))
            return None
        if subject == "point":
            return self._expect_point(node)
        if subject == "sent":
            return self._expect_sent(node)
        return self._expect_state(node, subject)

    def _expect_point(self, node: MapNode) -> ExpectPoint | None:
        asked = ("wanted", "reported", "by", "priority")
        fields = Fields(node, "an expectation of a point", ("point", *asked), self.report)
        found = fields.scalar("point", "ENTITY.POINT")
        names = self._point(found) if found else None
        wanted, reported, by, priority = (fields.phrase(key) for key in asked)
        if not any(key in fields for key in asked):
            self.report.add(
                say.missing_key(
                    node.at, "wanted", "this expectation", "wanted: VALUE, or reported: VALUE"
                )
            )
        return ExpectPoint(node.at, *names, wanted, reported, by, priority) if names else None

    def _expect_state(self, node: MapNode, subject: str) -> ExpectRule | ExpectOther | None:
        keys = (
            (subject, "for", "state") if subject != "plan" else (subject, "for", "state", "level")
        )
        fields = Fields(node, f"an expectation of a {subject}", keys, self.report)
        state = fields.phrase("state") or fields.phrase("level")
        if "level" not in fields:
            fields.require("state", "state: STATE")
        name, instance = fields.phrase(subject), fields.words("for")
        if name is None or state is None:
            return None
        if subject == "rule":
            return ExpectRule(node.at, name, instance, state)
        return ExpectOther(node.at, subject, name, instance, state)

    def _expect_sent(self, node: MapNode) -> ExpectSent | None:
        fields = Fields(node, "an expectation of what is sent", ("sent",), self.report)
        value = fields.node_of("sent")
        if isinstance(value, ListNode):
            return ExpectSent(
                node.at, self._lines(fields.items("sent", "nothing, or lines such as call NAME"))
            )
        found = fields.phrase("sent")
        if found is not None and found.text != "nothing":
            self.report.add(say.bad_sent(found.at, found.text))
        return ExpectSent(node.at, ()) if found else None

    def _lines(self, nodes: Sequence[Node]) -> tuple[Word, ...]:
        found = []
        for node in nodes:
            line = scalar(node, "sent", "a line such as call NAME", self.report)
            if line is None:
                continue
            if _SENT.fullmatch(line.text):
                found.append(Word(line.text, line.at))
            else:
                self.report.add(say.bad_sent(line.at, line.text))
        return tuple(found)


def _orders(fields: Fields) -> tuple[Order, ...]:
    found: list[Order] = []
    nodes = fields.items("orders", "orders such as override: {...}")
    for node in maps_in(nodes, "orders", fields.report):
        for key, value in node.entries:
            arguments = plain(value)
            given = arguments if isinstance(arguments, dict) else {"name": arguments}
            found.append((key.text, given, key.at))
    return tuple(found)
