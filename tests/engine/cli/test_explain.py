"""`pilotage explain`: from a running engine and from its journal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pilotage.api import ApiError, Client, GetStatus, SetOverride
from pilotage.cli import main
from pilotage.cli.explain import TimeError, time_of

PARIS = ZoneInfo("Europe/Paris")
START = datetime(2026, 1, 15, 23, 39, tzinfo=PARIS).timestamp()
POINT = "seg-1.lights.level"
PROGRAM = [sys.executable, "-c", "import sys; from pilotage.cli import main; sys.exit(main())"]
CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}
inventory:
  - seg-1: {kind: lighting_segment, dimmable: true}
"""
RULES = """\
rules:
  dim:
    title: Dim at night
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: is_night and time >= 23:00
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]
  half:
    title: Half at night
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: is_night
    hold: [{set: segment.lights.level, to: 50 %, priority: schedule}]
"""

Explain = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real engine as a process of its own, at 23:39 in Paris, with an override on its one street."""
    folder = tmp_path_factory.mktemp("city")
    (folder / "rules").mkdir()
    (folder / "rules" / "dim.yaml").write_text(RULES)
    (folder / "config.yaml").write_text(CONFIG)
    config = str(folder / "config.yaml")
    command = [*PROGRAM, "run", "-c", config, "--start", str(START), "--speed", "1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as engine:
        try:
            client = _connected(folder / "var" / "control.sock")
            order = SetOverride(
                point=POINT, value="100 %", for_s=7200, person="m.garcia", reason="road works"
            )
            assert client.ask(order).taken
            client.close()
            yield folder
        finally:
            engine.terminate()


def _connected(socket: Path) -> Client:
    client = Client(socket)
    deadline = time.monotonic() + 20.0
    while True:
        try:
            client.ask(GetStatus())
        except ApiError:
            assert time.monotonic() < deadline, "the engine did not start"
            time.sleep(0.05)
        else:
            return client


@pytest.fixture
def explain(city: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run the command and return its exit code, its output and its errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["explain", *arguments, "-c", str(city / "config.yaml")])
        out, err = capsys.readouterr()
        return code, out, err

    return run


class TestPoint:
    def test_now(self, explain: Explain) -> None:
        """The winner with its reason and end, who waits below, and what would let them win."""
        code, out, _ = explain(POINT)

        lines = out.splitlines()
        assert code == 0
        assert lines[0].startswith('100 %   by operator m.garcia (8), "road works", since 23:39')
        assert " waiting below:" in lines
        assert any(line.split()[:5] == ["14", "saving", "dim", "30", "%"] for line in lines)
        assert any(line.split()[:5] == ["15", "schedule", "half", "50", "%"] for line in lines)
        assert lines[-1].startswith(" dim would win if: the override ends (2026-01-16 01:")

    def test_from_the_journal(self, explain: Explain) -> None:
        """A moment ago the same, read from the journal."""
        _, now, _ = explain(POINT)
        code, past, _ = explain(POINT, "--at", "-0.01s")

        assert code == 0
        assert past.splitlines()[0] == now.splitlines()[0]
        assert "  14 saving     dim    30 %" in past
        assert "operator m.garcia" not in "".join(past.splitlines(keepends=True)[1:])

    def test_before_the_first_decision(self, explain: Explain) -> None:
        """Before the engine began nobody had wanted anything."""
        code, out, _ = explain(POINT, "--at", "2026-01-15 23:00")

        assert code == 0
        assert out == f"{POINT}: nobody had wanted anything of it by 2026-01-15 23:00\n"

    def test_json(self, explain: Explain) -> None:
        """For programs, now and then alike."""
        now = json.loads(explain(POINT, "--json")[1])
        past = json.loads(explain(POINT, "--json", "--at", "-0.01s")[1])

        assert [demand["by"] for demand in now["demands"]] == ["operator m.garcia", "dim", "half"]
        assert [demand["level"] for demand in past["demands"]] == [8, 14, 15]
        assert [demand["wins"] for demand in past["demands"]] == [True, False, False]

    def test_a_point_that_nobody_commands(self, explain: Explain) -> None:
        """A reported point says what it reports."""
        assert explain("seg-1.traffic.flow")[1] == "seg-1.traffic.flow reports unknown (missing)\n"


class TestRule:
    def test_clauses(self, explain: Explain) -> None:
        """Each clause with its truth, its values, and what would turn it."""
        code, out, _ = explain("dim", "seg-1")

        assert code == 0
        assert out.startswith("dim[seg-1] is holding")
        assert "  true    time >= 23:00   (time is 23:" in out
        assert "would turn with: is_night becomes false" in out
        assert "  holds   seg-1.lights.level 30 %" in out

    def test_the_only_instance(self, explain: Explain) -> None:
        """A rule with one instance needs no entity."""
        assert explain("dim")[1].startswith("dim[seg-1] is holding")

    def test_from_the_journal(self, explain: Explain) -> None:
        """The state in which it was left."""
        assert explain("half", "seg-1", "--at", "-0.01s")[1].startswith("half[seg-1] was holding")


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "text"),
        [
            (["seg-1.lamps"], 1, "seg-1.lamps"),
            (["seg-9.lights.level"], 1, 'there is no point "seg-9.lights.level"'),
            (["bogus"], 1, 'there is no rule "bogus"'),
            (["dim", "seg-9"], 1, 'has no instance "seg-9"'),
            ([POINT, "seg-1"], 2, "it has no instances"),
            ([POINT, "--at", "noon"], 2, '"noon" is no time'),
        ],
    )
    def test_what_is_not_there(
        self, explain: Explain, arguments: list[str], code: int, text: str
    ) -> None:
        """What was asked for is named."""
        found, out, err = explain(*arguments)

        if arguments != ["seg-1.lamps"]:
            assert found == code
        assert text in out + err

    def test_no_engine(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Without an engine and without a journal the way to both is named."""
        config = tmp_path / "config.yaml"
        config.write_text("site: {name: x, position: [47.0, 5.0]}\nrules: []\n")

        assert main(["explain", POINT, "-c", str(config)]) == 1
        assert "start one with `pilotage run`" in capsys.readouterr().err
        assert main(["explain", POINT, "-c", str(config), "--at", "-1h"]) == 1
        assert "there is no journal yet" in capsys.readouterr().err


class TestTime:
    NOW = datetime(2026, 1, 16, 0, 30, tzinfo=PARIS).timestamp()

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("23:40", "2026-01-15T23:40:00+01:00"),
            ("00:10", "2026-01-16T00:10:00+01:00"),
            ("00:10:05", "2026-01-16T00:10:05+01:00"),
            ("2026-01-15 23:40", "2026-01-15T23:40:00+01:00"),
            ("2026-01-15T22:40:00+00:00", "2026-01-15T23:40:00+01:00"),
            ("-10m", "2026-01-16T00:20:00+01:00"),
            ("- 1 h 30 min", "2026-01-15T23:00:00+01:00"),
            ("-90s", "2026-01-16T00:28:30+01:00"),
        ],
    )
    def test_what_is_meant(self, text: str, meant: str) -> None:
        """Times are the city's; a time of day is the last one before now."""
        assert time_of(text, self.NOW, PARIS) == datetime.fromisoformat(meant).timestamp()

    @pytest.mark.parametrize("text", ["noon", "25:00", "-x", "-10", "2026-13-01"])
    def test_no_time(self, text: str) -> None:
        """Anything else is refused."""
        with pytest.raises(TimeError, match="is no time"):
            time_of(text, self.NOW, PARIS)
