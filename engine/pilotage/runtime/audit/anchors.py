"""Anchors: where a chain stood at a moment, in small files that only grow, here and in a second folder elsewhere.

Who rewrites the whole chain must rewrite the anchors too, also those on another machine. A file per day (UTC), a line per
anchor: `1 TIME PARTITION FIRST LAST HASH`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from pilotage.runtime.audit.store import sync_folder

FOLDER: Final = "anchors"
VERSION: Final = 1

_LINE: Final = re.compile(
    r"1 (?P<time>\S+) (?P<partition>\S+) (?P<first>[1-9]\d*) (?P<last>[1-9]\d*) (?P<hash>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """That the rows `first` to `last` of a chain ended with a hash."""

    time: float
    partition: str
    first: int
    last: int
    hash: bytes

    @property
    def line(self) -> str:
        """The anchor as it stands in its file, without the line's end."""
        moment = datetime.fromtimestamp(self.time, UTC)
        return (
            f"{VERSION} {moment:%Y-%m-%dT%H:%M:%S.%fZ} {self.partition}"
            f" {self.first} {self.last} {self.hash.hex()}"
        )

    @property
    def file(self) -> str:
        """The name of the day's file."""
        return f"{datetime.fromtimestamp(self.time, UTC):%Y-%m-%d}.anchor"

    @property
    def digest(self) -> str:
        """The digest of the line, which the chain itself holds."""
        return sha256(self.line.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AnchorLine:
    """A line as it was found; `anchor` is None when it is none."""

    file: str
    number: int
    text: str
    anchor: Anchor | None


def write_anchor(folder: Path, anchor: Anchor) -> None:
    """Append an anchor to its day's file; it survives a power failure when this returns.

    Raises:
        OSError: The folder cannot be written.
    """
    is_new_folder = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / anchor.file
    is_new = not path.exists()
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, f"{anchor.line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        sync_folder(folder)
    if is_new_folder:
        sync_folder(folder.parent)


def read_anchors(folder: Path) -> Iterator[AnchorLine]:
    """Yield the lines of all files, oldest day first."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.anchor")):
        raw = path.read_bytes()
        # Split at line feeds only: `splitlines` would forgive a byte that became another kind of line end.
        *lines, torn = raw.split(b"\n")
        for number, line in enumerate(lines, 1):
            text = line.decode("utf-8", "replace")
            yield AnchorLine(path.name, number, text, _parsed(text, path.name))
        if torn:
            yield AnchorLine(path.name, len(lines) + 1, torn.decode("utf-8", "replace"), None)


def cut_torn_line(folder: Path) -> None:
    """Remove the end of a line that a power failure cut off; it was never part of the chain."""
    files = sorted(folder.glob("*.anchor")) if folder.is_dir() else []
    if not files:
        return
    raw = files[-1].read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        with files[-1].open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def bring_up_to_date(source: Path, copy: Path) -> list[str]:
    """Append to each file of a copy what it lacks; returns the names of files that say something else.

    Raises:
        OSError: The copy cannot be written.
    """
    strange: list[str] = []
    copy.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in sorted(source.glob("*.anchor")):
        wanted = path.read_bytes()
        other = copy / path.name
        found = other.read_bytes() if other.exists() else b""
        if not wanted.startswith(found):
            strange.append(path.name)
        elif found != wanted:
            with other.open("ab") as file:
                file.write(wanted[len(found) :])
                file.flush()
                os.fsync(file.fileno())
    return strange


def _parsed(text: str, file: str) -> Anchor | None:
    found = _LINE.fullmatch(text)
    if found is None:
        return None
    try:
        moment = datetime.strptime(found["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    anchor = Anchor(
        moment.timestamp(),
        found["partition"],
        int(found["first"]),
        int(found["last"]),
        bytes.fromhex(found["hash"]),
    )
    return anchor if anchor.line == text and anchor.file == file else None
