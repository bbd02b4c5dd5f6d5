"""The texts of rules and inventory that were in force, each kept once however many configurations hold it."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class Packed:
    """A configuration, ready to be written: its digest, when it was archived, and its texts, compressed."""

    digest: str
    time: float
    files: str
    texts: Mapping[str, bytes]

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.files) + sum(map(len, self.texts.values()))


def pack(digest: str, files: Mapping[str, bytes], time: float) -> Packed:
    """Return a configuration as it is written; takes some 30 ms for a megabyte of text.

    Args:
        digest: Names it, as a `ConfigSwitch` does.
        files: The texts by their names.
        time: Now, seconds since 1970.
    """
    hashes = {name: hashlib.sha256(text).hexdigest() for name, text in files.items()}
    texts = {hashes[name]: zlib.compress(text, _LEVEL) for name, text in files.items()}
    return Packed(digest, time, json.dumps(hashes, sort_keys=True), texts)


def write(cursor: Any, packed: Packed) -> None:
    """Write what is not there yet."""
    for hash_, text in packed.texts.items():
        cursor.execute("INSERT OR IGNORE INTO texts (hash, text) VALUES (?, ?)", (hash_, text))
    cursor.execute(
        "INSERT OR IGNORE INTO archive (digest, time, files) VALUES (?, ?, ?)",
        (packed.digest, packed.time, packed.files),
    )


def read(connection: Any, digest: str) -> dict[str, bytes] | None:
    """Return the texts of a configuration by their names; None when it is not archived, or was forgotten.

    Leaves a transaction open, in which all was read: what is forgotten meanwhile is there or not as a whole.
    """
    connection.execute("BEGIN")
    found = connection.execute("SELECT files FROM archive WHERE digest = ?", (digest,)).fetchone()
    if found is None:
        return None
    files: dict[str, str] = json.loads(found[0])
    return {name: _text(connection, hash_) for name, hash_ in files.items()}


def _text(connection: Any, hash_: str) -> bytes:
    (text,) = connection.execute("SELECT text FROM texts WHERE hash = ?", (hash_,)).fetchone()
    return zlib.decompress(text)
