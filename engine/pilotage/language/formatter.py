"""Rule files in one shape: order of keys, indentation, blank lines; never what they mean, never a comment.

Works on the lines as they were written: texts, quotes, flow maps and comments stay as they are and are only moved. What
comes out is read again and compared; a file that would mean something else is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, load, plain
from pilotage.language.reader import read_rules
from pilotage.model.diagnostics import Finding, Severity, Span

STEP: Final = 2
"""Columns of one level of indentation."""

ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "file": ("version", "derive", "rules", "plans", "alarms", "invariants", "tests"),
    "derive": ("title", "owner", "for_each", "value", "coverage", "unit"),
    "rule": (
        "title", "owner", "description", "enabled", "mode", "for_each", "while", "when", "until", "unless", "if",
        "for", "keep", "at_most", "if_unknown", "unknown_after", "hold_at_most", "cooldown", "runs", "if_interrupted",
        "max_late", "respond_within", "hold", "do",
    ),
    "plan": ("title", "owner", "exclusive_group", "priority", "parameters", "activation", "levels"),
    "activation": (
        "calendar", "for", "step_down_after", "if_unknown", "operators", "manual_expires", "review_every", "confirm", "two_people",
        "api",
    ),
    "level": ("level", "name", "enter", "hold", "on_enter", "on_leave", "checklist", "enable"),
    "alarm": (
        "title", "owner", "for_each", "raise_while", "latched", "on_delay", "off_delay", "severity", "shelve_at_most",
        "out_of_service", "suppress_while", "if_unknown", "text",
    ),
    "invariant": ("title", "owner", "for_each", "never", "otherwise", "assume", "if_unknown"),
    "demand": ("each", "set", "to", "request", "for", "with", "priority", "ramp", "expect", "on_failure"),
    "set": ("kind", "where", "within", "of"),
    "test": ("use", "clock", "world", "past", "devices", "steps"),
    "moment": ("at", "set", "orders", "expect"),
}  # fmt: skip
"""The order of keys in each kind of map; a map that is not named here keeps its own."""

MARKERS: Final = (
    "set", "call", "notify", "open_incident", "note", "let", "if", "for_each", "wait", "wait_for", "plan", "alarm",
)  # fmt: skip
_STEP_ORDER: Final = (
    "to", "priority", "with", "on", "level", "reason", "together", "until", "at_most", "timeout", "ramp", "expect",
    "then", "else", "do", "on_failure",
)  # fmt: skip

# What stands under a key: "*x" is a map of names to x, "[x" a list of x.
_BELOW: Final[Mapping[tuple[str, str], str]] = {
    ("file", "derive"): "*derive",
    ("file", "rules"): "*rule",
    ("file", "plans"): "*plan",
    ("file", "alarms"): "*alarm",
    ("file", "invariants"): "*invariant",
    ("file", "tests"): "*test",
    **{(owner, "for_each"): "*set" for owner in ("derive", "rule", "alarm", "invariant", "step")},
    ("demand", "each"): "*set",
    ("rule", "hold"): "[demand",
    ("level", "hold"): "[demand",
    ("plan", "activation"): "activation",
    ("plan", "levels"): "[level",
    ("test", "steps"): "[moment",
    ("step", "notify"): "notify",
    **{
        (owner, key): "[step"
        for owner, keys in {
            "rule": ("do",),
            "demand": ("on_failure",),
            "level": ("on_enter", "on_leave"),
            "step": ("then", "else", "do", "on_failure"),
            "notify": ("else",),
        }.items()
        for key in keys
    },
}
_DECLARATIONS: Final = ("*rule", "*plan", "*alarm", "*invariant", "*test")


def format_rules(text: str, file: str) -> tuple[str | None, list[Finding]]:
    """Return a rule file in its one shape, or None and why it is left alone: it has errors.

    Formatting what was formatted changes nothing.
    """
    text = re.sub(r"\r\n?", "\n", text)
    before, findings = read_rules(text, file)
    errors = [finding for finding in findings if finding.is_error]
    root, _ = load(text, file)
    if errors or before is None:
        return None, errors
    if not isinstance(root, MapNode) or not _is_block(root):
        return _tidied(text), []
    formatted = _Formatter(text).file(root)
    if not _means_the_same(text, formatted, file):
        return None, [_unsafe(file)]
    return formatted, []


def _tidied(text: str) -> str:
    """Return a file without declarations, with nothing but trailing blanks taken away."""
    rows = [row.rstrip() for row in text.split("\n")]
    return "\n".join(rows).strip("\n") + "\n" if any(rows) else ""


def _unsafe(file: str) -> Finding:
    return Finding(
        "E190",
        Severity.ERROR,
        Span(file, 1, 1),
        "this file cannot be formatted without changing it",
        "",
        "it is left as it is; a plainer layout (no comments between a dash and its map) helps",
    )


# ── the same meaning ─────────────────────────────────────────────────────────────────────────


def _means_the_same(before: str, after: str, file: str) -> bool:
    """True when both texts read alike and no character that shows was lost, in comments neither."""
    if Counter("".join(before.split())) != Counter("".join(after.split())):
        return False
    one, first = load(before, file)
    other, second = load(after, file)
    if first or second or plain(one) != plain(other):
        return False
    old, _ = read_rules(before, file)
    new, problems = read_rules(after, file)
    return not any(p.is_error for p in problems) and _placeless(old) == _placeless(new)


def _placeless(value: Any) -> Any:
    """Return a syntax tree without its places."""
    if isinstance(value, Span | Finding):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        inside = (f.name for f in fields(value) if f.name != "source")
        return type(value), [_placeless(getattr(value, name)) for name in inside]
    if isinstance(value, tuple | list):
        return [_placeless(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _placeless(item) for key, item in value.items()}
    return value


# ── the shape ────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Chunk:
    """One entry of a map or item of a list: what stands before it, and its own lines."""

    key: str
    lead: list[str]
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of the file that belong to one child: `lead` before it, `first` to `end` its own with what follows it."""

    node: Node
    key: ScalarNode | None
    lead: list[int]
    first: int
    end: int


class _Formatter:
    """Writes one file anew; rows count from 0."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._rows = text.split("\n")

    def file(self, root: MapNode) -> str:
        """Return the whole file."""
        first = root.entries[0][0].line - 1
        header = self._comments(range(first), 0)
        chunks, tail = self._map(root, first, len(self._rows), 0, "file")
        lines = [*header, *_joined(_ordered(chunks, "file"), separate=True, short_too=True), *tail]
        return "\n".join(_squeezed(lines)).strip("\n") + "\n"

    # blocks

    def _block(
        self, node: MapNode | ListNode, start: int, end: int, indent: int, what: str
    ) -> list[str]:
        """Return the lines of a block collection and of everything in it."""
        if isinstance(node, MapNode):
            chunks, tail = self._map(node, start, end, indent, what)
            chunks = _ordered(chunks, what)
        else:
            chunks, tail = self._list(node, start, end, indent, what)
        lines = [*_joined(chunks, separate=what in _DECLARATIONS), *tail]
        return _squeezed(lines)

    def _map(
        self, node: MapNode, start: int, end: int, indent: int, what: str
    ) -> tuple[list[_Chunk], list[str]]:
        children = [(key.line - 1, value, key) for key, value in node.entries]
        parts, tail = self._parts(children, start, end, node.column - 1)
        chunks = [
            _Chunk(
                part.key.text if part.key is not None else "",
                self._comments(part.lead, indent),
                self._entry(part, indent, _below(what, part.key)),
            )
            for part in parts
        ]
        return chunks, self._comments(tail, indent)

    def _list(
        self, node: ListNode, start: int, end: int, indent: int, what: str
    ) -> tuple[list[_Chunk], list[str]]:
        column = node.column - 1
        children: list[tuple[int, Node, ScalarNode | None]] = [
            (self._dash(item.line - 1, column), item, None) for item in node.items
        ]
        parts, tail = self._parts(children, start, end, column)
        inside = what[1:] if what.startswith("[") else ""
        chunks = []
        for part in parts:
            above, lines = self._item(part, column, indent, inside)
            chunks.append(_Chunk("", [*self._comments(part.lead, indent), *above], lines))
        return chunks, self._comments(tail, indent)

    def _dash(self, row: int, column: int) -> int:
        """Return the row of an item's dash; the item itself may begin below it."""
        while row > 0 and self._rows[row][column : column + 1] != "-":
            row -= 1
        return row

    # entries and items

    def _entry(self, part: _Part, indent: int, what: str) -> list[str]:
        key, node = part.key, part.node
        assert key is not None
        row = self._rows[part.first]
        written = self._text[key.start : key.end]
        after = row[key.column - 1 + len(written) :].lstrip()[1:]
        margin = " " * indent
        if _is_block(node):
            assert isinstance(node, MapNode | ListNode)
            head = margin + written + ":" + after.rstrip()
            inner = self._block(node, part.first + 1, part.end, indent + STEP, what)
            return [head, *inner]
        value = after.strip()
        gap = "" if not value else after.rstrip() if value.startswith("#") else " " + value
        return [margin + written + ":" + gap, *self._rest(part, key.column - 1, indent)]

    def _item(
        self, part: _Part, column: int, indent: int, what: str
    ) -> tuple[list[str], list[str]]:
        """Return the comments that must stand above an item, and its lines."""
        node, margin = part.node, " " * indent
        after = self._rows[part.first][column + 1 :]
        if not _is_block(node):
            lines = [(margin + "- " + after.strip()).rstrip()]
            return [], [*lines, *self._rest(part, column, indent)]
        assert isinstance(node, MapNode | ListNode)
        begins_here = node.line - 1 == part.first
        above = [] if begins_here or not after.strip() else [margin + after.strip()]
        start = part.first if begins_here else part.first + 1
        inner = self._block(node, start, part.end, indent + STEP, what)
        while inner and (not inner[0] or inner[0].lstrip().startswith("#")):
            comment = inner.pop(0).strip()
            above.append(margin + comment if comment else "")
        return above, [margin + "- " + inner[0].lstrip(), *inner[1:]]

    def _rest(self, part: _Part, column: int, indent: int) -> list[str]:
        """Return the further lines of a scalar or flow value, then the comments that follow it."""
        node, last = part.node, self._last(part.node, part.first, column)
        rows = self._rows[part.first + 1 : last + 1]
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            lines = [_shifted(row, self._text_shift(node, rows, column, indent)) for row in rows]
        else:
            lines = [_shifted(row.rstrip(), indent - column) for row in rows]
        return [*lines, *self._comments(range(last + 1, part.end), indent + STEP)]

    def _text_shift(self, node: ScalarNode, rows: Sequence[str], column: int, indent: int) -> int:
        """Return how far a block text moves: to one step behind its key, unless its header counts the columns."""
        counted = re.match(r"[|>][-+]?[1-9]", self._text[node.start : node.start + 3])
        first = next((row for row in rows if row.strip()), "")
        if counted or not first:
            return indent - column
        return indent + STEP - (len(first) - len(first.lstrip(" ")))

    # which rows belong to whom

    def _parts(
        self,
        children: Sequence[tuple[int, Node, ScalarNode | None]],
        start: int,
        end: int,
        column: int,
    ) -> tuple[list[_Part], list[int]]:
        """Divide rows among the children of a block; what is left over at the end is the block's own tail."""
        parts: list[_Part] = []
        lead = list(range(start, children[0][0]))
        for number, (first, node, key) in enumerate(children):
            after = self._last(node, first, column) + 1
            until = children[number + 1][0] if number + 1 < len(children) else end
            own = self._border(after, until, column)
            parts.append(_Part(node, key, lead, first, own))
            lead = list(range(own, until))
        return parts, lead

    def _border(self, start: int, end: int, column: int) -> int:
        """Return where the rows of one child end and those before the next begin.

        A comment that stands further right than the children belongs to what is above it.
        """
        border = start
        for row in range(start, end):
            written = self._rows[row]
            if not written.strip():
                continue
            if len(written) - len(written.lstrip()) <= column:
                break
            border = row + 1
        return border

    def _last(self, node: Node, first: int, column: int) -> int:
        """Return the last row that a node itself needs.

        Args:
            node: What stands behind a key or a dash.
            first: The row of that key or dash.
            column: Its column.
        """
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            return self._last_of_text(node, column)
        if isinstance(node, MapNode) and _is_block(node):
            key, value = node.entries[-1]
            return self._last(value, key.line - 1, node.column - 1)
        if isinstance(node, ListNode) and _is_block(node):
            item, dashes = node.items[-1], node.column - 1
            return self._last(item, self._dash(item.line - 1, dashes), dashes)
        stop = max(node.start, node.end - 1)
        return max(first, self._text.count("\n", 0, stop)) if node.end > node.start else first

    def _last_of_text(self, node: ScalarNode, column: int) -> int:
        """Return the last row of a block text: all that is empty or further right than what it belongs to."""
        last = node.line - 1
        keeps = "+" in self._text[node.start : node.start + 3]
        for row in range(node.line, len(self._rows)):
            written = self._rows[row]
            if written.strip() and len(written) - len(written.lstrip(" ")) <= column:
                break
            if written.strip() or (keeps and row < len(self._rows) - 1):
                last = row
        return last

    def _comments(self, rows: Sequence[int] | range, indent: int) -> list[str]:
        """Return the comments in some rows; several blank rows are one."""
        lines: list[str] = []
        for row in rows:
            written = self._rows[row].strip()
            if written or not lines or lines[-1]:
                lines.append(" " * indent + written if written else "")
        return lines


def _is_block(node: Node) -> bool:
    """True for a map or list that is written with indentation."""
    if isinstance(node, ScalarNode):
        return False
    has_content = node.entries if isinstance(node, MapNode) else node.items
    return bool(has_content) and node.source.text[node.start] not in "{["


def _below(what: str, key: ScalarNode | None) -> str:
    """Return what stands under a key of a map."""
    if what.startswith("*"):
        return what[1:]
    return _BELOW.get((what, key.text), "") if key is not None else ""


def _ordered(chunks: list[_Chunk], what: str) -> list[_Chunk]:
    """Return the entries of a map in the order of its kind; what is not listed keeps its place at the end."""
    if what == "step":
        marker = next((chunk.key for chunk in chunks if chunk.key in MARKERS), "")
        order: tuple[str, ...] = (marker, *_STEP_ORDER)
    else:
        order = ORDERS.get(what, ())
    if not order:
        return chunks
    return sorted(chunks, key=lambda c: order.index(c.key) if c.key in order else len(order))


def _joined(chunks: Sequence[_Chunk], *, separate: bool, short_too: bool = False) -> list[str]:
    """Return chunks one after the other.

    Args:
        chunks: In their order.
        separate: One blank line stands between them; else only where there was one.
        short_too: Also between two chunks of one line.
    """
    lines: list[str] = []
    for number, chunk in enumerate(chunks):
        lead = list(chunk.lead)
        apart = bool(lead) and not lead[0]
        while lead and not lead[0]:
            lead.pop(0)
        if number:
            both_short = len(chunk.lines) == 1 and not lead and len(chunks[number - 1].lines) == 1
            if apart or (separate and (short_too or not both_short)):
                lines.append("")
        lines += lead
        lines += chunk.lines
    return lines


def _squeezed(lines: Sequence[str]) -> list[str]:
    """Return lines as they are; blank ones are taken away where they begin or end a block."""
    found = list(lines)
    while found and not found[-1]:
        found.pop()
    return found


def _shifted(row: str, columns: int) -> str:
    """Return a row moved to the right, or to the left as far as there are blanks."""
    if not row.strip():
        return row
    if columns >= 0:
        return " " * columns + row
    blanks = len(row) - len(row.lstrip(" "))
    return row[min(-columns, blanks) :]
