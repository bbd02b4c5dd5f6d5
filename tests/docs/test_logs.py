"""The log against the manual: every line has an event that is explained, and so has every finding of the health report."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pilotage.runtime.log_events import EVENTS, REMARKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
LEVELS = ("debug", "info", "warning", "error", "exception", "log")
ROOTS = (ROOT / "engine", ROOT / "adapters", ROOT / "plugins", ROOT / "web_ui")


class Call(NamedTuple):
    """A call in the code: where, of which method, and its nodes."""

    where: str
    method: str
    node: ast.Call
    tree: ast.Module


def calls(receiver: str, methods: tuple[str, ...]) -> Iterator[Call]:
    """Yield the calls of methods of whatever is called so, in all our packages but the demo."""
    for file in sorted(file for root in ROOTS for file in root.rglob("*.py")):
        if "demo" in file.parts or "testing" in file.parts:
            continue
        text = file.read_text(encoding="utf-8")
        if not re.search(rf"{receiver}\.(?:{'|'.join(methods)})\(", text):
            continue
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr not in methods:
                    continue
                of = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
                if of == receiver:
                    where = f"{file.relative_to(ROOT)}:{node.lineno}"
                    yield Call(where, node.func.attr, node, tree)


def beginning(node: ast.expr, tree: ast.Module) -> str:
    """Return a text's constant beginning; a name is looked up among the assignments of its file."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        first = node.values[0]
        return str(first.value) if isinstance(first, ast.Constant) else ""
    name = ast.unparse(node)
    for other in ast.walk(tree):
        targets = (
            [other.target] if isinstance(other, ast.AnnAssign) else getattr(other, "targets", [])
        )
        value = getattr(other, "value", None)
        if any(ast.unparse(t) == name for t in targets) and isinstance(
            value, (ast.Constant, ast.JoinedStr)
        ):
            return beginning(value, tree)
    return ""


LINES = list(calls("log", LEVELS))


def event_of(call: Call) -> str:
    """Return the event that a call of the log names."""
    text = ast.unparse(call.node)
    found = re.search(r"'event': '([\w.]+)'", text)
    if found is None and "extra=fields" in text:  # the health report, which has fields besides
        near = ast.unparse(call.tree)
        before = near[: near.index(text)]
        found = list(re.finditer(r"'event': '([\w.]+)'", before))[-1]
    return found[1] if found is not None else ""


class TestEvents:
    @pytest.mark.parametrize("call", LINES, ids=lambda call: call.where)
    def test_line_has_its_event(self, call: Call) -> None:
        """Each line that we log names an event of the catalogue, at a level that it has there."""
        levels = {event.name: event.level for event in EVENTS}
        event = event_of(call)
        mend = "write extra={'event': NAME}, in runtime/log_events.py a LogEvent, in docs/logs.md its row"
        assert event in levels, f"{call.where}: {ast.unparse(call.node)} (mend: {mend})"
        if call.method != "log":
            level = "error" if call.method == "exception" else call.method
            assert level in levels[event].split(", ")

    def test_no_event_is_invented(self) -> None:
        """Each event of the catalogue is logged somewhere."""
        assert {event_of(call) for call in LINES} == {event.name for event in EVENTS}

    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
    def test_row(self, event: object) -> None:
        """Each event has a row in the manual that says what the catalogue says."""
        name, level, says = (getattr(event, field) for field in ("name", "level", "says"))
        assert f"| `{name}` | {level} | {says} |" in PAGE

    def test_rows(self) -> None:
        """The manual has no row of an event that does not exist."""
        section = PAGE.split("## Events")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `([\w.]+)` \|", section, re.M)
        assert rows == [event.name for event in EVENTS]


class TestRemarks:
    def test_keys(self) -> None:
        """Each remark is about something that the manual explains, and each of those is remarked somewhere."""
        keys = {beginning(c.node.args[0], c.tree).rstrip(".") for c in calls("health", ("remark",))}
        assert keys == set(REMARKS)

    @pytest.mark.parametrize("key", REMARKS)
    def test_row(self, key: str) -> None:
        """Each has a row."""
        assert f"| `{key}` | {REMARKS[key]} |" in PAGE


class TestFindings:
    def test_codes(self) -> None:
        """Each finding of the health report has a row with its mend, and there is none without a finding."""
        codes = {beginning(c.node.args[0], c.tree) for c in calls("health", ("raised",))}
        assert "" not in codes
        section = PAGE.split("## Findings")[1].split("\n## ")[0]
        rows = {
            re.sub(r"[A-Z]+.*", "", code): mend
            for code, mend in re.findall(r"^\| `([\w.]+)` \|[^|]+\| ([^|]+) \|", section, re.M)
        }
        mend = "each code of health.raised has a row under Findings of docs/logs.md"
        assert sorted(rows) == sorted(codes), f"mend: {mend}"
        assert all(rows.values())
