"""The rows that no decision holds: starts and stops, reloads, refusals at the door, logins, erasures."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

from pilotage.ports import Clock
from pilotage.runtime.audit.derive import split_origin
from pilotage.runtime.audit.entries import Entry, as_json, told
from pilotage.runtime.audit.writer import AuditWriter

T = TypeVar("T")

WAIT_S: Final = 10.0
"""A reload or a login waits so long for the disk, then it is refused."""
START_S: Final = 60.0
"""A start waits so long, then the engine goes into service and the audit follows."""

ACCESS: Final = (
    *("login", "login_failed", "logout", "session_ended", "locked", "unlocked"),
    *("user_added", "user_changed", "user_removed", "password_changed", "role_changed"),
    *("token_added", "token_removed", "glass_reviewed"),
)
"""What may be told of who comes in, and of who is let in."""

NOTES: Final = ("note", "correction", "handover", "report")
"""What people write into the log of the room."""


class NotRecordedError(Exception):
    """The audit did not take a row in time; what it was to record must not happen."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What is in force: the digests of the rules, the configuration and the inventory, and what each rule means."""

    rules: str
    config: str
    inventory: str
    count: int
    identities: Mapping[str, str]

    @property
    def detail(self) -> dict[str, Any]:
        """The digests, as a row holds them."""
        return {"config": self.config, "inventory": self.inventory, "rules": self.count}


class AuditDesk:
    """Makes rows of what the service and the control socket tell."""

    def __init__(self, log: AuditWriter, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._has_started = False

    # ── the life of the engine ───────────────────────────────────────────────────────────────

    async def started(self, rules: RuleSet, version: str) -> None:
        """Take up what the journal holds from before, then write that the engine starts, by whom and with which rules."""
        entry = self._entry("engine", "started", "", detail={**rules.detail, "version": version})
        people = {"account": getpass.getuser()}
        self._has_started = True
        try:
            async with asyncio.timeout(START_S):
                await asyncio.to_thread(self._log.catch_up)
                ended = await asyncio.wrap_future(self._log.how_it_ended())
                detail = {
                    **rules.detail,
                    "version": version,
                    **({"before": ended} if ended else {}),
                }
                entry = entry._replace(detail=as_json(detail))
                written = self._log.rules(rules.rules, rules.identities, entry, people)
                await asyncio.wrap_future(written)
        except TimeoutError:
            self._log.rules(rules.rules, rules.identities, entry, people)

    async def stopped(self, by: str) -> None:
        """Write that the engine stops and by whom, and close the audit."""
        last = None
        if self._has_started:
            way, people = split_origin(by or "engine")
            last = (self._entry("engine", "stopped", "", way, {}), people)
        await asyncio.to_thread(self._log.close, last)

    async def reloads(self, rules: RuleSet, before: str, by: str) -> None:
        """Write that other rules come into force, before the first decision under them.

        Raises:
            NotRecordedError: The disk did not take it in time.
        """
        way, people = split_origin(by)
        entry = self._entry("rules", "reload", "", way, {**rules.detail, "before": before})
        await self._written(self._log.rules(rules.rules, rules.identities, entry, people))

    def reload_refused(self, findings: list[str], by: str) -> None:
        """Write that the rules of before go on, and why."""
        way, people = split_origin(by)
        first = findings[0].splitlines()[0] if findings else ""
        detail = {"findings": len(findings), "first": first}
        self._log.note(self._entry("rules", "refused", "", way, detail), people)

    # ── people ───────────────────────────────────────────────────────────────────────────────

    def order_refused(
        self, kind: str, subject: str, why: Mapping[str, str], people: Mapping[str, str], by: str
    ) -> None:
        """Write that an order did not come past the door."""
        way, source = split_origin(by)
        person = people.get("person", "")
        detail = {k: v.replace(person, "…") if person else v for k, v in why.items()}
        entry = self._entry(kind, "refused", subject, way, detail)
        self._log.note(entry, told({**people, **source}))

    async def access(self, action: str, people: Mapping[str, str], detail: Any, by: str) -> int:
        """Write that somebody came in, went, or was let in, and return the row's number.

        Raises:
            NotRecordedError: The disk did not take it in time.
        """
        way, source = split_origin(by)
        entry = self._entry("access", action, "", way, detail)
        return await self._written(self._log.record(entry, told({**source, **people})))

    async def note(
        self, action: str, about: str, post: str, people: Mapping[str, str], by: str
    ) -> int:
        """Write a line into the log of the room, and return the row's number.

        Raises:
            NotRecordedError: The disk did not take it in time.
        """
        way, source = split_origin(by)
        entry = self._entry("log", action, about, way, {"post": post} if post else {})
        return await self._written(self._log.record(entry, told({**source, **people})))

    async def erase(self, person: str, people: Mapping[str, str], by: str) -> int:
        """Erase what is told of a person, write that it was done, and return how many rows named it.

        Raises:
            NotRecordedError: The disk did not take it in time.
        """
        way, source = split_origin(by)
        named = await self._written(self._log.erase(person, told({**source, **people}), way))
        await asyncio.wrap_future(self._log.scrub())
        return named

    async def forget(self, keep_s: float) -> None:
        """Seal and delete what is older than the site keeps it."""
        before = self._clock.now() - keep_s
        if await asyncio.wrap_future(self._log.forget(before)):
            await asyncio.wrap_future(self._log.scrub())

    # ── helpers of this room ─────────────────────────────────────────────────────────────────

    def _entry(
        self, kind: str, action: str, subject: str, way: str = "engine", detail: Any = None
    ) -> Entry:
        text = as_json(detail) if detail else ""
        return Entry(self._clock.now(), kind, action, subject, origin=way, detail=text)

    async def _written(self, row: Future[T]) -> T:
        try:
            async with asyncio.timeout(WAIT_S):
                return await asyncio.shield(asyncio.wrap_future(row))
        except TimeoutError:
            raise NotRecordedError(
                f"the audit did not take it within {WAIT_S:g} s: see `pilotage status` for why"
            ) from None


def file_digest(path: Path) -> str:
    """Return a name for what is in a file, empty when it cannot be read."""
    try:
        return sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
