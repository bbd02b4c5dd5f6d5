"""Asks an installed plugin what it brings, and its adapter what is wrong with settings, in a process that may fail.

`python -m pilotage.runtime.isolation.probe` reads one question from standard input and writes one answer to standard output.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from pilotage.adapter import ConnectionSettings
from pilotage.adapter import Site as CitySite
from pilotage.model.diagnostics import Finding
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.city import RemoteSite, describe
from pilotage.runtime.isolation.door import RemoteDoor
from pilotage.runtime.isolation.keeper_link import START_S, environment, exit_words
from pilotage.runtime.isolation.limits import confine

MOST_ANSWER: Final = 1 << 24
MEMORY: Final = 1_000_000_000


class Question(msgspec.Struct, array_like=True):
    """What is asked: of a plugin what it brings, and with settings what is wrong with them."""

    entry: str
    path: list[str]
    lock: str = ""
    settings: wire.Settings | None = None
    site: wire.Site | None = None


class Reply(msgspec.Struct, array_like=True):
    """What was found out.

    Attributes:
        brings: How many of each the plugin brings.
        adapters: Their names.
        why: Why it cannot be loaded, or its adapter not asked.
        findings: What its adapter says of the settings.
        points: What an adapter with these settings can command, when nothing is wrong with them.
        calls: The calls that it serves.
    """

    brings: dict[str, int] = {}
    adapters: list[str] = []
    why: str = ""
    findings: list[Finding] = []
    points: list[str] = []
    calls: list[str] = []


def brings(entry: str, lock: str = "") -> Reply:
    """Return what an installed plugin brings, without importing it here; `lock` names the file with what is approved."""
    return _ask(Question(entry, wire.search_path(), lock))


def check(entry: str, settings: ConnectionSettings, site: CitySite, lock: str = "") -> Reply:
    """Return what an adapter finds wrong with settings, and what its plugin brings."""
    return _ask(Question(entry, wire.search_path(), lock, wire.freeze(settings), describe(site)))


def _ask(question: Question) -> Reply:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pilotage.runtime.isolation.probe"],
            input=wire.ENCODER.encode(question),
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            timeout=START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Reply(why=f"did not answer within {START_S:g} s")
    if done.returncode:
        return Reply(why=exit_words(done.returncode))
    try:
        return msgspec.msgpack.decode(done.stdout[:MOST_ANSWER], type=Reply)
    except (msgspec.MsgspecError, ValueError) as error:
        return Reply(why=f"gave an answer that is none: {error}")


# ── in the other process ─────────────────────────────────────────────────────────────────────


def main() -> None:
    """Answer one question."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what a plugin prints is no answer
    faulthandler.enable()
    confine(MEMORY)
    question = msgspec.msgpack.decode(
        sys.stdin.buffer.read(), type=Question, ext_hook=wire.ext_hook
    )
    sys.path[:] = question.path
    data = msgspec.msgpack.encode(_reply(question))
    with os.fdopen(answer, "wb") as out:
        out.write(data)
    os._exit(0)  # whatever threads a plugin has left


def _reply(question: Question) -> Reply:
    from pilotage.runtime.plugins import load_one

    loaded = load_one(question.entry, Path(question.lock) if question.lock else None)
    (report,) = loaded.plugins
    reply = Reply(dict(report.brings), list(loaded.adapters), report.why and f"says: {report.why}")
    if question.settings is None or question.site is None or reply.why:
        return reply
    factory = loaded.adapters.get(question.settings.adapter)
    if factory is None:
        reply.why = f'brings no adapter "{question.settings.adapter}"'
        return reply
    try:
        settings, site = question.settings.thaw(), RemoteSite(question.site)
        reply.findings = list(factory.check(settings, site))
        if not any(finding.is_error for finding in reply.findings):
            # Opened, not connected: so that orders have their way before the process of the connection has started.
            adapter = factory.open(settings, site, RemoteDoor(lambda data: None))
            reply.points, reply.calls = map(list, adapter.targets())
    except Exception as error:
        reply.why = f"failed with {type(error).__name__}: {error}"
    return reply


if __name__ == "__main__":
    main()
