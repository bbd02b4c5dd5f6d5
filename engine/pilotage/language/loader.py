"""YAML text to a tree of nodes that know their places; says what is not acceptable, never raises.

YAML 1.2 with core types only: `22:30`, `on`, `yes` and `no` are texts, `010` is ten. Anchors, aliases, merge
keys, tags, directives and further documents are refused, so that what is read is what is written.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pilotage.language import findings as say
from pilotage.model.diagnostics import Finding, Span

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 20
MAX_NODES: Final = 200_000
MAX_INTEGER_DIGITS: Final = 100
MAX_FINDINGS: Final = 200
SECRET_TAG: Final = "!secret"

_NOT_TEXT = re.compile(
    r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LINE_END = re.compile(r"\r\n|\r|\n")
_DIRECTIVE = re.compile(r"^%\S", re.MULTILINE)
_GLUED = re.compile(r"\s*(?:- )?(?:.*[{,]\s*)?(?P<key>[A-Za-z_][\w-]*):[^\s:/]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(slots=True)
class Source:
    """A file's name and text; every node of the file points to the same one."""

    file: str
    text: str = field(repr=False)
    _line_starts: list[int] = field(default_factory=list, repr=False)

    def span(self, start: int, end: int) -> Span:
        """Return the place of `text[start:end]`, cut at the end of its first line."""
        if not self._line_starts:
            self._line_starts = [0, *(found.end() for found in _LINE_END.finditer(self.text))]
        line = bisect_right(self._line_starts, start)
        column = start - self._line_starts[line - 1] + 1
        return Span(self.file, line, column, _length_on_line(self.text, start, end))


@dataclass(slots=True)
class _Node:
    source: Source
    line: int
    column: int
    start: int
    end: int

    @property
    def at(self) -> Span:
        """The place of the node; what goes over several lines is cut at the end of the first."""
        length = _length_on_line(self.source.text, self.start, self.end)
        return Span(self.source.file, self.line, self.column, length)


@dataclass(slots=True)
class ScalarNode(_Node):
    """A scalar: its text after YAML's quoting, and how it was written (`''`, `'`, `"`, `|` or `>`)."""

    text: str
    style: str
    _map: list[int] | None = field(default=None, repr=False, compare=False)

    @property
    def value(self) -> str | int | float | bool | None:
        """The value by the core types of YAML 1.2; what is quoted is always a text."""
        return self.text if self.style else core_value(self.text)

    @property
    def is_null(self) -> bool:
        """True when nothing was written, or `null`."""
        return not self.style and self.text in ("", "~", "null", "Null", "NULL")

    def place(self, offset: int, length: int = 1) -> Span:
        """Return where `text[offset:offset + length]` stands in the file."""
        if not self.style and len(self.text) == self.end - self.start:
            return Span(self.source.file, self.line, self.column + offset, max(1, length))
        if self._map is None:
            self._map = _places(self)
        places = self._map
        start = places[min(offset, len(places) - 1)]
        end = places[min(offset + max(1, length) - 1, len(places) - 1)] + 1
        return self.source.span(start, max(end, start + 1))


@dataclass(slots=True)
class MapNode(_Node):
    """A map in the order of the file; keys are texts as written, and each stands once."""

    entries: list[tuple[ScalarNode, Node]]
    is_flow: bool = False

    def get(self, key: str) -> Node | None:
        """Return what stands under a key, or None."""
        return next((value for name, value in self.entries if name.text == key), None)


@dataclass(slots=True)
class ListNode(_Node):
    """A list in the order of the file."""

    items: list[Node]
    is_flow: bool = False


Node = ScalarNode | MapNode | ListNode


def load(
    text: str | bytes, file: str, *, secret_tag: bool = False
) -> tuple[Node | None, list[Finding]]:
    """Return the tree of one document, None when it is empty or unreadable, and what is wrong with it.

    A duplicate key keeps its first value; an alias or a tagged value is read as written, so that later
    checks can go on. The findings come in order of place.

    Args:
        text: Of the file.
        file: Its name, for findings.
        secret_tag: Read `!secret NAME` as `{secret: NAME}`; else it is a tag like any other, and refused.
    """
    decoded, trouble = decode(text, file)
    if decoded is None or trouble:
        return None, trouble
    builder = _Builder(Source(file, decoded), secret_tag)
    builder.build()
    builder.findings.sort(key=lambda finding: finding.at)
    return builder.root, builder.findings


def decode(text: str | bytes, file: str) -> tuple[str | None, list[Finding]]:
    """Return a file's text when it is UTF-8 of an acceptable size without control characters."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        return None, [say.file_too_large(Span(file, 1, 1), len(raw), MAX_BYTES)]
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, [_not_utf8(raw, error.start, file)]
    bad = _NOT_TEXT.search(decoded)
    if bad is None:
        return decoded, []
    at = Source(file, decoded).span(bad.start(), bad.end())
    if bad[0] == "\ufeff":
        return None, [say.byte_order_mark(at)]
    return None, [say.control_character(at, bad[0])]


def plain(node: Node | None) -> Any:
    """Return a tree as dict, list, str, int, float, bool and None; the keys of a dict are texts."""
    if isinstance(node, MapNode):
        return {key.text: plain(value) for key, value in node.entries}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return None if node is None else node.value


def core_value(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means by the core schema of YAML 1.2.

    Source: YAML 1.2.2, 10.3.2.
    """
    if text in _WORDS:
        return _WORDS[text]  # type: ignore[no-any-return]
    if _INTEGER.fullmatch(text):
        return int(text, 16 if text[:2] == "0x" else 8 if text[:2] == "0o" else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _not_utf8(raw: bytes, start: int, file: str) -> Finding:
    before = raw[:start].decode("utf-8")
    line = before.count("\n") + 1
    return say.not_utf8(Span(file, line, len(before) - before.rfind("\n")), raw[start])


def _length_on_line(text: str, start: int, end: int) -> int:
    newline = text.find("\n", start, end)
    stop = end if newline < 0 else newline
    return max(1, len(text[start:stop].rstrip()) if newline >= 0 else stop - start)


# ── events to nodes ──────────────────────────────────────────────────────────────────────────


class _LimitError(Exception):
    """A limit was passed; what came before it is no use."""


class _Builder:
    """Builds the tree from the parser's events with a stack, so that depth costs no recursion."""

    def __init__(self, source: Source, secret_tag: bool = False) -> None:
        self.source = source
        self.secret_tag = secret_tag
        self.root: Node | None = None
        self.findings: list[Finding] = []
        self._stack: list[MapNode | ListNode] = []
        self._keys: list[ScalarNode | None] = []  # the key that waits for its value, per open node
        self._seen: list[dict[str, ScalarNode]] = []
        self._nodes = 0
        self._documents = 0
        self._complex = 0  # stack height at which a key that is no scalar began

    def build(self) -> None:
        """Read all events; a mistake in the YAML itself ends the reading and leaves no tree."""
        try:
            self._read()
        except _LimitError:
            self.root = None
        except MarkedYAMLError as error:
            self.root = None
            self.findings.append(_syntax_finding(self.source, error))
        except (YAMLError, UnicodeError, ValueError, RecursionError) as error:
            self.root = None
            at = Span(self.source.file, 1, 1)
            self.findings.append(
                say.yaml_syntax(at, str(error).splitlines()[0] if str(error) else "unreadable")
            )

    def _read(self) -> None:
        directive = _DIRECTIVE.search(self.source.text)
        if directive and not self.source.text[: directive.start()].strip():
            self.findings.append(
                say.directive(self.source.span(directive.start(), directive.end()))
            )
        handlers = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._open_map,
            "SequenceStartEvent": self._open_list,
            "MappingEndEvent": self._close,
            "SequenceEndEvent": self._close,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }
        for event in _events(self.source.text):
            handler = handlers.get(type(event).__name__)
            if handler is not None:
                handler(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            mark = event.start_mark
            at = Span(self.source.file, mark.line + 1, mark.column + 1, 3)
            self.findings.append(say.several_documents(at))
            raise _LimitError

    def _scalar(self, event: Any) -> None:
        start, end = event.start_mark, event.end_mark
        style = event.style or ""
        text = event.value
        node = ScalarNode(
            self.source, start.line + 1, start.column + 1, start.index, end.index, text, style
        )
        if self.secret_tag and event.tag == SECRET_TAG and event.anchor is None:
            self._add(self._secret_map(node))
            return
        if event.anchor is not None or event.tag is not None:
            self._decorated(node, event)
        if not style and len(text) > MAX_INTEGER_DIGITS and _INTEGER.fullmatch(text):
            self._report(say.number_too_long(node.at, MAX_INTEGER_DIGITS))
            node.style = '"'
        self._add(node)

    def _secret_map(self, node: ScalarNode) -> MapNode:
        """Return `{secret: NAME}` for a tagged name; its parts stand where the name and its tag stand."""
        written = self.source.text[node.start : node.end]
        found = written.rfind(f"{node.style}{node.text}") if "\n" not in written else 0
        offset = max(0, found)
        name = replace(node, column=node.column + offset, start=node.start + offset)
        key = replace(node, text="secret", style="", end=node.start + len(SECRET_TAG))
        return MapNode(node.source, node.line, node.column, node.start, node.end, [(key, name)])

    def _alias(self, event: Any) -> None:
        start, end = event.start_mark, event.end_mark
        name = f"*{event.anchor}"
        node = ScalarNode(
            self.source, start.line + 1, start.column + 1, start.index, end.index, name, ""
        )
        self._report(say.alias(node.at, name))
        self._add(node)

    def _open_map(self, event: Any) -> None:
        start, end = event.start_mark, event.end_mark
        is_flow = self.source.text[start.index : start.index + 1] in ("{", "[")
        node = MapNode(
            self.source, start.line + 1, start.column + 1, start.index, end.index, [], is_flow
        )
        self._open(node, event)

    def _open_list(self, event: Any) -> None:
        start, end = event.start_mark, event.end_mark
        is_flow = self.source.text[start.index : start.index + 1] in ("{", "[")
        node = ListNode(
            self.source, start.line + 1, start.column + 1, start.index, end.index, [], is_flow
        )
        self._open(node, event)

    def _open(self, node: MapNode | ListNode, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self._decorated(node, event)
        self._add(node)
        self._stack.append(node)
        self._keys.append(None)
        self._seen.append({})
        if len(self._stack) > MAX_DEPTH:
            self.findings.append(say.too_deep(node.at, MAX_DEPTH))
            raise _LimitError

    def _close(self, event: Any) -> None:
        node = self._stack.pop()
        self._keys.pop()
        self._seen.pop()
        if node.is_flow:
            node.end = event.end_mark.index
        elif isinstance(node, MapNode) and node.entries:
            node.end = node.entries[0][0].end

    def _add(self, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.findings.append(say.too_many_nodes(node.at, MAX_NODES))
            raise _LimitError
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if isinstance(parent, ListNode):
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = self._key(node)
        else:
            self._entry(parent, self._keys[-1], node)
            self._keys[-1] = None

    def _key(self, node: Node) -> ScalarNode:
        if isinstance(node, ScalarNode):
            if node.text == "<<" and not node.style:
                self._report(say.merge_key(node.at))
            return node
        self._report(say.key_is_no_text(node.at))
        return ScalarNode(self.source, node.line, node.column, node.start, node.end, "", '"')

    def _entry(self, parent: MapNode, key: ScalarNode, node: Node) -> None:
        first = self._seen[-1].setdefault(key.text, key)
        if first is key:
            parent.entries.append((key, node))
        else:
            self._report(say.duplicate_key(key.at, key.text, first.at))

    def _decorated(self, node: Node, event: Any) -> None:
        if event.anchor is not None:
            self._report(say.anchor(self._first_character(node), f"&{event.anchor}"))
        if event.tag is not None:
            self._report(say.tag(self._first_character(node), str(event.tag)))

    def _first_character(self, node: Node) -> Span:
        return Span(self.source.file, node.line, node.column)

    def _report(self, finding: Finding) -> None:
        self.findings.append(finding)
        if len(self.findings) >= MAX_FINDINGS:
            raise _LimitError


def _events(text: str) -> Iterator[Any]:
    # A fresh instance per load: a shared one is not safe between threads and keeps state between files.
    yaml = YAML(typ="safe")
    try:
        yield from yaml.parse(text)
    finally:
        # The parser refers to itself by many names: the text would stay in an engine whose collector is frozen.
        for held in (getattr(yaml, "_scanner", yaml), yaml):
            vars(held).clear()


def _syntax_finding(source: Source, error: Any) -> Finding:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "unreadable")
    if mark is None:
        return say.yaml_syntax(Span(source.file, 1, 1), problem)
    rows = source.text.splitlines() or [""]
    at = Span(source.file, mark.line + 1, mark.column + 1)
    if mark.line >= len(rows):  # the end of the file: show its last line that says something
        last = max((number for number, row in enumerate(rows) if row.strip()), default=0)
        at = Span(source.file, last + 1, len(rows[last]) + 1)
    character = source.text[mark.index : mark.index + 1]
    if (character == "\t" or "tab character" in problem) and "\t" in rows[
        min(mark.line, len(rows) - 1)
    ]:
        return say.tab(at)
    glued = _glued_key(source, rows, mark.line)
    if glued is not None:
        return glued
    if "mapping values are not allowed" in problem:
        return say.colon_in_value(at)
    if "cannot start any token" in problem:
        return say.value_cannot_begin(at, character)
    opened = _opened(source, error)
    if opened and "unexpected end of stream" in problem:
        return say.unclosed_quotes(opened[1])
    return say.yaml_syntax(at, problem, opened)


def _glued_key(source: Source, rows: list[str], line: int) -> Finding | None:
    """Return the finding for `key:value` in the line of a mistake or in the one above it."""
    for number in (line, line - 1):
        match = _GLUED.match(rows[number]) if 0 <= number < len(rows) else None
        if match:
            at = Span(source.file, number + 1, match.start("key") + 1, len(match["key"]) + 1)
            return say.colon_without_blank(at, match["key"])
    return None


def _opened(source: Source, error: Any) -> tuple[str, Span] | None:
    """Return what was open at a mistake (`a list in [ ]`, `a quoted text`) and where it began."""
    mark = error.context_mark
    what = {
        "while parsing a flow sequence": "a list in [ ]",
        "while parsing a flow mapping": "a map in { }",
        "while scanning a quoted scalar": "a text in quotes",
        "while parsing a quoted scalar": "a text in quotes",
        "while parsing a block mapping": "a map",
        "while parsing a block collection": "a list",
    }.get(str(error.context))
    if mark is None or what is None:
        return None
    return what, Span(source.file, mark.line + 1, mark.column + 1)


# ── where the characters of a scalar stand ───────────────────────────────────────────────────


def _places(node: ScalarNode) -> list[int]:
    """Return the index in the source of every character of a scalar's text, and of its end.

    Exact for what stands on one line; where YAML folds lines, a blank stands for the line break.
    """
    written = list(_characters(node))
    places: list[int] = []
    at = 0
    for character in node.text:
        while at < len(written) and not _stands_for(written[at][0], character):
            if written[at][0] not in "\n":
                break
            at += 1
        places.append(written[min(at, len(written) - 1)][1] if written else node.start)
        at += 1
    places.append(places[-1] + 1 if places else node.start)
    return places


def _stands_for(written: str, read: str) -> bool:
    return written == read or (written == "\n" and read in " \n")


def _characters(node: ScalarNode) -> Iterator[tuple[str, int]]:
    if node.style in ("|", ">"):
        return _block_characters(node)
    return _flow_characters(node)


def _block_characters(node: ScalarNode) -> Iterator[tuple[str, int]]:
    text = node.source.text
    header = text.find("\n", node.start, node.end)
    rows = _rows(text, header + 1, node.end) if header >= 0 else []
    explicit = re.match(r"[|>][-+]?([1-9])", text[node.start : node.start + 3])
    indent = min((len(row) - len(row.lstrip(" ")) for _, row in rows if row.strip()), default=0)
    if not explicit:  # without a digit, the first line that says something sets the indentation
        indent = next((len(row) - len(row.lstrip(" ")) for _, row in rows if row.strip()), 0)
    for start, row in rows:
        for offset in range(min(indent, len(row)), len(row)):
            yield row[offset], start + offset
        yield "\n", start + len(row)


def _rows(text: str, start: int, end: int) -> list[tuple[int, str]]:
    rows = []
    for row in text[start:end].splitlines(keepends=True):
        rows.append((start, row.rstrip("\r\n")))
        start += len(row)
    return rows


_ESCAPED = re.compile(
    r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<one>.))",
    re.DOTALL,
)
_SHORT: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "v": "\v",
}
_BREAK = re.compile(r"[ \t]*\r?\n[ \t]*")


def _flow_characters(node: ScalarNode) -> Iterator[tuple[str, int]]:
    """Yield (character, index) of a plain or quoted scalar: escapes read, a line break as one."""
    text, quote = node.source.text, node.style
    at, end = node.start + len(quote), node.end - len(quote)
    while at < end:
        broken = _BREAK.match(text, at, end)
        if broken:
            yield "\n", at
            at = broken.end()
        elif quote == '"' and text[at] == "\\":
            character, at_next = _escape(text, at)
            if character:
                yield character, at
            at = at_next
        else:
            yield text[at], at
            at += 2 if quote == "'" and text[at] == "'" else 1


def _escape(text: str, at: int) -> tuple[str, int]:
    match = _ESCAPED.match(text, at)
    if match is None:
        return text[at], at + 1
    digits = match["x"] or match["u"] or match["U"]
    if digits:
        return chr(int(digits, 16)), match.end()
    if match["one"] in "\r\n":
        following = re.compile(r"\s*").match(text, match.end())
        return "", following.end() if following else match.end()
    return _SHORT.get(match["one"], match["one"]), match.end()
