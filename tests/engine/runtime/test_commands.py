"""The sub-commands that talk to a running engine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pilotage.cli import main
from pilotage.service import Service

Talk = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def talk(service: Service, config: Path, capsys: pytest.CaptureFixture[str]) -> Talk:
    async def talk(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, [*words, "-c", str(config)])
        out, err = capsys.readouterr()
        return code, out, err

    return talk


class TestOrders:
    async def test_override(self, talk: Talk) -> None:
        """An override is given with a duration and a reason, and its receipt is shown."""
        words = ("override", "street-1.level", "30 %", "--for", "2h", "--reason", "works")
        assert await talk(*words) == (0, "done: set to 30.0 (decision 1)\n", "")

    async def test_refused_at_the_door(self, talk: Talk) -> None:
        """A value out of range is an error with its mend, exit 1."""
        code, _, err = await talk(
            "override", "street-1.level", "300 %", "--for", "2h", "--reason", "works"
        )
        assert code == 1
        assert "error: street-1.level: 300 % is out of range" in err
        assert "mend: write a value from 0 to 100 %" in err

    async def test_refused_by_the_engine(self, talk: Talk) -> None:
        """What the engine refuses is shown with its words, exit 1."""
        code, _, err = await talk(
            "override", "street-1.level", "3", "--for", "2h", "--reason", "x", "--person", "nobody"
        )
        assert (code, err) == (1, "error: refused: nobody may not\n")

    async def test_plan(self, talk: Talk) -> None:
        """A plan's level is set with a reason."""
        assert (await talk("plan", "snow", "2", "--reason", "cold"))[:2] == (
            0,
            "done: level 2 (decision 1)\n",
        )
        assert (await talk("plan", "snow", "2"))[0] == 2

    @pytest.mark.parametrize("given", ["soon", "2", "-2h", "0 s"])
    async def test_bad_duration(self, talk: Talk, given: str) -> None:
        """A duration needs its unit; the usage error says how it is written."""
        with pytest.raises(SystemExit) as caught:
            await talk("override", "street-1.level", "3", f"--for={given}", "--reason", "x")
        assert caught.value.code == 2


class TestQuestions:
    async def test_status(self, talk: Talk) -> None:
        """The status shows the site, what runs, and each connection; exit 0 when nothing is wrong."""
        code, out, _ = await talk("status")
        assert code == 0
        assert "Testville: pilotage" in out
        assert "1 rules, 3 entities, 12 points" in out
        assert "nothing is wrong" in out

    async def test_trouble(self, talk: Talk, service: Service) -> None:
        """What is wrong is shown with its mend; exit 1."""
        service.health.raised("clock.drift", "the clock is wrong", "set it")
        code, out, _ = await talk("status")
        assert code == 1
        assert "the clock is wrong" in out
        assert "mend: set it" in out

    async def test_for_programs(self, talk: Talk) -> None:
        """`--json` prints the whole answer."""
        _, out, _ = await talk("status", "--json")
        assert json.loads(out)["status"]["site"] == "Testville"

    async def test_points(self, talk: Talk) -> None:
        """Values of points are found by a pattern."""
        code, out, _ = await talk("status", "--points", "street-1.*")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()[1:]] == [
            f"street-1.{name}" for name in ("flow", "level", "mode", "next")
        ]

    async def test_reload(self, talk: Talk) -> None:
        """A reload says what came of it."""
        code, out, _ = await talk("reload")
        assert code == 0
        assert out.startswith("reloaded: 1 rules in ")


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["reload"],
        ["alarms"],
        ["plan"],
        ["ack", "x"],
        ["release", "a.b"],
        ["override", "a.b", "1", "--for", "1h", "--reason", "x"],
    ],
    ids=lambda words: words[0],
)
def test_no_engine(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an engine every one of them says where it looked and how to start one."""
    path = tmp_path / "control.sock"
    assert main([*words, "--socket", str(path)]) == 1
    err = capsys.readouterr().err
    assert f"error: no engine answers at {path}" in err
    assert "mend: start one with `pilotage run`" in err


class TestRun:
    def test_mistake(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With a mistake in its configuration an engine does not start, and every finding is shown."""
        config = tmp_path / "config.yaml"
        config.write_text("sight: {name: X}\n")
        assert main(["run", "-c", str(config)]) == 1
        assert "config.yaml:1:1" in capsys.readouterr().err


def test_help_lists_them() -> None:
    """The help of the tool shows every command of a running engine."""
    out = subprocess.run(
        [sys.executable, "-c", "from pilotage.cli import main; main(['--help'])"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    ).stdout
    for name in ("run", "reload", "status", "override", "release", "plan", "alarms", "ack"):
        assert f"\n    {name} " in out
