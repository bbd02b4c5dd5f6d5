"""The core is a function of (state, inputs, now): it reads no clock by any door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine" / "pilotage"
FILES = sorted(
    file for room in ("model", "language", "core") for file in (ENGINE / room).rglob("*.py")
)
CLOCKS = frozenset(
    {"now", "today", "utcnow", "monotonic", "perf_counter", "process_time", "time_ns"}
)
CHANCE = frozenset({"time", "random", "secrets", "uuid"})


def read_clocks(source: str) -> Iterator[str]:
    """Yield every call of `datetime.now` and its like, and every import of a clock or of chance."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if node.func.attr in CLOCKS and owner.split(".")[-1] in ("datetime", "date", "time"):
                yield f"line {node.lineno}: {owner}.{node.func.attr}()"
        elif isinstance(node, ast.Import):
            yield from (
                f"line {node.lineno}: import {a.name}" for a in node.names if a.name in CHANCE
            )
        elif isinstance(node, ast.ImportFrom) and node.module in CHANCE:
            yield f"line {node.lineno}: from {node.module} import"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ENGINE)))
def test_no_clock(file: Path) -> None:
    """Time is handed in."""
    assert list(read_clocks(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now(tz=None)",
        "from datetime import date\ndate.today()",
        "import time",
        "from time import monotonic",
        "def f():\n    import random",
    ],
)
def test_the_test_sees_them(source: str) -> None:
    """Each way to read a clock or to throw dice is found."""
    assert len(list(read_clocks(source))) == 1
