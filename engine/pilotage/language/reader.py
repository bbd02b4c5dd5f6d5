"""Rule files to the typed tree: the closed schema of the language, and every mistake of a file at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

from pilotage.language import findings as say
from pilotage.language.fields import (
    VARIABLE,
    Fields,
    Report,
    TooManyFindingsError,
    declared_name,
    maps_in,
    raw_or_set,
    shape_of,
    variable_name,
)
from pilotage.language.lexer import is_unit, nearest_unit
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, load
from pilotage.language.reader_steps import SEVERITIES, holds, steps
from pilotage.language.reader_tests import read_test
from pilotage.language.syntax import (
    Activation,
    Alarm,
    ChecklistItem,
    Confirm,
    Cooldown,
    Derive,
    Duration,
    Invariant,
    Plan,
    PlanLevel,
    PlanParameter,
    Rule,
    RuleFile,
    Runs,
    Word,
)
from pilotage.model.diagnostics import Finding

_SECTIONS: Final = ("version", "derive", "rules", "plans", "alarms", "invariants", "tests")
_DERIVE_KEYS: Final = ("title", "owner", "for_each", "value", "coverage", "unit")
_RULE_KEYS: Final = (
    "title", "owner", "description", "for_each", "while", "until", "unless", "when", "if", "for", "keep", "at_most",
    "cooldown", "if_unknown", "hold_at_most", "unknown_after", "hold", "do", "runs", "if_interrupted", "max_late",
    "respond_within", "enabled", "mode",
)  # fmt: skip
_ELSEWHERE: Final = {
    **dict.fromkeys(
        ("set", "to", "request", "with", "priority", "ramp", "expect", "on_failure", "each"),
        "this belongs to a demand, under `hold`",
    ),
    **dict.fromkeys(
        ("notify", "call", "note", "open_incident", "let", "wait", "wait_for"),
        "this is a step, under `do`",
    ),
    **dict.fromkeys(("trigger", "triggers", "event", "on"), 'did you mean "when"?'),
    **dict.fromkeys(("action", "actions", "steps", "then"), 'did you mean "do"?'),
    **dict.fromkeys(("condition", "conditions"), 'did you mean "while" or "if"?'),
    **dict.fromkeys(("alias", "name"), 'did you mean "title"?'),
    "shadow": "write mode: shadow",
    "disabled": "write enabled: false",
}
_HOLD_ONLY: Final = ("until", "for", "keep", "at_most", "hold_at_most", "hold")
_STORY_ONLY: Final = ("if", "do", "runs", "if_interrupted", "max_late")
_IF_UNKNOWN: Final = ("release", "hold", "act")
_IF_INTERRUPTED: Final = ("resume", "restart", "abandon")
_PLAN_KEYS: Final = (
    "title",
    "owner",
    "exclusive_group",
    "priority",
    "parameters",
    "activation",
    "levels",
)
_PARAMETER_KEYS: Final = ("type", "default", "min", "max")
_PARAMETER_TYPES: Final = (
    "count",
    "percent",
    "number",
    "text",
    "boolean",
    "duration",
    "set of KIND",
)
_ACTIVATION_KEYS: Final = (
    "for", "step_down_after", "if_unknown", "operators", "manual_expires", "review_every", "confirm", "two_people", "calendar",
    "api",
)  # fmt: skip
_LEVEL_KEYS: Final = (
    "level",
    "name",
    "enter",
    "hold",
    "on_enter",
    "on_leave",
    "checklist",
    "enable",
)
_ALARM_KEYS: Final = (
    "title", "owner", "for_each", "raise_while", "severity", "latched", "on_delay", "off_delay", "shelve_at_most",
    "out_of_service", "suppress_while", "if_unknown", "text",
)  # fmt: skip
_INVARIANT_KEYS: Final = (
    "title",
    "owner",
    "for_each",
    "never",
    "otherwise",
    "assume",
    "if_unknown",
)
_RUNS: Final = re.compile(
    r"(?P<mode>one|restart)|one\s+per\s+(?P<per>\S.*)|(?P<many>queue|parallel)\s+(?P<count>\d{1,4})"
)

_D = TypeVar("_D")


class Parts:
    """The declarations of a file by what is written and where, so that a file with one change is read in a moment.

    Attributes:
        before: Those of the last time, when nothing was wrong with the file.
        now: Those of this time.
    """

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        self.before = before or {}
        self.now: dict[str, Any] = {}

    def read(
        self, section: str, name: ScalarNode, value: Node, read: Callable[[], _D | None]
    ) -> _D | None:
        """Return a declaration: the one of before, when the same is written at the same place."""
        text = name.source.text[name.start : max(name.end, _end_of(value))]
        place = f"{section} {name.line} {name.column} {text}"
        digest = sha256(place.encode("utf-8", "surrogatepass")).hexdigest()
        found: _D | None = self.before.get(digest)
        if found is None:
            found = read()
        if found is not None:
            self.now[digest] = found
        return found


def _end_of(node: Node) -> int:
    """Return where the last thing in a node ends; a map that is written in a block ends where it begins, for YAML."""
    last: Node | None = None
    if isinstance(node, MapNode) and node.entries:
        name, last = node.entries[-1]
        return max(node.end, name.end, _end_of(last))
    if isinstance(node, ListNode) and node.items:
        last = node.items[-1]
    return node.end if last is None else max(node.end, _end_of(last))


def read_rules(
    text: str | bytes, file: str, parts: Parts | None = None
) -> tuple[RuleFile | None, list[Finding]]:
    """Return what a rule file declares, and all findings in order of place.

    With findings, the tree holds the parts that could be read; it is None when the file is no YAML at all.

    Args:
        text: What is in the file.
        file: Its name, for the findings.
        parts: What is known of its declarations.
    """
    root, findings = load(text, file)
    if root is None and findings:
        return None, findings
    report = Report(file)
    try:
        tree = _FileReading(report, parts if parts is not None and not findings else Parts()).read(
            root, text if isinstance(text, str) else text.decode("utf-8")
        )
    except TooManyFindingsError:
        tree = RuleFile(file)
    told = {(finding.at.line, finding.at.column) for finding in findings}
    findings += [each for each in report.findings if (each.at.line, each.at.column) not in told]
    findings.sort(key=lambda finding: (finding.at.line, finding.at.column))
    return tree, findings


class _FileReading:
    def __init__(self, report: Report, parts: Parts) -> None:
        self.report = report
        self.parts = parts

    def read(self, root: Node | None, source: str) -> RuleFile:
        """Return all declarations of a file; an empty file declares nothing."""
        file = self.report.file
        if root is None or (isinstance(root, ScalarNode) and root.is_null):
            return RuleFile(file, source=source)
        if not isinstance(root, MapNode):
            self.report.add(
                say.wrong_shape(
                    root.at, "the file", "a map", shape_of(root), "rules: and the rules below"
                )
            )
            return RuleFile(file, source=source)
        fields = Fields(root, "a rule file", _SECTIONS, self.report)
        self._version(fields)
        return RuleFile(
            file,
            derive=self._section(fields, "derive", read_derive),
            rules=self._section(fields, "rules", read_rule),
            plans=self._section(fields, "plans", read_plan),
            alarms=self._section(fields, "alarms", read_alarm),
            invariants=self._section(fields, "invariants", read_invariant),
            tests=self._section(fields, "tests", read_test),
            source=source,
        )

    def _version(self, fields: Fields) -> None:
        found = fields.scalar("version", "1")
        if found is not None and (found.value != 1 or isinstance(found.value, bool)):
            self.report.add(say.bad_version(found.at, found.text))

    def _section(
        self, fields: Fields, key: str, read: Callable[[ScalarNode, Node, Report], _D | None]
    ) -> tuple[_D, ...]:
        node = fields.node_of(key)
        if isinstance(node, ScalarNode) and node.is_null:
            return ()  # a section whose content is commented out
        entries = fields.entries(key, "a name and its map") if node is not None else []
        found = (
            self.parts.read(key, name, value, partial(read, name, value, self.report))
            for name, value in entries
        )
        return tuple(each for each in found if each is not None)


def _declaration(
    name: ScalarNode, node: Node, what: str, keys: Sequence[str], report: Report
) -> tuple[Word, Fields] | None:
    """Return the name and the fields of a declaration, or None when it is no map."""
    pattern = VARIABLE if what == "a derived value" else None
    example = re.sub(r"[^a-z0-9_-]+", "_" if pattern else "-", name.text.lower()).strip("-_")
    if pattern:
        word = declared_name(name, what, example.replace("-", "_"), report, pattern)
    else:
        word = declared_name(name, what, example, report)
    if not isinstance(node, MapNode):
        if isinstance(node, ScalarNode) and node.is_null:
            report.add(say.empty_value(name.at, name.text, "a map, indented below"))
        else:
            report.add(say.wrong_shape(node.at, name.text, "a map", shape_of(node)))
        return None
    short = what.split(" ", 1)[1]
    hints = _ELSEWHERE if what == "a rule" else {}
    return word, Fields(node, f'{short} "{name.text}"', keys, report, name.at, hints)


def _require_title_and_owner(fields: Fields) -> None:
    fields.require("title", "title: WHAT IT IS FOR")
    fields.require("owner", "owner: WHO ANSWERS FOR IT")


# ── derive ───────────────────────────────────────────────────────────────────────────────────


def read_derive(name: ScalarNode, node: Node, report: Report) -> Derive | None:
    """Return a named value, or None when its expression is missing or unreadable."""
    made = _declaration(name, node, "a derived value", _DERIVE_KEYS, report)
    if made is None:
        return None
    word, fields = made
    fields.require("value", "value: EXPRESSION")
    each = fields.for_each()
    if len(each) > 1:
        report.add(say.derive_over_several(each[1][0].at))
    title, owner, value = fields.title(), fields.word("owner"), fields.expression("value")
    coverage, unit = fields.share("coverage"), _unit(fields)
    coverage_node = fields.node_of("coverage")
    if value is None:
        return None
    at = coverage_node.at if coverage is not None and coverage_node else None
    return Derive(word, title, owner, value, each, coverage, at, unit)


def _unit(fields: Fields) -> Word | None:
    found = fields.phrase("unit")
    if found is not None and not is_unit(found.text):
        fields.report.add(say.unknown_unit(found.at, found.text, nearest_unit(found.text)))
        return None
    return found


# ── rules ────────────────────────────────────────────────────────────────────────────────────


def read_rule(name: ScalarNode, node: Node, report: Report) -> Rule | None:
    """Return a rule; what could not be read is left out of it."""
    made = _declaration(name, node, "a rule", _RULE_KEYS, report)
    if made is None:
        return None
    word, fields = made
    _require_title_and_owner(fields)
    _check_form(fields, word.text)
    mode = fields.choice("mode", ("live", "shadow"))
    description = fields.phrase("description")
    each = fields.for_each()
    return Rule(
        word,
        fields.title(),
        fields.word("owner"),
        for_each=each,
        while_=fields.expression("while"),
        until=fields.expression("until"),
        unless=fields.expressions("unless"),
        when=fields.expression("when"),
        if_=fields.expression("if"),
        for_=fields.duration("for"),
        keep=fields.duration("keep"),
        at_most=fields.duration("at_most"),
        cooldown=_cooldown(fields),
        if_unknown=fields.choice("if_unknown", _IF_UNKNOWN),
        hold_at_most=fields.duration("hold_at_most"),
        unknown_after=fields.duration("unknown_after"),
        hold=holds(fields),
        do=steps(fields, "do"),
        runs=_runs(fields),
        if_interrupted=fields.choice("if_interrupted", _IF_INTERRUPTED),
        max_late=fields.duration("max_late", may_be_zero=True),
        respond_within=fields.duration("respond_within"),
        enabled=fields.boolean("enabled", True),
        shadow=mode is not None and mode.text == "shadow",
        description=description.text if description else "",
    )


def _check_form(fields: Fields, name: str) -> None:
    """Report a rule that is neither a hold nor a story, both, or has keys of the other form."""
    if "while" in fields and "when" in fields:
        fields.report.add(say.both_while_and_when(fields.key_at("when"), name))
    elif "while" in fields:
        fields.require("hold", "hold: with its demands")
        _check_keys(fields, _STORY_ONLY, "when", name)
    elif "when" in fields:
        fields.require("do", "do: with its steps")
        _check_keys(fields, _HOLD_ONLY, "while", name)
    else:
        fields.report.add(say.neither_while_nor_when(fields.at, name))


def _check_keys(fields: Fields, keys: Sequence[str], needs: str, name: str) -> None:
    for key in keys:
        if key in fields and key == "if":
            fields.report.add(say.if_with_while(fields.key_at(key), name))
        elif key in fields:
            fields.report.add(say.key_does_not_fit(fields.key_at(key), key, needs, name))


def _cooldown(fields: Fields) -> Cooldown | None:
    node = fields.node_of("cooldown")
    if node is None:
        return None
    per: tuple[Word, ...] = ()
    after: Duration | None
    if isinstance(node, MapNode):
        inside = fields.map_of("cooldown", ("after", "per"), "a cooldown")
        assert inside is not None
        inside.require("after", "after: 90 s")
        after, per = inside.duration("after"), inside.words("per")
        has_per = "per" in inside
    else:
        after, has_per = fields.duration("cooldown"), False
    if "for_each" in fields and not has_per:
        fields.report.add(say.cooldown_without_per(fields.key_at("cooldown")))
    return Cooldown(node.at, after, per) if after else None


def _runs(fields: Fields) -> Runs | None:
    found = fields.phrase("runs")
    if found is None:
        return None
    match = _RUNS.fullmatch(found.text)
    per = re.split(r"\s*,\s*|\s+and\s+", match["per"]) if match and match["per"] else []
    count = int(match["count"]) if match and match["count"] else 1
    if match is None or count < 1 or not all(VARIABLE.fullmatch(each) for each in per):
        fields.report.add(say.bad_runs(found.at, found.text))
        return None
    mode = match["mode"] or match["many"] or "one"
    return Runs(found.at, mode, count, tuple(Word(each, found.at) for each in per))


# ── plans ────────────────────────────────────────────────────────────────────────────────────


def read_plan(name: ScalarNode, node: Node, report: Report) -> Plan | None:
    """Return a plan with its levels in order."""
    made = _declaration(name, node, "a plan", _PLAN_KEYS, report)
    if made is None:
        return None
    word, fields = made
    _require_title_and_owner(fields)
    fields.require("levels", "levels: with at least one level")
    return Plan(
        word,
        fields.title(),
        fields.word("owner"),
        levels=_levels(fields),
        priority=fields.word("priority"),
        exclusive_group=fields.word("exclusive_group"),
        parameters=tuple(_parameters(fields)),
        activation=_activation(fields),
    )


def _parameters(fields: Fields) -> Iterator[PlanParameter]:
    for name, node in fields.entries("parameters", "{NAME: {type: count, default: 4}}"):
        word = variable_name(name, fields.report, "a parameter")
        if not isinstance(node, MapNode):
            example = "{type: count, default: 4}"
            fields.report.add(say.wrong_shape(node.at, name.text, "a map", shape_of(node), example))
            continue
        inside = Fields(node, f'parameter "{name.text}"', _PARAMETER_KEYS, fields.report, name.at)
        inside.require("type", "type: count")
        inside.require("default", "default: VALUE")
        default_node = inside.node_of("default")
        default = raw_or_set(default_node, "default", fields.report) if default_node else None
        type_, least, most = _parameter_type(inside), inside.raw("min"), inside.raw("max")
        if word is not None and type_ is not None and default is not None:
            yield PlanParameter(word, type_, default, least, most)


def _parameter_type(fields: Fields) -> Word | None:
    found = fields.phrase("type")
    if (
        found is None
        or found.text in _PARAMETER_TYPES[:-1]
        or re.fullmatch(r"set of [a-z]\w*", found.text)
    ):
        return found
    fields.report.add(say.bad_choice(found.at, "type", found.text, _PARAMETER_TYPES))
    return None


def _activation(fields: Fields) -> Activation | None:
    inside = fields.map_of("activation", _ACTIVATION_KEYS, "activation")
    if inside is None:
        return None
    return Activation(
        inside.node.at,
        for_=inside.duration("for"),
        step_down_after=inside.duration("step_down_after"),
        if_unknown=inside.choice("if_unknown", _IF_UNKNOWN),
        operators=inside.words("operators"),
        manual_expires=inside.duration("manual_expires"),
        review_every=inside.duration("review_every"),
        confirm=_confirm(inside),
        two_people=inside.boolean("two_people", False),
        calendar=inside.expression("calendar"),
        api=inside.boolean("api", False),
    )


def _confirm(fields: Fields) -> Confirm | None:
    inside = fields.map_of("confirm", ("from_level", "by", "within", "else"), "confirm")
    if inside is None:
        return None
    for key, sample in (
        ("from_level", "from_level: 3"),
        ("by", "by: NAME"),
        ("within", "within: 15 min"),
    ):
        inside.require(key, sample)
    level, by, within = (
        inside.integer("from_level", 1),
        inside.words("by"),
        inside.duration("within"),
    )
    otherwise = inside.choice("else", ("escalate", "refuse", "activate"))
    if level is None or not by or within is None:
        return None
    return Confirm(inside.node.at, level, by, within, otherwise or Word("escalate", inside.node.at))


def _levels(fields: Fields) -> tuple[PlanLevel, ...]:
    found: dict[int, PlanLevel] = {}
    highest = 0
    for node in maps_in(fields.items("levels", "levels such as level: 1"), "levels", fields.report):
        level = _level(node, fields.report)
        if level is None:
            continue
        if level.level <= highest:
            before = level.level if level.level in found else highest
            written = node.get("level")
            at = written.at if written else level.at
            fields.report.add(say.level_order(at, level.level, before))
        found.setdefault(level.level, level)
        highest = max(highest, level.level)
    return tuple(found[number] for number in sorted(found))


def _level(node: MapNode, report: Report) -> PlanLevel | None:
    fields = Fields(node, "a plan's level", _LEVEL_KEYS, report)
    fields.require("level", "level: 1")
    fields.require("name", "name: NAME")
    number, name = fields.integer("level", 1), fields.word("name")
    enter, demands = fields.expression("enter"), holds(fields)
    entering, leaving = steps(fields, "on_enter"), steps(fields, "on_leave")
    items, enable = tuple(_checklist(fields)), fields.words("enable")
    if number is None or name is None:
        return None
    return PlanLevel(node.at, number, name, enter, demands, entering, leaving, items, enable)


def _checklist(fields: Fields) -> Iterator[ChecklistItem]:
    nodes = fields.items("checklist", "items such as {text: TEXT, by: NAME, within: 45 min}")
    for node in maps_in(nodes, "checklist", fields.report):
        inside = Fields(node, "a checklist's item", ("text", "by", "within"), fields.report)
        for key, sample in (
            ("text", "text: TEXT"),
            ("by", "by: NAME"),
            ("within", "within: 45 min"),
        ):
            inside.require(key, sample)
        text, by, within = inside.text("text"), inside.word("by"), inside.duration("within")
        if text and by and within:
            yield ChecklistItem(node.at, text, by, within)


# ── alarms and invariants ────────────────────────────────────────────────────────────────────


def read_alarm(name: ScalarNode, node: Node, report: Report) -> Alarm | None:
    """Return an alarm, or None when its condition is missing or unreadable."""
    made = _declaration(name, node, "an alarm", _ALARM_KEYS, report)
    if made is None:
        return None
    word, fields = made
    _require_title_and_owner(fields)
    fields.require("raise_while", "raise_while: CONDITION")
    condition = fields.expression("raise_while")
    rest: dict[str, Any] = {
        "for_each": fields.for_each(),
        "severity": fields.choice("severity", SEVERITIES),
        "latched": fields.boolean("latched", False),
        "on_delay": fields.duration("on_delay", may_be_zero=True),
        "off_delay": fields.duration("off_delay", may_be_zero=True),
        "shelve_at_most": fields.duration("shelve_at_most"),
        "suppress_while": fields.expression("suppress_while"),
        "if_unknown": fields.choice("if_unknown", _IF_UNKNOWN),
        "text": fields.text("text"),
    }
    title, owner = fields.title(), fields.word("owner")
    by, at_most = _out_of_service(fields)
    if condition is None:
        return None
    return Alarm(
        word, title, owner, condition, out_of_service_by=by, out_of_service_at_most=at_most, **rest
    )


def _out_of_service(fields: Fields) -> tuple[tuple[Word, ...], Duration | None]:
    inside = fields.map_of(
        "out_of_service", ("by", "at_most"), "out_of_service", "{by: NAME, at_most: 7 d}"
    )
    if inside is None:
        return (), None
    inside.require("by", "by: NAME")
    inside.require("at_most", "at_most: 7 d")
    return inside.words("by"), inside.duration("at_most")


def read_invariant(name: ScalarNode, node: Node, report: Report) -> Invariant | None:
    """Return an invariant, or None when its condition or its safe value is missing or unreadable."""
    made = _declaration(name, node, "an invariant", _INVARIANT_KEYS, report)
    if made is None:
        return None
    word, fields = made
    _require_title_and_owner(fields)
    fields.require("never", "never: CONDITION")
    fields.require("otherwise", "otherwise: {set: POINT, to: SAFE VALUE}")
    title, owner, never = fields.title(), fields.word("owner"), fields.expression("never")
    each, assume = fields.for_each(), fields.expressions("assume")
    unknown = fields.choice("if_unknown", _IF_UNKNOWN)
    inside = fields.map_of("otherwise", ("set", "to"), "otherwise", "{set: POINT, to: SAFE VALUE}")
    if inside is None:
        return None
    inside.require("set", "set: POINT")
    inside.require("to", "to: SAFE VALUE")
    point, to = inside.expression("set"), inside.raw("to")
    if never is None or point is None or to is None:
        return None
    return Invariant(word, title, owner, never, point, to, each, assume, unknown)
