"""Sessions: who is in, at which post, since when; kept on the server and looked up at each request.

The browser has a secret of 192 bits, the file its SHA-256. After a quarter of an hour without a click a session is
*locked*: it shows the city and does nothing, until the person proves again who is there. After twelve hours it is over.
Source: OWASP ASVS 5.0, 7.2 to 7.5.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from pilotage_web.people.records import By, Record, Records
from pilotage_web.people.store import Row, Store, Transaction, key_of
from pilotage_web.rights import Right, Role, rights_of

IDLE_S: Final = 15 * 60.0
LONGEST_S: Final = 12 * 3600.0
KIOSK_S: Final = 30 * 86_400.0
PROVEN_S: Final = 10 * 60.0
"""For so long after a sign-in somebody may change what lets people in; then the password is asked for again."""
BROWSER_S: Final = 90 * 86_400.0
TOUCH_S: Final = 20.0
MOST_PER_PERSON: Final = 20

PERSON: Final = "person"
KIOSK: Final = "kiosk"

LOCKED: Final = frozenset({Right.OPEN, Right.SELF, Right.SEE})
"""What is left while a session is locked: the picture of the city goes on, nothing can be done."""

_COLUMNS: Final = (
    "s.key, s.id, s.person, s.kind, s.post, s.begun, s.active, s.proven, s.ends, s.address, s.browser, "
    "p.full_name, p.language, p.theme, p.password <> '', p.second <> '', p.provider NOT IN ('', '*'), r.role"
)
_FROM: Final = (
    " FROM sessions s JOIN people p ON p.name = s.person"
    " LEFT JOIN roles r ON r.person = s.person AND r.post = s.post WHERE p.disabled IS NULL"
)


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is in; times are seconds since 1970.

    Attributes:
        key: What the file knows it by.
        id: What people know it by, in the list of their sessions.
        kind: `person`, or `kiosk`: a screen on the wall that shows and does nothing.
        post: Where the person acts.
        active: When the person last did something, to `TOUCH_S`.
        proven: When the person last proved to be the one.
        role: At the post; None when the person has none there any more.
    """

    key: bytes = field(repr=False)
    id: str
    person: str
    kind: str
    post: str
    begun: float
    active: float
    proven: float
    ends: float
    address: str
    browser: str
    full_name: str
    language: str
    theme: str
    has_password: bool
    has_second: bool
    has_provider: bool
    role: Role | None

    def is_locked(self, now: float) -> bool:
        """Return whether nobody did anything for so long that it only shows."""
        return self.kind == PERSON and now - self.active > IDLE_S

    def is_touched_by(self, now: float) -> bool:
        """Return whether a click now is worth writing down; a session that is locked stays so."""
        return now - self.active > TOUCH_S and not self.is_locked(now)

    def is_proven(self, now: float) -> bool:
        """Return whether the person proved lately to be the one, and may change what lets people in."""
        return self.kind == PERSON and now - self.proven <= PROVEN_S

    def rights(self, now: float) -> frozenset[Right]:
        """Return what this session may do now."""
        if self.role is None:
            return frozenset({Right.OPEN})
        if self.kind == KIOSK:
            return frozenset({Right.OPEN, Right.SEE})
        return LOCKED if self.is_locked(now) else rights_of(self.role)


_FIELDS: Final = tuple(Session.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Origin:
    """From where somebody comes: the address, and what the browser calls itself."""

    address: str = ""
    browser: str = ""

    @property
    def via(self) -> str:
        """The way, as a question to the engine says it."""
        return f"web {self.address}".strip()


class Sessions:
    """The one writer of sessions and known browsers."""

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records

    # ── looking up ───────────────────────────────────────────────────────────────────────────

    def of(self, secret: str, now: float) -> Session | None:
        """Return the session of a secret; None when there is none, it is over, or the person was shut out."""
        if not secret or len(secret) > 100:
            return None
        row = self._store.one(
            f"SELECT {_COLUMNS}{_FROM} AND s.key = ? AND s.ends > ?", key_of(secret), now
        )
        return None if row is None else _session(row)

    def of_person(self, person: str, now: float) -> list[Session]:
        """Return the sessions of a person, the newest first."""
        rows = self._store.read(
            f"SELECT {_COLUMNS}{_FROM} AND s.person = ? AND s.ends > ? ORDER BY s.begun DESC",
            *(person, now),
        )
        return [_session(row) for row in rows]

    def screens(self, now: float) -> list[Session]:
        """Return the screens on walls, the newest first."""
        rows = self._store.read(
            f"SELECT {_COLUMNS}{_FROM} AND s.kind = ? AND s.ends > ? ORDER BY s.begun DESC",
            *(KIOSK, now),
        )
        return [_session(row) for row in rows]

    def by_id(self, id_: str, now: float) -> Session | None:
        """Return the session that people know by an id."""
        row = self._store.one(f"SELECT {_COLUMNS}{_FROM} AND s.id = ? AND s.ends > ?", id_, now)
        return None if row is None else _session(row)

    # ── coming and going ─────────────────────────────────────────────────────────────────────

    def begin(
        self,
        change: Transaction,
        person: str,
        post: str,
        origin: Origin,
        now: float,
        *,
        kind: str = PERSON,
    ) -> str:
        """Begin a session within the change that let the person in, and return its secret."""
        secret, longest = secrets.token_urlsafe(24), KIOSK_S if kind == KIOSK else LONGEST_S
        change.run("DELETE FROM sessions WHERE ends <= ?", now)
        change.run(
            "DELETE FROM sessions WHERE key IN"
            " (SELECT key FROM sessions WHERE person = ? ORDER BY begun DESC LIMIT -1 OFFSET ?)",
            *(person, MOST_PER_PERSON - 1),
        )
        change.run(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(
                key_of(secret),
                secrets.token_hex(6),
                person,
                kind,
                post,
                now,
                now,
                now,
                now + longest,
            ),
            *(origin.address[:60], origin.browser[:200]),
        )
        return secret

    def touch(self, session: Session, now: float) -> None:
        """Say that the person did something; a session that is locked stays so."""
        if session.is_touched_by(now):
            with self._store.writing() as change:
                change.run("UPDATE sessions SET active = ? WHERE key = ?", now, session.key)

    def prove(self, change: Transaction, session: Session, now: float) -> str:
        """Say that the person proved again to be the one; returns a new secret, the old one is void."""
        secret = secrets.token_urlsafe(24)
        change.run(
            "UPDATE sessions SET key = ?, active = ?, proven = ? WHERE key = ?",
            *(key_of(secret), now, now, session.key),
        )
        return secret

    def move(self, session: Session, post: str) -> bool:
        """Act at another post from now on; False when the person has no role there."""
        with self._store.writing() as change:
            moved = change.run(
                "UPDATE sessions SET post = ? WHERE key = ? AND EXISTS"
                " (SELECT 1 FROM roles WHERE roles.person = sessions.person AND roles.post = ?)",
                *(post, session.key, post),
            )
            return moved == 1

    def end(self, session: Session, by: By, now: float, action: str = "logout") -> None:
        """End a session; who ends another's says so with `session_ended`."""
        with self._store.writing() as change:
            if change.run("DELETE FROM sessions WHERE key = ?", session.key):
                about = session.person if session.person != by.person else ""
                self._records.write(change, Record(action, by, about), now)

    def end_others(self, session: Session, by: By, now: float) -> int:
        """End all sessions of the same person but this one, and return how many there were."""
        with self._store.writing() as change:
            count = change.run(
                "DELETE FROM sessions WHERE person = ? AND key <> ?", session.person, session.key
            )
            if count:
                self._records.write(change, Record("session_ended", by, "", {"count": count}), now)
            return count

    # ── browsers that are known ──────────────────────────────────────────────────────────────

    def knows(self, browser_secret: str, person: str, now: float) -> bool:
        """Return whether a person came in with this browser before, in the last ninety days."""
        if not browser_secret or len(browser_secret) > 100:
            return False
        found = self._store.one(
            "SELECT 1 FROM browsers WHERE key = ? AND person = ? AND seen > ?",
            *(_browser_key(browser_secret, person), person, now - BROWSER_S),
        )
        return found is not None

    def remember_browser(
        self, change: Transaction, browser_secret: str, person: str, now: float
    ) -> str:
        """Remember that a person came in with a browser, and return the secret that the browser keeps."""
        secret = browser_secret if 20 <= len(browser_secret) <= 100 else secrets.token_urlsafe(24)
        change.run("DELETE FROM browsers WHERE seen <= ?", now - BROWSER_S)
        change.run(
            "INSERT INTO browsers VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET seen = excluded.seen",
            *(_browser_key(secret, person), person, now),
        )
        return secret


def csrf_of(secret: str) -> str:
    """Return what each form of a session carries: nobody has it who has not the session."""
    return hmac.digest(secret.encode(), b"form", "sha256").hex()


def _session(row: Row) -> Session:
    values = dict(zip(_FIELDS, row, strict=True))
    for name in ("has_password", "has_second", "has_provider"):
        values[name] = bool(values[name])
    values["role"] = None if values["role"] is None else Role(values["role"])
    return Session(**values)


def _browser_key(secret: str, person: str) -> bytes:
    return key_of(f"{person}:{secret}")
