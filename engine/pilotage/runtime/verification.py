"""Whether what is kept is whole: databases, the order of the journal, snapshots, a backup against its manifest.

Changes nothing, and works beside a running engine.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.ports import LogUnusableError
from pilotage.runtime.backup import (
    JOURNAL_FILE,
    MANIFEST,
    BackupError,
    Manifest,
    Progress,
    digest_of,
    is_left_out,
    read_manifest,
    unpack,
)
from pilotage.runtime.envelope import check_envelope
from pilotage.runtime.journal import JournalReader, sqlite
from pilotage.runtime.snapshots import SUFFIX, SnapshotUnreadableError
from pilotage.runtime.snapshots import read as read_snapshot

_MOST_OF_A_KIND: Final = 10
_TELL_EVERY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a file.

    Attributes:
        name: The file, by its path in the folder.
        detail: What it holds: `12,345 decisions, 6,789 inputs`.
        problems: What is wrong with it; empty when it is whole.
        remarks: What is worth knowing and no damage.
    """

    name: str
    detail: str = ""
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def verify(path: Path, progress: Progress) -> list[Checked]:
    """Return what was found in a storage folder, a backup, or one file of them, in order of name.

    Raises:
        BackupError: There is nothing to verify, or it is no backup.
    """
    if path.is_file() and path.suffix not in (".db", SUFFIX):
        return _verify_packed(path, progress)
    if (path / MANIFEST).is_file():
        manifest = read_manifest((path / MANIFEST).read_bytes(), path)
        return verify_backup(path, manifest, progress)
    if path.is_file():
        return [_verify_file(path, path.name, progress)]
    names = sorted(
        str(found.relative_to(path))
        for found in path.rglob("*")
        if found.suffix in (".db", SUFFIX) and not is_left_out(str(found.relative_to(path)))
    )
    if not names:
        raise BackupError(
            f"{path}: there is nothing to verify\n   mend: name a storage folder, a backup, or a file of them"
        )
    return [_verify_file(path / name, name, progress) for name in names]


def verify_backup(folder: Path, manifest: Manifest, progress: Progress) -> list[Checked]:
    """Return what was found in an unpacked backup: each file against its checksum, then by its own rules."""
    return [
        _against_manifest(folder, entry.name, entry.size, entry.sha256, progress)
        for entry in manifest.files
    ]


def _verify_packed(path: Path, progress: Progress) -> list[Checked]:
    with tempfile.TemporaryDirectory(prefix="pilotage-verify-") as place:
        manifest = unpack(path, Path(place), progress)
        return verify_backup(Path(place), manifest, progress)


def _against_manifest(
    folder: Path, name: str, size: int, sha256: str, progress: Progress
) -> Checked:
    path = folder / name
    if not path.is_file():
        return Checked(name, problems=("the file is missing",))
    if path.stat().st_size != size:
        return Checked(name, problems=(f"it has {path.stat().st_size} bytes, not {size}",))
    if digest_of(path, lambda done: progress(f"reading {name}", done, size)) != sha256:
        return Checked(name, problems=("its checksum is not that of the manifest",))
    return _verify_file(path, name, progress)


def _verify_file(path: Path, name: str, progress: Progress) -> Checked:
    if path.suffix == SUFFIX:
        return _verify_snapshot(path, name)
    if path.suffix != ".db":
        return Checked(name)
    progress(f"checking {name}", 0, 0)
    problems = _integrity(path)
    if problems or path.name != JOURNAL_FILE:
        return Checked(name, problems=tuple(problems))
    return _verify_journal(path, name, progress)


def _integrity(path: Path) -> list[str]:
    try:
        with closing(_connect(path)) as connection:
            rows = connection.execute(f"PRAGMA integrity_check({_MOST_OF_A_KIND})").fetchall()
    except sqlite.DatabaseError as error:
        return [f"the database is damaged: {error}"]
    return [f"the database is damaged: {text}" for (text,) in rows if text != "ok"]


def _connect(path: Path) -> Any:
    connection = sqlite.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _verify_snapshot(path: Path, name: str) -> Checked:
    try:
        snapshot = read_snapshot(path)
    except (SnapshotUnreadableError, OSError) as error:
        return Checked(name, problems=(str(error).removeprefix(f"{path}: "),))
    return Checked(name, f"decision {snapshot.number:,}, input {snapshot.position:,}")


# ── the journal ──────────────────────────────────────────────────────────────────────────────


def _verify_journal(path: Path, name: str, progress: Progress) -> Checked:
    try:
        reader = JournalReader(path)
    except LogUnusableError as error:
        return Checked(name, problems=(str(error).removeprefix(f"{path}: "),))
    problems: list[str] = []
    remarks: list[str] = []
    details = []
    for partition in reader.partitions():
        # First where it stands, then what is there: an engine may write on meanwhile.
        decisions = _verify_decisions(reader, partition, name, progress, problems)
        inputs = _verify_inputs(reader, partition, name, progress, problems, remarks)
        details.append(f"{partition}: {decisions:,} decisions, {inputs:,} inputs")
    problems += _verify_texts(path)
    return Checked(name, "; ".join(details), _few(problems), tuple(remarks))


def _verify_decisions(
    reader: JournalReader, partition: str, name: str, progress: Progress, problems: list[str]
) -> int:
    """Look at every decision; returns how many there are."""
    last, count, before = reader.last_number(partition), 0, None
    for record in reader.decisions(partition):
        if before is not None and record.number != before + 1:
            problems.append(f"{partition}: decision {before} is followed by {record.number}")
        before, count = record.number, count + 1
        problem = _bad_record(record.record, record.number)
        if problem:
            problems.append(f"{partition}: decision {record.number} {problem}")
        if count % _TELL_EVERY == 0:
            progress(f"{name}: decisions", record.number, max(last, record.number))
    if before is not None and before < last:
        problems.append(f"{partition}: decisions end at {before}, the last one was {last}")
    return count


def _bad_record(data: bytes, number: int) -> str:
    try:
        record = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        return f"cannot be read: {error}"
    found = record.get("number") if isinstance(record, dict) else None
    return "" if found == number else f"says that it is number {found}"


def _verify_inputs(
    reader: JournalReader,
    partition: str,
    name: str,
    progress: Progress,
    problems: list[str],
    remarks: list[str],
) -> int:
    """Look at every envelope; returns how many there are."""
    last, count, before, after = reader.last_position(partition), 0, None, 0
    for envelope in reader.inputs(partition):
        if before is not None and envelope.position != before + 1:
            missing = envelope.position - before - 1
            remarks.append(
                f"{partition}: {missing} inputs after {before} were left out while the disk refused"
            )
        if envelope.after < after:
            problems.append(
                f"{partition}: input {envelope.position} is out of order: it came after decision"
                f" {envelope.after}, the one before it after {after}"
            )
        before, after, count = envelope.position, envelope.after, count + 1
        try:
            check_envelope(envelope.inputs)
        except ValueError as error:
            problems.append(f"{partition}: input {envelope.position} cannot be read: {error}")
        if count % _TELL_EVERY == 0:
            progress(f"{name}: inputs", envelope.position, max(last, envelope.position))
    if before is not None and before < last:
        problems.append(f"{partition}: inputs end at {before}, the last one was {last}")
    return count


def _verify_texts(path: Path) -> Iterator[str]:
    """Yield what is wrong with the texts of rules that are kept."""
    with closing(_connect(path)) as connection:
        for hash_, text in connection.execute("SELECT hash, text FROM texts"):
            try:
                sound = hashlib.sha256(zlib.decompress(text)).hexdigest() == hash_
            except zlib.error:
                sound = False
            if not sound:
                yield f"the text {hash_[:12]} of a rule file is damaged"
        rows = connection.execute(
            "SELECT digest FROM archive, json_each(archive.files)"
            " WHERE value NOT IN (SELECT hash FROM texts)"
        )
        for (digest,) in rows:
            yield f"a text of the rules {digest[:12]} is missing"


def _few(problems: list[str]) -> tuple[str, ...]:
    """Return the first problems, and how many more there are."""
    if len(problems) <= _MOST_OF_A_KIND:
        return tuple(problems)
    return (*problems[:_MOST_OF_A_KIND], f"and {len(problems) - _MOST_OF_A_KIND:,} more")
