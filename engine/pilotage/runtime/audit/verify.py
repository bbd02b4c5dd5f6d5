"""Judges an audit: whether every row is as it was written, none is missing, and the anchors say the same.

Reads one moment of the file, also while an engine writes it. Four witnesses are compared: the hashes of the rows, the head
of each chain, the anchors beside and elsewhere, and the journal, of which the rows after the last anchor are derived anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pilotage.runtime.audit.anchors import FOLDER, AnchorLine, read_anchors
from pilotage.runtime.audit.chain_check import ChainCheck
from pilotage.runtime.audit.journal_check import check_journal
from pilotage.runtime.audit.store import read_head, reading, seal_of
from pilotage.runtime.audit.verified import MOST_FLAWS, Say, Verified
from pilotage.runtime.journal import sqlite

_DAMAGED: Final = (
    "bytes of it were changed, or the disk lost them; restore a backup and keep this file"
)


def verify(
    path: Path,
    *,
    anchor_folder: Path | None = None,
    journal: Path | None = None,
    whole_journal: bool = False,
    say: Say = lambda rows: None,
) -> Verified:
    """Judge an audit.

    Args:
        path: The file; the folder `anchors` stands beside it.
        anchor_folder: The second folder of anchors.
        journal: The journal, whose decisions are derived anew; None leaves it out.
        whole_journal: Derive everything that the journal holds, not only what came after the last anchor.
        say: Called now and then with the number of rows that were read.

    Raises:
        LogUnusableError: There is no audit, or it is of a newer version.
    """
    report = Verified()
    # An engine may add anchors meanwhile: those of before count, and of those of after the ones that this moment knows.
    own = path.parent / FOLDER
    before = [*read_anchors(own), *_copies(anchor_folder)]
    connection = reading(path)
    try:
        connection.execute("BEGIN")
        names = _partitions(connection)
        ends = {name: read_head(connection, name).number for name in names}
        lines = _settled(read_anchors(own), before, ends)
        copies = _settled(_copies(anchor_folder), before, ends)
        if anchor_folder is not None and not anchor_folder.is_dir():
            report.notes.append(f"{anchor_folder} is not there: its anchors were not compared")
        for name in names:
            chain = ChainCheck(connection, name, report)
            chain.check(say)
            chain.check_anchors(lines, str(Path(FOLDER)), is_copy=False)
            if anchor_folder is not None and copies:
                chain.check_anchors(copies, str(anchor_folder), is_copy=True)
            if journal is not None:
                check_journal(chain, journal, whole=whole_journal)
            report.chains.append(chain.found)
        _check_strangers([*lines, *copies], names, report)
        _check_memory(connection, report)
        _check_file(connection, report)
    except sqlite.DatabaseError as error:
        report.add("", 0, f"the file is damaged: {error}", _DAMAGED)
    finally:
        connection.close()
    return report


# ── the whole file ───────────────────────────────────────────────────────────────────────────


def _copies(folder: Path | None) -> list[AnchorLine]:
    return [] if folder is None else list(read_anchors(folder))


def _settled(
    lines: Iterable[AnchorLine], before: Sequence[AnchorLine], ends: Mapping[str, int]
) -> list[AnchorLine]:
    """Return the lines that must fit a moment: those that were there before it, and of newer ones those of its rows."""
    old = set(before)
    return [
        line
        for line in lines
        if line in old
        or line.anchor is None
        or line.anchor.last <= ends.get(line.anchor.partition, 0)
    ]


def _partitions(connection: Any) -> list[str]:
    """Return the names of all chains, also of those that should not be there."""
    names: set[str] = set()
    for table in ("heads", "entries", "persons", "memory"):
        found = connection.execute(
            f"SELECT DISTINCT CAST(partition AS BLOB) FROM {table}"
        ).fetchall()
        names |= {name.decode("utf-8", "replace") for (name,) in found}
    return sorted(names)


def _check_strangers(lines: Iterable[AnchorLine], names: Sequence[str], report: Verified) -> None:
    for line in lines:
        place = f"{line.file}:{line.number}"
        if line.anchor is None:
            report.add("", 0, f"{place} is no anchor: {line.text[:80]!r}", "the file was edited")
        elif line.anchor.partition not in names:
            what = f"{place} knows a chain {line.anchor.partition} that is not in the file"
            report.add("", 0, what, "the chain was removed, or another file was put in place")


def _check_memory(connection: Any, report: Verified) -> None:
    """Judge what is remembered for rows to come: a wrong reason would become a wrong row."""
    for partition, topic, name, value, seal in connection.execute(
        "SELECT CAST(partition AS BLOB), CAST(topic AS BLOB), CAST(name AS BLOB),"
        " CAST(value AS BLOB), seal FROM memory"
    ):
        texts = [raw.decode("utf-8", "replace") for raw in (partition, topic, name, value)]
        if seal_of(*texts) != seal:
            what = f"what is remembered of the {texts[1]} {texts[2]} does not match its checksum"
            report.add(texts[0], 0, what, "it was edited; rows to come would be wrong")


def _check_file(connection: Any, report: Verified) -> None:
    for (text,) in connection.execute(f"PRAGMA integrity_check({MOST_FLAWS})").fetchall():
        if text != "ok":
            report.add("", 0, f"the file is damaged: {text}", _DAMAGED)
