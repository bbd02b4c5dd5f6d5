from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from pilotage.demo.clock import START
from pilotage.demo.view import (
    Alarm,
    Bus,
    Camera,
    Junction,
    Line,
    Plan,
    Scene,
    Street,
    bar,
    picture,
    show,
    summary,
)

SCENE = Scene(
    START,
    60.0,
    "up",
    [
        Street("Rue Monge", 30.0, 30.0, (30.0,) * 7 + (100.0,), 41.0, True, "dim-quiet-streets"),
        Street("Rue Musette"),
    ],
    [Junction("Victor Hugo / Tell", "bus-301", "activated", "bus"), Junction("Darcy")],
    [Bus("bus-301", "L3", 130.0, 7.0)],
    [Camera("Caméra Nord", "bearing-135", "continuous", "intrusion-response"), Camera("Sud")],
    [Plan("Snow and ice plan", 2, "treatment", "snow_12h is 4 cm", ("confirm level 3?",))],
    [Alarm("Intrusion", "high", "unacknowledged")],
    ["coldest road -1.4 °C"],
    [Line(7, START, "lamp-monge-1 -> 30.0 (dim-quiet-streets)", "command")],
)


def drawn(scene: Scene, width: int = 160, height: int = 50) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(picture(scene, width=width, height=height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestPicture:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-15 21:30:00",
            "Rue Monge",
            "30 %",
            "!1",
            "dim-quiet-streets",
            "bus-301",
            "activated",
            "bearing-135",
            "treatment",
            "confirm level 3?",
            "Intrusion",
            "-1.4 °C",
            "lamp-monge-1",
        ],
    )
    def test_shows(self, text: str) -> None:
        """Clock, streets, requests, cameras, plans, alarms and decisions are all seen."""
        assert text in drawn(SCENE)

    @pytest.mark.parametrize("size", [(60, 20), (100, 24), (120, 40), (250, 80)])
    def test_any_terminal(self, size: tuple[int, int]) -> None:
        """No line is wider than the terminal."""
        assert max(map(len, drawn(SCENE, *size).splitlines())) <= size[0]

    def test_empty_city(self) -> None:
        """A city of which nothing is known can be drawn."""
        assert "pilotage demo" in drawn(Scene(START))

    @pytest.mark.parametrize(
        ("level", "blocks", "number"), [(0.0, 0, "0 %"), (50.0, 4, "50 %"), (100.0, 8, "100 %")]
    )
    def test_bar(self, level: float, blocks: int, number: str) -> None:
        """Half of the light is half of the bar."""
        text = bar((), level).plain
        assert text.count("█") == blocks
        assert text.strip().endswith(number)

    def test_odd_lamps(self) -> None:
        """A street's bar is what most of its lamps report; the others are counted."""
        assert bar((30.0,) * 6 + (100.0, None), 42.0).plain.split() == ["██▍", "30", "%", "!2"]

    def test_long_lines(self) -> None:
        """A line that is longer than the terminal goes on below, and the newest is always seen."""
        lines = [Line(n, START, f"line {n} " + "word " * 40) for n in range(20)]
        shown = drawn(replace(SCENE, lines=lines), 120, 40)
        assert "line 19" in shown
        assert "line 0" not in shown

    def test_hint(self) -> None:
        """What to type in a second terminal stands below the picture."""
        console = Console(file=io.StringIO(), width=120, height=40)
        console.print(picture(SCENE, width=120, height=40, hint="cd /tmp/x"))
        assert isinstance(console.file, io.StringIO)
        assert "second terminal: cd /tmp/x" in console.file.getvalue()

    def test_unknown_bar(self) -> None:
        """Light that nobody reports is a question mark."""
        assert bar((None, None), None).plain.strip() == "?"


class TestLines:
    def test_each_once(self) -> None:
        """Without a terminal each decision is one line, written once."""
        scenes: Iterator[Scene] = iter(
            [SCENE, SCENE, replace(SCENE, lines=[*SCENE.lines, Line(8, START + 1, "next")])]
        )
        left = iter([False, False, True])
        out = io.StringIO()
        show(lambda: next(scenes), lambda _s: next(left), out=out)
        lines = [line for line in out.getvalue().splitlines() if " == " not in line]
        assert lines == [
            "2026-01-15 21:30:00  lamp-monge-1 -> 30.0 (dim-quiet-streets)",
            "2026-01-15 21:30:01  next",
        ]

    def test_summary(self) -> None:
        """The city in one line."""
        assert summary(SCENE) == (
            "street light 30 %; Victor Hugo / Tell asked for bus-301; Snow and ice plan level 2; 1 alarm; coldest road -1.4 °C"
        )
