"""Maps against their closed lists of keys: what stands under a key, as the piece of the tree that belongs there.

Every reading reports its own mistake and then gives None, so that one pass finds all mistakes of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pilotage.language import findings as say
from pilotage.language.expressions import (
    RESERVED,
    parse_duration,
    parse_expression,
    parse_length,
    parse_percentage,
    parse_text,
)
from pilotage.language.lexer import Locate
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode
from pilotage.language.syntax import Duration, Expr, ForEach, Raw, SetOf, Text, Title, Word
from pilotage.model.diagnostics import Finding, Span

MAX_FINDINGS: Final = 200

NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
VARIABLE: Final = re.compile(r"[a-z][a-z0-9_]*")
_WORD: Final = re.compile(r"[\w.@+-]+")
_LANGUAGE: Final = re.compile(r"[a-z]{2}")
_SET_KEYS: Final = ("kind", "where", "within", "of")


class TooManyFindingsError(Exception):
    """Nobody reads on; what was found so far is enough."""


class Report:
    """The findings of one file while it is read."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Keep a finding.

        Raises:
            TooManyFindingsError: The limit is reached.
        """
        self.findings.append(finding)
        if len(self.findings) >= MAX_FINDINGS:
            self.findings.append(say.too_many_findings(finding.at, MAX_FINDINGS))
            raise TooManyFindingsError


def shape_of(node: Node) -> str:
    """Return what a node is, as a person calls it."""
    if isinstance(node, MapNode):
        return "a map"
    return (
        "a list"
        if isinstance(node, ListNode)
        else f'the text "{node.text}"'
        if len(node.text) < 40
        else "a text"
    )


class Fields:
    """The entries of one map; unknown keys are reported as soon as it is made.

    Args:
        node: The map.
        what: What the map describes, for messages: `rule "dim-quiet-streets"`.
        keys: All keys that it may have.
        report: Where mistakes go.
        at: The place to show when a key is missing; the map itself without it.
        hints: What to say of keys that people look for here and that belong elsewhere.
    """

    def __init__(
        self,
        node: MapNode,
        what: str,
        keys: Sequence[str],
        report: Report,
        at: Span | None = None,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.node = node
        self.what = what
        self.report = report
        self.at = at or node.at
        self._values: dict[str, Node] = {}
        self._key_nodes: dict[str, ScalarNode] = {}
        for key, value in node.entries:
            if key.text in keys:
                self._values[key.text] = value
                self._key_nodes[key.text] = key
            else:
                self._unknown(key, value, keys, (hints or {}).get(key.text, ""))

    def _unknown(self, key: ScalarNode, value: Node, keys: Sequence[str], hint: str) -> None:
        is_cut = self.node.is_flow and isinstance(value, ScalarNode) and value.is_null
        if is_cut and not (_WORD.fullmatch(key.text) and say.did_you_mean(key.text, keys)):
            self.report.add(say.comma_in_flow(key.at, key.text))
        else:
            self.report.add(say.unknown_key(key.at, key.text, self.what, keys, hint))

    def __contains__(self, key: str) -> bool:
        """Return whether a key is written, whatever its value."""
        return key in self._values

    def key_at(self, key: str) -> Span:
        """Return the place of a written key."""
        return self._key_nodes[key].at

    def node_of(self, key: str) -> Node | None:
        """Return the node under a key."""
        return self._values.get(key)

    def require(self, key: str, example: str) -> bool:
        """Return whether a key is written, and report it when it is not."""
        if key not in self._values:
            self.report.add(say.missing_key(self.at, key, self.what, example))
        return key in self._values

    # shapes

    def scalar(self, key: str, what: str = "a value") -> ScalarNode | None:
        """Return the scalar under a key when there is one that says something."""
        node = self._values.get(key)
        return None if node is None else scalar(node, key, what, self.report)

    def map_of(self, key: str, keys: Sequence[str], what: str, example: str = "") -> Fields | None:
        """Return the map under a key, read against its own keys."""
        node = self._values.get(key)
        if node is None or not self._is_map(node, key, example):
            return None
        assert isinstance(node, MapNode)
        return Fields(node, what, keys, self.report, self.key_at(key))

    def entries(self, key: str, what: str, example: str = "") -> list[tuple[ScalarNode, Node]]:
        """Return the entries of a map whose keys are free names; an empty one is a mistake."""
        node = self._values.get(key)
        if node is None or not self._is_map(node, key, example):
            return []
        assert isinstance(node, MapNode)
        if not node.entries:
            self.report.add(say.empty_collection(node.at, key, what))
        return node.entries

    def _is_map(self, node: Node, key: str, example: str) -> bool:
        if isinstance(node, MapNode):
            return True
        if isinstance(node, ScalarNode) and node.is_null:
            self.report.add(say.empty_value(self.key_at(key), key, "a map"))
        else:
            self.report.add(say.wrong_shape(node.at, key, "a map", shape_of(node), example))
        return False

    def items(self, key: str, what: str) -> list[Node]:
        """Return the items of a list; an empty one is a mistake."""
        node = self._values.get(key)
        if node is None:
            return []
        if isinstance(node, ListNode):
            if not node.items:
                self.report.add(say.empty_collection(node.at, key, what))
            return node.items
        if isinstance(node, ScalarNode) and node.is_null:
            self.report.add(say.empty_value(self.key_at(key), key, what))
        else:
            self.report.add(
                say.wrong_shape(node.at, key, "a list", shape_of(node), f"{what}, each with a dash")
            )
        return []

    # values

    def expression(self, key: str) -> Expr | None:
        """Return the expression under a key."""
        node = self._values.get(key)
        return None if node is None else expression(node, key, self.report)

    def expressions(self, key: str) -> tuple[Expr, ...]:
        """Return one expression, or the list of them, under a key."""
        node = self._values.get(key)
        nodes = (
            self.items(key, "expressions") if isinstance(node, ListNode) else [node] if node else []
        )
        found = (expression(each, key, self.report) for each in nodes)
        return tuple(each for each in found if each is not None)

    def duration(self, key: str, *, may_be_zero: bool = False) -> Duration | None:
        """Return the duration under a key, above zero unless it may be zero."""
        node = self.scalar(key, "a duration such as 90 s")
        return None if node is None else duration(node, self.report, may_be_zero=may_be_zero)

    def length(self, key: str) -> float | None:
        """Return the distance under a key in metres."""
        node = self.scalar(key, "a distance such as 150 m")
        if node is None:
            return None
        metres, problem = parse_length(node.text, node.place)
        if problem is not None:
            self.report.add(problem)
        return metres

    def share(self, key: str) -> float | None:
        """Return the percentage under a key as a share between 0 and 1."""
        node = self.scalar(key, "a percentage such as 80 %")
        if node is None:
            return None
        value = parse_percentage(node.text, node.place)
        if value is None:
            self.report.add(say.bad_percentage(node.at, key, node.text))
        return value

    def integer(self, key: str, least: int) -> int | None:
        """Return the whole number under a key."""
        node = self.scalar(key, "a whole number")
        if node is None:
            return None
        value = node.value
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1_000_000:
            return value
        self.report.add(say.bad_integer(node.at, key, node.text, least))
        return None

    def boolean(self, key: str, default: bool) -> bool:
        """Return what stands under a key, or the default."""
        node = self.scalar(key, "true or false")
        if node is None:
            return default
        value = node.value
        if isinstance(value, bool):
            return value
        self.report.add(say.bad_boolean(node.at, key, node.text))
        return default

    def word(self, key: str) -> Word | None:
        """Return the name under a key."""
        node = self.scalar(key, "a name")
        return None if node is None else word(node, key, self.report)

    def words(self, key: str) -> tuple[Word, ...]:
        """Return one name, or the list of them, under a key."""
        node = self._values.get(key)
        if isinstance(node, ListNode):
            return words_in(self.items(key, "names"), key, self.report)
        one = self.word(key)
        return () if one is None else (one,)

    def phrase(self, key: str) -> Word | None:
        """Return what stands under a key as it is written, blanks and all."""
        node = self.scalar(key)
        return None if node is None else Word(node.text, node.at)

    def choice(self, key: str, allowed: Sequence[str]) -> Word | None:
        """Return the word under a key when it is one of the allowed."""
        found = self.phrase(key)
        if found is None or found.text in allowed:
            return found
        self.report.add(say.bad_choice(found.at, key, found.text, allowed))
        return None

    def text(self, key: str) -> Text | None:
        """Return the text for people under a key."""
        node = self._values.get(key)
        return None if node is None else text(node, key, self.report)

    def raw(self, key: str) -> Raw | None:
        """Return the value under a key, both as an expression and as a text."""
        node = self._values.get(key)
        return None if node is None else raw(node, key, self.report)

    def title(self, key: str = "title") -> Title | None:
        """Return the title under a key: one text, or one per language."""
        node = self._values.get(key)
        if isinstance(node, MapNode):
            return self._titles(node)
        found = self.scalar(key, "a text")
        return None if found is None else Title({"": found.text}, found.at)

    def _titles(self, node: MapNode) -> Title | None:
        texts: dict[str, str] = {}
        for key, value in node.entries:
            if not _LANGUAGE.fullmatch(key.text):
                self.report.add(say.title_language(key.at, key.text))
                continue
            found = scalar(value, key.text, "a text", self.report)
            if found is not None:
                texts[key.text] = found.text
        if not node.entries:
            self.report.add(say.empty_collection(node.at, "title", "a text"))
        return Title(texts, node.at) if texts else None

    def for_each(self, key: str = "for_each") -> ForEach:
        """Return the variables under a key, each with the set that it runs over."""
        found: list[tuple[Word, SetOf]] = []
        for name, node in self.entries(
            key, "{VARIABLE: {kind: KIND}}", "for_each: {x: {kind: KIND}}"
        ):
            variable = variable_name(name, self.report)
            entities = set_of(node, name.text, self.report)
            if variable is not None and entities is not None:
                found.append((variable, entities))
        return tuple(found)

    def bindings(self, key: str) -> tuple[tuple[Word, Raw | SetOf], ...]:
        """Return the named values under a key (`with`, `let`): expressions, texts or sets."""
        found: list[tuple[Word, Raw | SetOf]] = []
        for name, node in self.entries(key, "{NAME: VALUE}", "a map such as {crews: 4}"):
            value = raw_or_set(node, name.text, self.report)
            if value is not None:
                found.append((Word(name.text, name.at), value))
        return tuple(found)


# ── single nodes ─────────────────────────────────────────────────────────────────────────────


def scalar(node: Node, key: str, what: str, report: Report) -> ScalarNode | None:
    """Return a node when it is a scalar that says something."""
    if not isinstance(node, ScalarNode):
        report.add(say.wrong_shape(node.at, key, what, shape_of(node)))
        return None
    if node.is_null:
        report.add(say.empty_value(node.at, key, what))
        return None
    return node


def expression(node: Node, key: str, report: Report) -> Expr | None:
    """Return the expression that a scalar holds; quotes change nothing."""
    written = _flow_list(node) if isinstance(node, ListNode) and node.is_flow else None
    if isinstance(node, ListNode) and written is None:
        report.add(say.expression_is_a_list(node.at, key))
        return None
    found = None if written else scalar(node, key, "an expression", report)
    if found is not None:
        written = found.text, found.place
    if written is None:
        return None
    tree, problem = parse_expression(*written)
    if problem is not None:
        report.add(problem)
    return tree


def duration(node: ScalarNode, report: Report, *, may_be_zero: bool = False) -> Duration | None:
    """Return the duration that a scalar holds."""
    seconds, problem = parse_duration(node.text, node.place)
    if problem is not None:
        report.add(problem)
        return None
    assert seconds is not None
    if seconds <= 0 and not may_be_zero:
        report.add(say.duration_not_positive(node.at, node.text))
        return None
    return Duration(seconds, node.at)


def word(node: ScalarNode, key: str, report: Report) -> Word | None:
    """Return the name that a scalar holds; whether it exists is not asked here."""
    if _WORD.fullmatch(node.text) and not isinstance(node.value, bool):
        return Word(node.text, node.at)
    report.add(say.out_of_one_or_more(node.at, key, node.text))
    return None


def words_in(nodes: Sequence[Node], key: str, report: Report) -> tuple[Word, ...]:
    """Return the names in a list."""
    scalars = (scalar(node, key, "a name", report) for node in nodes)
    found = (word(node, key, report) for node in scalars if node is not None)
    return tuple(each for each in found if each is not None)


def declared_name(
    node: ScalarNode, what: str, example: str, report: Report, pattern: re.Pattern[str] = NAME
) -> Word:
    """Return the name that a key declares, and report it when it is no name."""
    if not pattern.fullmatch(node.text):
        report.add(
            say.bad_name(node.at, what, node.text, example if pattern.fullmatch(example) else "")
        )
    return Word(node.text, node.at)


def variable_name(node: ScalarNode, report: Report, what: str = "a variable") -> Word | None:
    """Return the name of a variable; words of the language are no names."""
    if node.text in RESERVED:
        report.add(say.reserved_variable(node.at, node.text))
        return None
    example = re.sub(r"[^a-z0-9_]", "_", node.text.lower())
    return declared_name(node, what, example, report, VARIABLE)


def text(node: Node, key: str, report: Report) -> Text | None:
    """Return a text for people: a scalar with expressions in braces, or `{template: ...}`."""
    if isinstance(node, MapNode):
        return template(node, report)
    found = scalar(node, key, "a text", report)
    if found is None:
        return None
    result, problems = parse_text(found.text, found.place)
    for problem in problems:
        report.add(problem)
    return result


def template(node: MapNode, report: Report) -> Text | None:
    """Return the Jinja2 template that a map holds; what it may contain is checked later."""
    inside = node.get("template")
    if inside is None or len(node.entries) > 1:
        report.add(say.template_with_more(node.at))
        return None
    found = scalar(inside, "template", "a text", report)
    return None if found is None else Text((), found.at, found.text)


def raw(node: Node, key: str, report: Report) -> Raw | None:
    """Return a value whose meaning its position decides: an expression and a text at once."""
    if isinstance(node, MapNode):
        made = template(node, report)
        return None if made is None else Raw(made.template or "", made.at, None, made)
    if isinstance(node, ListNode) and node.is_flow:
        written, locate = _flow_list(node)
        return _raw(written, node.at, locate)
    found = scalar(node, key, "a value", report)
    return None if found is None else _raw(found.text, found.at, found.place)


def _flow_list(node: ListNode) -> tuple[str, Locate]:
    """Return `[a, b]` as it is written: what YAML takes for a list is one in an expression too."""
    start, source = node.start, node.source
    return source.text[start : node.end], lambda offset, length: source.span(
        start + offset, start + offset + length
    )


def _raw(written: str, at: Span, locate: Locate) -> Raw:
    tree, problem = parse_expression(written, locate)
    as_text, problems = parse_text(written, locate)
    if tree is None and problems:
        problem = problems[0]
    return Raw(written, at, tree, as_text, problem)


def raw_or_set(node: Node, key: str, report: Report) -> Raw | SetOf | None:
    """Return a set when a map describes one, else a value."""
    if isinstance(node, MapNode) and node.get("template") is None:
        return set_of(node, key, report)
    return raw(node, key, report)


def set_of(node: Node, key: str, report: Report) -> SetOf | None:
    """Return a set of entities: `{kind, where, within, of}`, or an expression that yields one."""
    if not isinstance(node, MapNode):
        tree = expression(node, key, report)
        return None if tree is None else SetOf(node.at, expression=tree)
    fields = Fields(node, "a set of entities", _SET_KEYS, report)
    if "kind" not in fields:
        report.add(say.set_of_incomplete(node.at, "kind"))
    for first, second in (("within", "of"), ("of", "within")):
        if first in fields and second not in fields:
            report.add(say.set_of_incomplete(fields.key_at(first), first))
    where, of = fields.expression("where"), fields.expression("of")
    kind = fields.word("kind")
    within = fields.length("within")
    return SetOf(node.at, kind, where, within, of) if kind is not None else None


def maps_in(nodes: Sequence[Node], key: str, report: Report) -> Iterator[MapNode]:
    """Yield the maps of a list, and report what is none."""
    for node in nodes:
        if isinstance(node, MapNode):
            yield node
        else:
            report.add(say.wrong_shape(node.at, key, "a list of maps", shape_of(node)))
