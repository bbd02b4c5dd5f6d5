"""Measures the pages at length and prints one table: `python -m tests.web_ui.figures [--only pixel room …] [--lamps N]`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table
from tests.faults.city import temporary_folder
from tests.faults.figures import Figure
from tests.web_ui.browser.conftest import FLAGS, VIEW, chromium_path, sign_in
from tests.web_ui.browser.town import Town
from tests.web_ui.figures import measures

GOALS = ("pixel", "paint", "others", "room", "frozen", "killed", "end")


def main() -> int:
    """Measure, print, and return 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.web_ui.figures", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GOALS, default=GOALS)
    parser.add_argument("--lamps", type=int, default=measures.LAMPS)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the room is watched")
    arguments = parser.parse_args()
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(f"   {text}", highlight=False)

    with temporary_folder() as folder:
        town = Town(folder, arguments.lamps, web="outlive: 10 min")
        try:
            town.start()
            figures = measure(town, arguments.only, arguments.lamps, arguments.seconds, say)
        finally:
            town.stop()
    show(figures)
    return 0 if all(figure.holds for figure in figures) else 1


def measure(
    town: Town, only: Sequence[str], lamps: int, seconds: float, say: Callable[[str], None]
) -> list[Figure]:
    """Return the figures, those that kill the most last."""
    figures: list[Figure] = []

    def add(goal: str, call: Callable[[], list[Figure]]) -> None:
        if goal not in only:
            return
        try:
            figures.extend(call())
        except Exception as error:
            say(f"{goal}: {error!r}")
            figures.append(Figure(goal, "measured", "to run", type(error).__name__, False))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        signed_in = sign_in(town, browser)
        cookie = "; ".join(f"{c['name']}={c['value']}" for c in signed_in["cookies"])
        context = browser.new_context(viewport=VIEW, storage_state=signed_in)
        with measures.traffic(town, lamps, 1_000):
            add("pixel", lambda: measures.to_pixel(town, context, lamps, 60, say))
            add("others", lambda: measures.to_others(town, browser, signed_in, say))
            add("paint", lambda: measures.first_paint(town, browser, signed_in, say))
        with measures.traffic(town, lamps, 1_000, 5):
            add("room", lambda: measures.room(town, cookie, 500, seconds, say))
        add("frozen", lambda: measures.frozen(town, context, say))
        add("killed", lambda: measures.killed(town, context, say))
        add("end", lambda: measures.ended(town, cookie, 50, say))
        browser.close()
    return figures


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    table = Table("goal", "what", "wanted", "reached", "", title=machine)
    for figure in figures:
        mark = "ok" if figure.holds else "MISSED"
        table.add_row(figure.goal, figure.what, figure.wanted, figure.reached, mark)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main())
