"""Tokens of programs: what an integration shows in place of a person, with scopes, a post and an end.

A token is `pil_` and 192 bits; the file has its SHA-256. It is shown once, when it is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pilotage_web.people.accounts import AccountError
from pilotage_web.people.records import By, Record, Records
from pilotage_web.people.store import Row, Store, key_of
from pilotage_web.rights import Right

PREFIX: Final = "pil_"
LONGEST_S: Final = 366 * 86_400.0
SCOPES: Final = (
    *(Right.SEE, Right.ALARMS, Right.JOURNAL, Right.REPORTS, Right.OVERRIDE),
    *(Right.PLANS, Right.CHECK, Right.RULES),
)
"""The rights that a program may have; nobody's account is among them."""
SEEN_S: Final = 60.0
_COLUMNS: Final = "key, id, title, post, scopes, made_by, made, ends, seen"


@dataclass(frozen=True, slots=True)
class Token:
    """A program that may ask; times are seconds since 1970, `seen` is when it last did, None before."""

    key: bytes = field(repr=False)
    id: str
    title: str
    post: str
    scopes: frozenset[Right]
    made_by: str
    made: float
    ends: float
    seen: float | None

    @property
    def person(self) -> str:
        """What stands in the audit where a person's name would."""
        return f"token:{self.title}"

    def may(self, right: Right) -> bool:
        """Return whether a right is among its scopes."""
        return right is Right.OPEN or right in self.scopes


class Tokens:
    """The one writer of tokens."""

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records

    def add(
        self, title: str, post: str, scopes: Iterable[Right], for_s: float, by: By, now: float
    ) -> str:
        """Make a token and return its secret, which nobody can be told again.

        Raises:
            AccountError: It has no title or no scope, a scope that programs cannot have, or no end within a year.
        """
        wanted = frozenset(scopes)
        if not title.strip() or len(title) > 60:
            raise AccountError(
                "title",
                "a token has a title of 1 to 60 signs",
                "write what uses it, such as `open data`",
            )
        if not wanted or not wanted <= set(SCOPES):
            raise AccountError(
                "scopes",
                f"a token has scopes, not {', '.join(sorted(wanted)) or 'none'}",
                f"choose some of {', '.join(SCOPES)}",
            )
        if not 0 < for_s <= LONGEST_S:
            raise AccountError(
                "end",
                f"a token ends after {LONGEST_S / 86_400:g} days at most",
                "write a shorter time",
            )
        secret, id_ = PREFIX + secrets.token_urlsafe(24), secrets.token_hex(6)
        with self._store.writing() as change:
            change.run(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                *(key_of(secret), id_, title.strip(), post, " ".join(sorted(wanted))),
                *(by.person, now, now + for_s),
            )
            detail = {"token": id_, "scopes": " ".join(sorted(wanted)), "post": post}
            self._records.write(change, Record("token_added", by, "", dict(detail)), now)
        return secret

    def of(self, secret: str, now: float) -> Token | None:
        """Return the token of a secret; None when there is none, or it is over."""
        if not secret.startswith(PREFIX) or len(secret) > 100:
            return None
        row = self._store.one(
            f"SELECT {_COLUMNS} FROM tokens WHERE key = ? AND ends > ?", key_of(secret), now
        )
        return None if row is None else _token(row)

    def all(self) -> list[Token]:
        """Return all tokens, those that are over too, by title."""
        return [
            _token(row)
            for row in self._store.read(f"SELECT {_COLUMNS} FROM tokens ORDER BY title, made")
        ]

    def touch(self, token: Token, now: float) -> None:
        """Say that a token was used, to the minute."""
        if token.seen is None or now - token.seen > SEEN_S:
            with self._store.writing() as change:
                change.run("UPDATE tokens SET seen = ? WHERE key = ?", now, token.key)

    def remove(self, id_: str, by: By, now: float) -> None:
        """Take a token away; it is refused from the next request on.

        Raises:
            AccountError: There is no such token.
        """
        with self._store.writing() as change:
            if not change.run("DELETE FROM tokens WHERE id = ?", id_):
                raise AccountError(
                    "unknown",
                    f'there is no token "{id_}"',
                    "the page of tokens shows those that there are",
                )
            self._records.write(change, Record("token_removed", by, "", {"token": id_}), now)


def _token(row: Row) -> Token:
    key, id_, title, post, scopes, made_by, made, ends, seen = row
    return Token(
        key,
        id_,
        title,
        post,
        frozenset(Right(word) for word in scopes.split()),
        made_by,
        made,
        ends,
        seen,
    )
