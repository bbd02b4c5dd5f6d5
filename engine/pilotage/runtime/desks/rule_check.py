"""Checks rules that somebody writes, beside the rules of a city: as a process of its own, so that no tick waits for it.

Reads the text from its standard input and writes what is wrong as one line of JSON.
"""

from __future__ import annotations

import asyncio
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
from pilotage.runtime.workshop import program_of, rule_texts

MOST_BYTES: Final = 48 * 1024
LONGEST_S: Final = 20.0
_NICE: Final = 10


async def check_apart(config: Path, text: str, file: str) -> api.CheckedRules:
    """Return what is wrong with a text, checked in a child process.

    Raises:
        ApiError: The text is too long, or the check did not come to an end.
    """
    raw = text.encode()
    if len(raw) > MOST_BYTES:
        raise ApiError(
            "too-large",
            f"the text has {len(raw)} bytes, at most {MOST_BYTES} are checked here",
            "use `pilotage check` on the machine",
        )
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(config), file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            out, err = await child.communicate(raw)
    except TimeoutError:
        raise ApiError(
            "too-long", f"the check took more than {LONGEST_S:g} s", "check a smaller part"
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise ApiError("failed", f"the check failed: {last[:300]}", "see `pilotage check`")
    return msgspec.json.decode(out, type=api.CheckedRules)


def check(settings: Settings, text: bytes, file: str) -> api.CheckedRules:
    """Return what is wrong with a text, in the place of the city's file of that name or beside its files.

    What the text makes wrong elsewhere (a name that is there already) stands at its first line.
    """
    began = time.monotonic()
    catalogue = load_catalogue(settings)
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
    """Check what comes in."""
    os.nice(_NICE)
    config, file = Path(sys.argv[1]), sys.argv[2]
    settings = read_settings(config, secrets=False).settings
    if settings is None:
        load_settings(config)  # says what is wrong with it
        return 1
    try:
        checked = check(settings, sys.stdin.buffer.read(), file)
    except RuleError as error:
        checked = api.CheckedRules(ok=False, findings=[_told(f, file) for f in error.findings])
    sys.stdout.buffer.write(msgspec.json.encode(checked))
    return 0


if __name__ == "__main__":
    sys.exit(main())
