"""The register of people: the rooms that know who there is, who is in and who may come in, over one file.

Each table of the file has one of them as its writer. Only `admission` waits (for the password threads); the others are
called in a thread when they write, and at once when they read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pilotage_web.people.accounts import Accounts
from pilotage_web.people.admission import Admission
from pilotage_web.people.passwords import Hasher
from pilotage_web.people.posts import NamedPost, Post, room_of
from pilotage_web.people.records import Records
from pilotage_web.people.sealing import Seal
from pilotage_web.people.sessions import Sessions
from pilotage_web.people.store import PEOPLE_FILE, Store
from pilotage_web.people.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Register:
    """The rooms, each by its duty."""

    store: Store
    posts: dict[str, Post]
    records: Records
    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    hasher: Hasher
    admission: Admission

    def close(self) -> None:
        """End the password threads and close the file."""
        self.hasher.close()
        self.store.close()


def open_register(
    folder: Path, named: Iterable[NamedPost] = (), hasher: Hasher | None = None, key: bytes = b""
) -> Register:
    """Return the register of a site, whose file is in its storage folder; with a key second factors are sealed under it.

    Raises:
        PeopleFileError: The file cannot be used; the text says the mend.
    """
    store = Store(folder / PEOPLE_FILE)
    known = dict(room_of(named))
    records = Records(store)
    accounts = Accounts(store, records, lambda: set(known), Seal(key))
    accounts.seal_all()
    sessions = Sessions(store, records)
    hasher = hasher or Hasher()
    admission = Admission(store, accounts, sessions, records, hasher, tuple(known))
    return Register(
        store, known, records, accounts, sessions, Tokens(store, records), hasher, admission
    )
