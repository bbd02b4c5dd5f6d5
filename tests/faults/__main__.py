"""Runs the fault suites in full and prints one table: `python -m tests.faults [--only G2 …] [--short] [--json FILE]`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import tests.faults
from rich.console import Console
from rich.table import Table
from tests.faults.figures import Figure, Size


def suites() -> Iterator[ModuleType]:
    """Every `suite_*` module of this folder, in order of name."""
    for found in pkgutil.iter_modules(tests.faults.__path__):
        if found.name.startswith("suite_"):
            yield importlib.import_module(f"tests.faults.{found.name}")


def main() -> int:
    """Run, print, and return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="GOAL", help="G1 G2 …")
    parser.add_argument("--short", action="store_true", help="the short form of `make test`")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    size = Size.SHORT if arguments.short else Size.LONG
    console = Console(stderr=True)
    figures: list[tuple[Figure, float]] = []
    for suite in suites():
        if arguments.only and not set(arguments.only) & set(suite.GOALS):
            continue
        name = suite.__name__.rpartition("_")[2]
        console.print(f"== {name}: {' '.join(suite.GOALS)}")
        began = time.monotonic()
        reached = _measure(suite, size, lambda text: console.print(f"   {text}", highlight=False))
        took = time.monotonic() - began
        figures += [(figure, took) for figure in reached]
    _print(figures)
    if arguments.json:
        lines = [dataclasses.asdict(figure) | {"suite_s": round(s, 1)} for figure, s in figures]
        arguments.json.write_text(json.dumps({"machine": _machine(), "figures": lines}, indent=1))
    return 0 if figures and all(figure.holds for figure, _ in figures) else 1


def _measure(suite: ModuleType, size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Run a suite; one that fails is a broken promise, and the others still run."""
    try:
        return list(suite.measure(size, say))
    except Exception as error:
        goals = " ".join(suite.GOALS)
        return [Figure(goals, suite.__name__, "to run", f"{type(error).__name__}: {error}", False)]


def _print(figures: list[tuple[Figure, float]]) -> None:
    table = Table("goal", "what", "wanted", "reached", "", "suite s", title=_machine())
    for figure, took in figures:
        mark = "ok" if figure.holds else "BROKEN"
        table.add_row(figure.goal, figure.what, figure.wanted, figure.reached, mark, f"{took:.0f}")
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
