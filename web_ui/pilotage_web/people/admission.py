"""Who comes in: the password, the second factor, one-time links, and what a flood of tries may cost.

A try costs a fifth of a second of a core, so tries are let through by *lanes*, each with buckets of its own. Who comes with
a browser that is known, or with a code that is right, does not stand in line with strangers; so no flood shuts out
somebody who was here before or has a telephone at hand. Nobody is ever locked out. What is refused is refused in the same
words and after as long a time, whether the name exists or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pilotage_web.people import codes
from pilotage_web.people.accounts import NAME, Account, Accounts
from pilotage_web.people.limits import Buckets, network_of
from pilotage_web.people.passwords import (
    QUIET_WAITING,
    STRANGERS_WAITING,
    WAITING,
    BusyError,
    Hasher,
)
from pilotage_web.people.records import By, Record, Records
from pilotage_web.people.sealing import SealError
from pilotage_web.people.sessions import Origin, Session, Sessions
from pilotage_web.people.store import Store, Transaction
from pilotage_web.rights import Role

T = TypeVar("T")

UNKNOWN: Final = "(unknown)"
"""Stands in the audit for a name that is no account's: it can be a password that was typed into the wrong field."""
_STRONGEST: Final = (Role.OPERATOR, Role.ENGINEER, Role.ADMIN, Role.VIEWER)


log = logging.getLogger("pilotage.web.people")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody types at the sign-in, and with which browser."""

    name: str
    password: str = field(repr=False)
    code: str = field(repr=False, default="")
    browser: str = field(repr=False, default="")
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody is in: the secret of the session and the one by which the browser is known again."""

    person: str
    session: str = field(repr=False)
    browser: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody came in; `why` is `wrong`, `slow` (try again after `wait_s` seconds), `busy`, `over`, `stranger` or `no-role`."""

    why: str
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Lane:
    """The buckets that a try must pass, each with its key; `taken` are those that it has passed, `waiting` how many may wait before it."""

    buckets: tuple[tuple[Buckets, str], ...]
    waiting: int
    taken: tuple[tuple[Buckets, str], ...] = ()

    def enter(self, now: float) -> float:
        """Take a try from each bucket, or from none: returns the seconds to wait, 0 when it may go on."""
        wait = max(bucket.wait_s(key, now) for bucket, key in self.buckets)
        if wait <= 0.0:
            for bucket, key in self.buckets:
                bucket.take(key, now)
        return wait

    def give_back(self, now: float) -> None:
        """Give the try back: it was right."""
        for bucket, key in (*self.buckets, *self.taken):
            bucket.give_back(key, now)


class Lanes:
    """By which way a try may reach the password: known browser, right code, quiet network, or stranger.

    A network is quiet while it has a try of its own left, and a refused one counts: who sends many is a stranger within a
    moment, and leaves the lane to those who send one.
    """

    def __init__(self) -> None:
        self._known = Buckets(10, 30.0)
        self._coded = Buckets(10, 30.0)
        self._quiet_networks = Buckets(3, 300.0)
        self._quiet = Buckets(8, 0.5)
        self._networks = Buckets(10, 6.0)
        self._names = Buckets(10, 60.0)
        self._strangers = Buckets(6, 2.0)

    def of(self, name: str, network: str, now: float, *, known: bool, coded: bool) -> _Lane:
        """Return the lane of a try."""
        if known:
            return _Lane(((self._known, f"{name} {network}"),), WAITING)
        if coded:
            return _Lane(((self._coded, name),), WAITING)
        if self._quiet_networks.take(network, now):
            return _Lane(((self._quiet, ""),), QUIET_WAITING, ((self._quiet_networks, network),))
        strangers = (self._networks, network), (self._names, name), (self._strangers, "")
        return _Lane(strangers, STRANGERS_WAITING)


class Admission:
    """Lets people in, or says why not."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        sessions: Sessions,
        records: Records,
        hasher: Hasher,
        room: Sequence[str],
    ) -> None:
        self._store = store
        self._room = room
        self._accounts = accounts
        self._sessions = sessions
        self._records = records
        self._hasher = hasher
        self._lanes = Lanes()
        self._failures = _Failures()

    async def sign_in(self, attempt: Attempt, now: float) -> Admitted | Refused:
        """Let a person in who types the right name, password and code."""
        name = attempt.name.strip().lower()[:64]
        account = self._accounts.get(name) if NAME.fullmatch(name) else None
        found = await self._prove(account, name, attempt, now)
        if isinstance(found, Refused):
            return found
        account, factor = found
        post = best_post(account, self._room)
        if not post:
            return Refused("no-role")

        def admit(change: Transaction) -> Admitted | Refused:
            if not self._use(change, account, factor):
                return Refused("wrong")
            return self._admit(change, account, post, attempt, now, factor.how)

        admitted = await self._written(admit)
        if isinstance(admitted, Admitted):
            await self._refresh(account, attempt.password)
        return admitted

    async def prove(self, session: Session, attempt: Attempt, now: float) -> str | Refused:
        """Take a person's word again in a session that is under way; returns the session's new secret."""
        account = self._accounts.get(session.person)
        found = await self._prove(account, session.person, attempt, now)
        if isinstance(found, Refused):
            return found
        account, factor = found

        def renew(change: Transaction) -> str | Refused:
            if not self._use(change, account, factor):
                return Refused("wrong")
            by = By(account.name, attempt.origin.via, post=session.post)
            self._records.write(change, Record("login", by, detail={"again": True}), now)
            return self._sessions.prove(change, session, now)

        return await self._written(renew)

    async def use_link(self, link: str, attempt: Attempt, now: float) -> Admitted | Refused:
        """Let a person in by a one-time link; who has a second factor shows a code all the same."""
        account = self._accounts.who_may_use(link, now)
        if account is None or account.disabled is not None:
            return Refused("over")
        factor = self._factor(account, attempt.code, now)
        lane = self._lanes.of(account.name, "", now, known=True, coded=False)
        wait = lane.enter(now)
        if wait > 0.0:
            return Refused("slow", wait)
        if factor is None:
            await self._failed(account.name, attempt.origin, now)
            return Refused("wrong")
        post = best_post(account, self._room)
        if not post:
            return Refused("no-role")

        def admit(change: Transaction) -> Admitted | Refused:
            if not self._accounts.use_link(change, link, now) or not self._use(
                change, account, factor
            ):
                return Refused("over")
            return self._admit(change, account, post, attempt, now, "link")

        return await self._written(admit)

    async def admit_by_provider(
        self, subject: str, name: str, attempt: Attempt, now: float
    ) -> Admitted | Refused:
        """Let a person in whom the identity provider vouches for: by its subject, the first time by its name."""
        account = self._accounts.by_subject(subject)
        if account is None and NAME.fullmatch(name.lower()):
            account = self._accounts.get(name.lower())
            account = account if account is not None and account.provider == "*" else None
        if account is None or account.disabled is not None:
            await self._failed(UNKNOWN if account is None else account.name, attempt.origin, now)
            return Refused("stranger")
        post = best_post(account, self._room)
        if not post:
            return Refused("no-role")

        def admit(change: Transaction) -> Admitted | Refused:
            self._accounts.bind(change, account.name, subject)
            return self._admit(change, account, post, attempt, now, "provider")

        return await self._written(admit)

    def tell_failures(self, now: float) -> None:
        """Write the sum of the refused tries that no row told of yet; to be called now and then."""
        for person, count in self._failures.due(now):
            self._records.note(_refusal(person, count, Origin("")), now)

    # ── helpers of this room ─────────────────────────────────────────────────────────────────

    async def _prove(
        self, account: Account | None, name: str, attempt: Attempt, now: float
    ) -> tuple[Account, _Factor] | Refused:
        """Return who it is with the second factor that was shown, or why not."""
        network = network_of(attempt.origin.address)
        known = account is not None and self._sessions.knows(attempt.browser, account.name, now)
        factor = None if account is None else self._factor(account, attempt.code, now)
        coded = factor is not None and factor.how != "none"
        lane = self._lanes.of(name, network, now, known=known, coded=coded)
        wait = lane.enter(now)
        if wait > 0.0:
            await self._failed(account.name if account else UNKNOWN, attempt.origin, now)
            return Refused("slow", wait)
        try:
            kept = account.password if account else ""
            fits = await self._hasher.fits(kept, attempt.password, waiting=lane.waiting)
        except BusyError:
            # The try is used up all the same: who sends many would stay quiet for ever otherwise.
            await self._failed(account.name if account else UNKNOWN, attempt.origin, now)
            return Refused("busy")
        if account is None or not fits or factor is None or account.disabled is not None:
            await self._failed(account.name if account else UNKNOWN, attempt.origin, now)
            return Refused("wrong")
        lane.give_back(now)
        return account, factor

    def _factor(self, account: Account, code: str, now: float) -> _Factor | None:
        """Return the second factor that a code is; None when one is needed and the code is none."""
        if not account.second:
            return _Factor("none")
        try:
            second = self._accounts.second_of(account)
        except SealError as error:
            # Recovery codes are hashes: they let people in while somebody mends it.
            log.error("second factors cannot be checked: %s", error, extra={"event": "web.failed"})
            second = ""
        step = codes.step_of(second, code, now, account.second_last) if second else None
        if step is not None:
            return _Factor("code", step=step)
        if self._accounts.has_recovery(account.name, code):
            return _Factor("recovery", code=code)
        return None

    def _use(self, change: Transaction, account: Account, factor: _Factor) -> bool:
        """Use a second factor up; False when the same was used at this very moment."""
        if factor.how == "code":
            return self._accounts.use_step(change, account.name, factor.step)
        if factor.how == "recovery":
            return self._accounts.use_recovery(change, account.name, factor.code)
        return True

    def _admit(
        self,
        change: Transaction,
        account: Account,
        post: str,
        attempt: Attempt,
        now: float,
        how: str,
    ) -> Admitted:
        by = By(account.name, attempt.origin.via, post=post)
        secret = self._sessions.begin(change, account.name, post, attempt.origin, now)
        browser = self._sessions.remember_browser(change, attempt.browser, account.name, now)
        self._records.write(change, Record("login", by, detail={"second": how}), now)
        return Admitted(account.name, secret, browser)

    async def _refresh(self, account: Account, password: str) -> None:
        if account.password and self._hasher.is_outdated(account.password):
            try:
                hashed = await self._hasher.hash(password)
            except BusyError:
                return
            await asyncio.to_thread(self._accounts.rehash, account.name, account.password, hashed)

    async def _failed(self, person: str, origin: Origin, now: float) -> None:
        count = self._failures.count(person, now)
        if count:
            record = _refusal(person, count, origin)
            await asyncio.to_thread(self._records.note, record, now)

    async def _written(self, call: Callable[[Transaction], T]) -> T:
        """Return what a call makes within one transaction, in another thread: the loop never waits for the disk."""

        def write() -> T:
            with self._store.writing() as change:
                return call(change)

        return await asyncio.to_thread(write)


@dataclass(frozen=True, slots=True)
class _Factor:
    how: str
    step: int = 0
    code: str = ""


class _Failures:
    """Counts refused tries, so that a flood is a row a minute and not a thousand a second."""

    EVERY_S: Final = 60.0

    def __init__(self) -> None:
        self._untold: dict[str, int] = {}
        self._told: dict[str, float] = {}

    def count(self, person: str, now: float) -> int:
        """Count one, and return how many a row is to tell of now, 0 when it is too early for another."""
        count = self._untold.get(person, 0) + 1
        if now - self._told.get(person, -self.EVERY_S) < self.EVERY_S:
            self._untold[person] = count
            return 0
        self._told[person] = now
        self._untold.pop(person, None)
        return count

    def due(self, now: float) -> list[tuple[str, int]]:
        """Return whom a row is due for, with how many."""
        due = [p for p in self._untold if now - self._told.get(p, 0.0) >= self.EVERY_S]
        for person in due:
            self._told[person] = now
        return [(person, self._untold.pop(person)) for person in due]


def best_post(account: Account, room: Sequence[str]) -> str:
    """Return where a person begins: the post at which the role can do most, the first of the room; nothing without a role."""

    def rank(post: str) -> tuple[int, int, str]:
        place = room.index(post) if post in room else len(room)
        return _STRONGEST.index(account.roles[post]), place, post

    return min(account.roles, key=rank, default="")


def _refusal(person: str, count: int, origin: Origin) -> Record:
    by = By(person, origin.via)
    return Record("login_failed", by, detail={"tries": count})
