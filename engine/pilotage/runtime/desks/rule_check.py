"""Checks rules that somebody writes, beside the rules of a city: in a process of its own, so that no tick waits for it.

The process reads a question as a line of JSON from its standard input and writes the answer as another; it has loaded the
plugins once, stays for a while in case there is more to check, and ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from pilotage import api
from pilotage.api import ApiError
from pilotage.model.diagnostics import Finding, RuleError
from pilotage.runtime.config import Settings, load_settings, read_settings
from pilotage.runtime.isolation.factory import load_catalogue
from pilotage.runtime.plugins import Catalogue
from pilotage.runtime.workshop import program_of, rule_texts

MOST_BYTES: Final = 48 * 1024
LONGEST_S: Final = 20.0
IDLE_S: Final = 60.0
_MOST_ANSWER: Final = 16 * 1024 * 1024
_NICE: Final = 10


class Draft(msgspec.Struct, frozen=True):
    """What is to be checked."""

    text: str
    file: str


class Checker:
    """Has texts checked by a process of its own, one at a time."""

    def __init__(self) -> None:
        """Prepare; the process is started by the first question."""
        self._turn = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def check(self, config: Path, text: str, file: str) -> api.CheckedRules:
        """Return what is wrong with a text.

        Raises:
            ApiError: The text is too long, or the check did not come to an end.
        """
        size = len(text.encode())
        if size > MOST_BYTES:
            raise ApiError(
                "too-large",
                f"the text has {size} bytes, at most {MOST_BYTES} are checked here",
                "use `pilotage check` on the machine",
            )
        async with self._turn:
            try:
                async with asyncio.timeout(LONGEST_S):
                    line = await self._asked(config, Draft(text, file))
            except TimeoutError:
                self.close()
                raise ApiError(
                    "too-long", f"the check took more than {LONGEST_S:g} s", "check a smaller part"
                ) from None
            except BaseException:
                self.close()  # half an answer may be under way
                raise
        return msgspec.json.decode(line, type=api.CheckedRules)

    async def _asked(self, config: Path, draft: Draft) -> bytes:
        if self._idle is not None:
            self._idle.cancel()
        if self._child is None or self._child.returncode is not None:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__, str(config)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MOST_ANSWER,
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode(draft) + b"\n")
            await child.stdin.drain()
            line = await child.stdout.readline()
        except (OSError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            self.close()
            raise ApiError(
                "failed", "the check failed", "see the engine's log and `pilotage check`"
            )
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.close)
        return line

    def close(self) -> None:
        """End the process; the next question starts another."""
        if self._idle is not None:
            self._idle.cancel()
        child, self._child = self._child, None
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()

    async def end(self) -> None:
        """End the process, and wait until it is gone with its pipes: a loop that closes must have none."""
        child = self._child
        self.close()
        if child is not None:
            await child.communicate()


def check(settings: Settings, catalogue: Catalogue, text: bytes, file: str) -> api.CheckedRules:
    """Return what is wrong with a text, in the place of the city's file of that name or beside its files.

    What the text makes wrong elsewhere (a name that is there already) stands at its first line.
    """
    began = time.monotonic()
    texts = {**rule_texts(settings, catalogue), file: text}
    program, findings = program_of(texts, catalogue)
    mine = [f for f in findings if f.at.file == file or f.is_error]
    groups = (program.rules, program.plans, program.alarms, program.invariants)
    declared = [p.decl.name.at.file for group in groups for p in group]
    return api.CheckedRules(
        ok=not any(f.is_error for f in mine),
        findings=[_told(f, file) for f in mine],
        rules=declared.count(file),
        took_s=round(time.monotonic() - began, 3),
    )


def _told(finding: Finding, file: str) -> api.RuleFinding:
    at = finding.at
    is_here = at.file == file
    return api.RuleFinding(
        code=finding.code,
        severity=finding.severity.value,
        message=finding.message if is_here else f"{at}: {finding.message}",
        line=max(1, at.line) if is_here else 1,
        column=max(1, at.column) if is_here else 1,
        length=max(1, at.length) if is_here else 1,
        label=finding.label,
        mend=finding.mend,
    )


def main() -> int:
    """Check what comes in, line by line."""
    os.nice(_NICE)
    config = Path(sys.argv[1])
    catalogue: Catalogue | None = None
    for line in sys.stdin.buffer:
        draft = msgspec.json.decode(line, type=Draft)
        settings = read_settings(config, secrets=False).settings or load_settings(config)
        catalogue = catalogue or load_catalogue(settings)
        try:
            checked = check(settings, catalogue, draft.text.encode(), draft.file)
        except RuleError as error:
            found = [_told(f, draft.file) for f in error.findings]
            checked = api.CheckedRules(ok=False, findings=found)
        sys.stdout.buffer.write(msgspec.json.encode(checked) + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
