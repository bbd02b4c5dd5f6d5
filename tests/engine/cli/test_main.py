"""The frame of the command line: help, exit codes, colours, interruptions."""

from __future__ import annotations

import argparse
import io
import os
import pty
import subprocess
import sys
from importlib.metadata import version

import pytest

from pilotage.cli import build_parser, kinds, main
from pilotage.cli.console import choose_color, print_findings, tally, wants_color
from pilotage.model.diagnostics import Finding, RuleError, Severity, Span

PROGRAM = [sys.executable, "-c", "import sys; from pilotage.cli import main; sys.exit(main())"]
FINDING = Finding(
    "E110", Severity.ERROR, Span("x.yaml", 1, 3, 2), "wrong [bold]", "here", "mend it"
)


def fails_with(error: BaseException) -> object:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


class TestExitCodes:
    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The version is that of the installed distribution."""
        with pytest.raises(SystemExit) as stop:
            main(["--version"])

        assert stop.value.code == 0
        assert capsys.readouterr().out.startswith(f"pilotage {version('pilotage')}")

    def test_nothing_asked_is_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a command the help is shown, with examples, and the exit code is 2."""
        assert main([]) == 2

        out = capsys.readouterr().out
        assert "examples:" in out
        assert "kinds" in out

    @pytest.mark.parametrize(
        "arguments", [["bogus"], ["kinds", "--colour"], ["--color", "pink", "kinds"]]
    )
    def test_wrong_usage_is_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The way to the help is named."""
        with pytest.raises(SystemExit) as stop:
            main(arguments)

        assert stop.value.code == 2
        assert "--help`" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("error", "code", "text"),
        [
            (KeyboardInterrupt(), 130, ""),
            (
                FileNotFoundError(2, "No such file or directory", "x.yaml"),
                1,
                "error: x.yaml: No such file",
            ),
            (
                RuleError([FINDING], {"x.yaml": "abcd"}),
                1,
                "x.yaml:1:3: E110 wrong [bold]\n   1 | abcd\n",
            ),
        ],
    )
    def test_what_commands_raise(
        self,
        error: BaseException,
        code: int,
        text: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """What a user can mend is told without a traceback."""
        monkeypatch.setattr(kinds, "run", fails_with(error))

        assert main(["kinds"]) == code
        assert text in capsys.readouterr().err

    def test_a_closed_pipe_is_quiet(self) -> None:
        """`pilotage kinds | head -0` says nothing on standard error."""
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            done = subprocess.run(
                [*PROGRAM, "kinds"], stdout=pipe, stderr=subprocess.PIPE, check=False
            )

        assert done.stderr == b""
        assert done.returncode == 1

    def test_every_command_has_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each sub-command explains itself and has something to run."""
        parser = build_parser()
        (subparsers,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]

        assert {"init", "inventory", "kinds", "plugins"} <= set(subparsers.choices)
        for name, command in subparsers.choices.items():
            assert callable(command.get_default("run")), name
            assert command.description, name
            command.print_help()
        assert capsys.readouterr().out


class TestColors:
    @pytest.mark.parametrize(
        ("color", "environ", "wanted"),
        [
            ("auto", {}, False),
            ("auto", {"FORCE_COLOR": "1"}, True),
            ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True),
            ("always", {"NO_COLOR": "1"}, True),
            ("never", {"FORCE_COLOR": "1"}, False),
        ],
    )
    def test_into_a_file(self, color: str, environ: dict[str, str], wanted: bool) -> None:
        """The option first, then the variables, then what the stream is."""
        choose_color(color)
        try:
            assert wants_color(io.StringIO(), environ) is wanted
        finally:
            choose_color("auto")

    @pytest.mark.parametrize(
        ("environ", "wanted"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
    )
    def test_on_a_terminal(self, environ: dict[str, str], wanted: bool) -> None:
        """A terminal has colours unless it is told otherwise."""
        main_end, terminal = pty.openpty()
        with os.fdopen(terminal, "w") as stream:
            assert wants_color(stream, environ) is wanted
        os.close(main_end)

    def test_the_option_may_follow_the_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        """`--color` is understood on both sides."""
        main(["plugins", "--color", "always"])
        assert "\x1b[" in capsys.readouterr().out

        main(["--color", "never", "plugins"])
        assert "\x1b[" not in capsys.readouterr().out


class TestFindings:
    def test_text_is_not_taken_for_markup(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What a user wrote in brackets is shown as it is."""
        print_findings([FINDING], {"x.yaml": "a [b] c"})

        assert capsys.readouterr().out == (
            "x.yaml:1:3: E110 wrong [bold]\n   1 | a [b] c\n         ^^ here\n   mend: mend it\n1 error\n"
        )

    def test_the_tally(self) -> None:
        """Errors and warnings are counted apart."""
        warning = Finding("W1", Severity.WARNING, Span("x", 1, 1), "m")

        assert tally([FINDING, FINDING, warning]) == "2 errors, 1 warning"
