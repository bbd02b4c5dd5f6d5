"""`pilotage status` where no engine answers; what it shows of a running one is tested with whole engines."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pilotage.cli import main, status
from pilotage.cli.console import FAILED


def test_an_engine_that_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped in its tracks takes the question and never answers: that is told soon, with the socket."""
    monkeypatch.setattr(status, "LOOK_S", 0.1)
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        assert main(["status", "--socket", str(path)]) == FAILED
    said = " ".join(capsys.readouterr().err.split())
    assert "it does not answer in time" in said
    assert "control.sock" in said
