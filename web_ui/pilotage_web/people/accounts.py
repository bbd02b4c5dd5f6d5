"""Accounts: who there is, with which role at which post, and what each comes in with.

Every change is written with its row for the audit in one transaction. A change that takes something away ends the
person's sessions, so that it holds from the next click on.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage_web.people import codes
from pilotage_web.people.posts import ADMINISTRATION
from pilotage_web.people.records import By, Record, Records
from pilotage_web.people.sealing import Seal
from pilotage_web.people.store import Row, Store, Transaction, key_of
from pilotage_web.rights import Role

LANGUAGES: Final = ("fr", "en")
THEMES: Final = ("dark", "light")
LINK_S: Final = 24 * 3600.0
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,31}")

_COLUMNS: Final = "name, full_name, language, theme, password, password_at, second, second_at, second_last, provider, added, disabled"


class AccountError(ValueError):
    """A change cannot be made: what was written, what is expected, and the mend; `code` is for the pages' own words."""

    def __init__(self, code: str, text: str, mend: str = "") -> None:
        self.code = code
        self.text = text
        self.mend = mend
        super().__init__(f"{text}\n   mend: {mend}" if mend else text)


@dataclass(frozen=True, slots=True)
class Account:
    """A person.

    Attributes:
        name: What is typed at the sign-in, and stands in the audit.
        password: The hash, empty while none was chosen.
        second: The secret of the second factor, empty while there is none.
        second_last: The step of the last code that was taken.
        provider: The subject at the identity provider, `*` until it comes in that way first, empty when it may not.
        disabled: Since when nobody comes in as this person, None while that is not so.
        roles: The role at each post.
    """

    name: str
    full_name: str
    language: str
    theme: str
    password: str = field(repr=False)
    password_at: float | None
    second: str = field(repr=False)
    second_at: float | None
    second_last: int
    provider: str
    added: float
    disabled: float | None
    roles: Mapping[str, Role] = field(default_factory=dict)

    @property
    def is_admin(self) -> bool:
        """Whether the person is an admin."""
        return self.roles.get(ADMINISTRATION) is Role.ADMIN

    @property
    def standing(self) -> str:
        """A word that differs when somebody has changed what admins decide about, or the name is somebody else's by now."""
        roles = sorted((post, role.value) for post, role in self.roles.items())
        decided = repr((self.added, roles, self.disabled, self.second_at)).encode()
        return hashlib.blake2b(decided, digest_size=6).hexdigest()

    @property
    def called(self) -> str:
        """What stands on pages: the full name, else the name."""
        return self.full_name or self.name


_FIELDS: Final = tuple(Account.__dataclass_fields__)


class Accounts:
    """The one writer of accounts, roles, recovery codes and one-time links."""

    def __init__(
        self,
        store: Store,
        records: Records,
        posts: Callable[[], set[str]],
        seal: Seal | None = None,
    ) -> None:
        """Take the file, where rows for the audit go, what tells which posts there are, and what seals second factors."""
        self._seal = seal or Seal()
        self._store = store
        self._records = records
        self._posts = posts

    # ── who there is ─────────────────────────────────────────────────────────────────────────

    def get(self, name: str) -> Account | None:
        """Return a person, None when there is no such account."""
        row = self._store.one(f"SELECT {_COLUMNS} FROM people WHERE name = ?", name)
        return None if row is None else self._account(row)

    def all(self) -> list[Account]:
        """Return everybody, by name."""
        return [
            self._account(row)
            for row in self._store.read(f"SELECT {_COLUMNS} FROM people ORDER BY name")
        ]

    def by_subject(self, subject: str) -> Account | None:
        """Return who has a subject at the identity provider."""
        row = self._store.one(f"SELECT {_COLUMNS} FROM people WHERE provider = ?", subject)
        return None if row is None else self._account(row)

    def need(self, name: str) -> Account:
        """Return a person.

        Raises:
            AccountError: There is no such account.
        """
        found = self.get(name)
        if found is None:
            raise AccountError(
                "unknown",
                f'there is no account "{name}"',
                "`pilotage user list` shows who there is",
            )
        return found

    def roles(self, name: str) -> dict[str, Role]:
        """Return a person's role at each post."""
        rows = self._store.read("SELECT post, role FROM roles WHERE person = ? ORDER BY post", name)
        return {post: Role(role) for post, role in rows}

    def recovery_left(self, name: str) -> int:
        """Return how many recovery codes were not used yet."""
        return len(self._store.read("SELECT 1 FROM recovery WHERE person = ?", name))

    def _account(self, row: Row) -> Account:
        return Account(**dict(zip(_FIELDS, row, strict=False)), roles=self.roles(row[0]))

    # ── changes by an admin ──────────────────────────────────────────────────────────────────

    def add(
        self,
        name: str,
        roles: Mapping[str, Role],
        by: By,
        now: float,
        *,
        full_name: str = "",
        language: str = "fr",
        provider: bool = False,
    ) -> Account:
        """Add a person, who comes in by a one-time link first and chooses a password then.

        Raises:
            AccountError: The name is taken or no name, or a role or post is not there.
        """
        if not NAME.fullmatch(name):
            raise AccountError(
                "name",
                f'"{name}" is no name of an account',
                "write 2 to 32 small letters, digits and . _ -, a letter first",
            )
        self._check_roles(roles)
        if language not in LANGUAGES:
            raise AccountError("language", f'there are no pages in "{language}"', "write fr or en")
        with self._store.writing() as change:
            if change.one("SELECT 1 FROM people WHERE name = ?", name):
                raise AccountError("taken", f'"{name}" is there already', "choose another name")
            change.run(
                "INSERT INTO people VALUES (?, ?, ?, 'dark', '', NULL, '', NULL, 0, ?, ?, NULL)",
                *(name, full_name.strip()[:80], language, "*" if provider else "", now),
            )
            self._put_roles(change, name, roles)
            self._told(change, "user_added", name, by, now, roles=_words(roles))
        return self.need(name)

    def set_roles(self, name: str, roles: Mapping[str, Role], by: By, now: float) -> None:
        """Give a person these roles and no others; sessions at a post that is gone end.

        Raises:
            AccountError: There is no such account, role or post, or the last admin would go.
        """
        self._check_roles(roles)
        before = self.need(name)
        with self._store.writing() as change:
            change.run("DELETE FROM roles WHERE person = ?", name)
            self._put_roles(change, name, roles)
            self._need_an_admin(change, before)
            # The role of a session is looked up at each request; only its post must be there still.
            marks = ", ".join("?" * len(roles)) or "''"
            change.run(
                f"DELETE FROM sessions WHERE person = ? AND post NOT IN ({marks})", name, *roles
            )
            self._told(change, "role_changed", name, by, now, roles=_words(roles))

    def set_full_name(self, name: str, full_name: str, by: By, now: float) -> None:
        """Say what a person is called on pages."""
        with self._change(name) as change:
            change.run(
                "UPDATE people SET full_name = ? WHERE name = ?", full_name.strip()[:80], name
            )
            self._told(change, "user_changed", name, by, now, what="name")

    def disable(self, name: str, by: By, now: float) -> None:
        """Let nobody in as a person any more, and end all the person's sessions at once.

        Raises:
            AccountError: There is no such account, or it is the last admin.
        """
        before = self.need(name)
        with self._store.writing() as change:
            change.run("UPDATE people SET disabled = ? WHERE name = ?", now, name)
            self._need_an_admin(change, before)
            _end_all(change, name)
            self._told(change, "locked", name, by, now)

    def enable(self, name: str, by: By, now: float) -> None:
        """Let a person in again."""
        with self._change(name) as change:
            change.run("UPDATE people SET disabled = NULL WHERE name = ?", name)
            self._told(change, "unlocked", name, by, now)

    def remove(self, name: str, by: By, now: float) -> None:
        """Take a person out; what the audit tells of the person stays until its time.

        Raises:
            AccountError: There is no such account, or it is the last admin.
        """
        before = self.need(name)
        with self._store.writing() as change:
            change.run("DELETE FROM people WHERE name = ?", name)
            self._need_an_admin(change, before)
            self._told(change, "user_removed", name, by, now)

    def new_link(
        self, name: str, by: By, now: float, *, for_s: float = LINK_S, secret: str = ""
    ) -> str:
        """Return the secret of a link by which a person comes in once; earlier links are void.

        Who gives a `secret` has drawn it with 128 bits and more.

        Raises:
            AccountError: There is no such account, or it is disabled.
        """
        secret = secret or secrets.token_urlsafe(24)
        with self._change(name) as change:
            if change.one("SELECT 1 FROM people WHERE name = ? AND disabled IS NOT NULL", name):
                raise AccountError(
                    "disabled", f'"{name}" is disabled', f"`pilotage user enable {name}` first"
                )
            change.run("DELETE FROM links WHERE person = ? OR ends < ?", name, now)
            change.run("INSERT INTO links VALUES (?, ?, ?)", key_of(secret), name, now + for_s)
            self._told(change, "user_changed", name, by, now, what="link")
        return secret

    def who_may_use(self, link: str, now: float) -> Account | None:
        """Return for whom a link is, without using it; None when it was used or is over."""
        row = self._store.one(
            "SELECT person FROM links WHERE key = ? AND ends > ?", key_of(link), now
        )
        return None if row is None else self.get(row[0])

    def use_link(self, change: Transaction, link: str, now: float) -> bool:
        """Use a link up; False when somebody was faster."""
        return change.run("DELETE FROM links WHERE key = ? AND ends > ?", key_of(link), now) == 1

    def bind(self, change: Transaction, name: str, subject: str) -> None:
        """Remember who a person is at the identity provider."""
        change.run("UPDATE people SET provider = ? WHERE name = ?", subject, name)

    def set_provider(self, name: str, may: bool, by: By, now: float) -> None:
        """Say whether a person may come in through the identity provider; who that is there is learnt anew."""
        with self._change(name) as change:
            change.run("UPDATE people SET provider = ? WHERE name = ?", "*" if may else "", name)
            self._told(change, "user_changed", name, by, now, what="provider")

    # ── changes by the person ────────────────────────────────────────────────────────────────

    def set_password(self, name: str, hashed: str, by: By, now: float, keep: bytes = b"") -> None:
        """Replace a password; every session but `keep` ends, and no browser is known any more."""
        with self._change(name) as change:
            change.run(
                "UPDATE people SET password = ?, password_at = ? WHERE name = ?", hashed, now, name
            )
            change.run("DELETE FROM links WHERE person = ?", name)
            _end_all(change, name, keep)
            self._told(change, "password_changed", name, by, now)

    def rehash(self, name: str, old: str, hashed: str) -> None:
        """Keep the same password in the form of today, unless it was changed meanwhile."""
        with self._store.writing() as change:
            change.run(
                "UPDATE people SET password = ? WHERE name = ? AND password = ?", hashed, name, old
            )

    def set_second(
        self, name: str, secret: str, step: int, by: By, now: float, keep: bytes = b""
    ) -> list[str]:
        """Begin a second factor, and return its recovery codes, which nobody can be told again.

        Args:
            name: Whose.
            secret: In base 32; the person has shown a code of it.
            step: Of that code.
            by: Who asks.
            now: Seconds since 1970.
            keep: The session that goes on; the others end.
        """
        with self._change(name) as change:
            change.run(
                "UPDATE people SET second = ?, second_at = ?, second_last = ? WHERE name = ?",
                *(self._seal.close(secret, name), now, step, name),
            )
            _end_all(change, name, keep)
            self._told(change, "user_changed", name, by, now, what="second factor")
            return self._fresh_codes(change, name)

    def second_of(self, account: Account) -> str:
        """Return the secret of an account's second factor, in base 32.

        Raises:
            SealError: It is sealed, and cannot be opened.
        """
        return self._seal.open(account.second, account.name)

    def seal_all(self) -> int:
        """Seal what is plain in the file, once there is a key, and return how many that were."""
        plain = [a for a in self.all() if a.second and not self._seal.is_sealed(a.second)]
        if not plain or not self._seal.is_there:
            return 0
        with self._store.writing() as change:
            for account in plain:
                sealed = self._seal.close(account.second, account.name)
                change.run(
                    "UPDATE people SET second = ? WHERE name = ? AND second = ?",
                    *(sealed, account.name, account.second),
                )
        return len(plain)

    def new_recovery(self, name: str, by: By, now: float) -> list[str]:
        """Return new recovery codes; the old ones are void."""
        with self._change(name) as change:
            self._told(change, "user_changed", name, by, now, what="recovery codes")
            return self._fresh_codes(change, name)

    def drop_second(self, name: str, by: By, now: float) -> None:
        """Take the second factor away, for who lost it; all sessions end."""
        with self._change(name) as change:
            change.run(
                "UPDATE people SET second = '', second_at = NULL, second_last = 0 WHERE name = ?",
                name,
            )
            change.run("DELETE FROM recovery WHERE person = ?", name)
            _end_all(change, name)
            self._told(change, "user_changed", name, by, now, what="second factor taken away")

    def use_step(self, change: Transaction, name: str, step: int) -> bool:
        """Use a code of the telephone up; False when this or a later one was used."""
        return (
            change.run(
                "UPDATE people SET second_last = ? WHERE name = ? AND second_last < ?",
                step,
                name,
                step,
            )
            == 1
        )

    def use_recovery(self, change: Transaction, name: str, code: str) -> bool:
        """Use a recovery code up; False when it is none, or was used."""
        return (
            change.run(
                "DELETE FROM recovery WHERE person = ? AND code = ?", name, _kept(name, code)
            )
            == 1
        )

    def has_recovery(self, name: str, code: str) -> bool:
        """Return whether a recovery code is one that was not used."""
        found = self._store.one(
            "SELECT 1 FROM recovery WHERE person = ? AND code = ?", name, _kept(name, code)
        )
        return found is not None

    def prefer(self, name: str, *, language: str = "", theme: str = "") -> None:
        """Remember in which language and colours a person reads."""
        with self._store.writing() as change:
            if language in LANGUAGES:
                change.run("UPDATE people SET language = ? WHERE name = ?", language, name)
            if theme in THEMES:
                change.run("UPDATE people SET theme = ? WHERE name = ?", theme, name)

    # ── helpers of this room ─────────────────────────────────────────────────────────────────

    def _change(self, name: str) -> Any:
        self.need(name)
        return self._store.writing()

    def _check_roles(self, roles: Mapping[str, Role]) -> None:
        known = self._posts()
        for post, role in roles.items():
            if post not in known:
                raise AccountError(
                    "post",
                    f'there is no post "{post}"',
                    f"the posts are {', '.join(sorted(known))}",
                )
            if (role is Role.ADMIN) != (post == ADMINISTRATION):
                raise AccountError(
                    "admin-post",
                    f'nobody is {role} at the post "{post}"',
                    f"an admin is one at {ADMINISTRATION}, and nobody else is there",
                )

    def _put_roles(self, change: Transaction, name: str, roles: Mapping[str, Role]) -> None:
        change.all(
            "INSERT INTO roles VALUES (?, ?, ?)",
            [(name, post, role.value) for post, role in roles.items()],
        )

    def _need_an_admin(self, change: Transaction, before: Account) -> None:
        """Refuse to take the last admin away: nobody could let anybody in any more."""
        if not before.is_admin or before.disabled is not None:
            return
        admin = change.one(
            "SELECT 1 FROM roles JOIN people ON name = person WHERE role = 'admin' AND disabled IS NULL"
        )
        if admin is None:
            raise AccountError(
                "last-admin",
                f'"{before.name}" is the last admin',
                f"make somebody else one first: `pilotage user role NAME {ADMINISTRATION}=admin`",
            )

    def _fresh_codes(self, change: Transaction, name: str) -> list[str]:
        fresh = codes.new_recovery_codes()
        change.run("DELETE FROM recovery WHERE person = ?", name)
        change.all(
            "INSERT INTO recovery VALUES (?, ?)", [(name, _kept(name, code)) for code in fresh]
        )
        return fresh

    def _told(
        self, change: Transaction, action: str, name: str, by: By, now: float, **detail: str
    ) -> None:
        about = name if name != by.person else ""
        self._records.write(change, Record(action, by, about, dict(detail)), now)


def _kept(name: str, code: str) -> bytes:
    return key_of(f"{name}:{codes.plain_recovery(code)}")


def _end_all(change: Transaction, name: str, keep: bytes = b"") -> None:
    change.run("DELETE FROM sessions WHERE person = ? AND key <> ?", name, keep)
    change.run("DELETE FROM browsers WHERE person = ?", name)


def _words(roles: Mapping[str, Role]) -> str:
    return " ".join(f"{post}={role.value}" for post, role in sorted(roles.items()))
