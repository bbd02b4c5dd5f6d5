"""`pilotage privacy`: what is kept of people, why, until when and where; a person's data out, or erased.

Each store of the engine has its door here (`STORES`). The history can give and erase; the audit has an erasure of its own
(`pilotage audit erase`); the journal forgets all its readings, and keeps what was decided and why for its time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import Parser, add_command
from pilotage.cli.asking import add_engine_options, add_person_options, person_of
from pilotage.cli.console import FAILED, OK, console, print_error, print_json, print_table, table
from pilotage.cli.history import settings_of, show_help

if TYPE_CHECKING:
    from pilotage.runtime.config import Settings
    from pilotage.runtime.history.file import PointRow
    from pilotage.runtime.history.reader import HistoryReader

DAY_S: Final = 86_400.0

_JOURNAL_NOTE: Final = "`privacy erase` deletes all inputs of journal.db and the snapshots of before; decisions go by their age alone."
LATE_S: Final = 3_600.0
"""Retention sweeps every few minutes while the engine runs; what is older than its limit by more than this is late."""
_EXAMPLES = """\
  pilotage privacy report
  pilotage privacy export plough-3 --to plough-3.json
  pilotage privacy erase plough-3 --reason "request of 2026-11-20"
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """Data of one class that one store keeps.

    Attributes:
        where: The file.
        what: Which points or records.
        policy: How they are recorded.
        keep_s: For how long at most.
        oldest: Begin of the oldest, seconds since 1970; None when there is nothing.
        older: Rows that are older than the limit, when that was looked at last; None when nobody looks.
    """

    where: str
    what: str
    privacy: str
    policy: str
    purpose: str
    basis: str
    keep_s: float
    oldest: float | None = None
    older: int | None = None
    note: str = ""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "privacy", "report, give out and erase what is kept of people", _EXAMPLES
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", parser_class=Parser
    )
    parser.set_defaults(run=lambda arguments: show_help(parser))
    report = add_command(
        actions, "report", "show what is kept, of which class, why, until when, and where"
    )
    add_engine_options(report)
    report.add_argument("--json", action="store_true", help="for programs")
    report.set_defaults(run=run_report)

    export = add_command(actions, "export", "write what is kept of an entity or a person as JSON")
    _add_id(export)
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help="the JSON file")
    add_engine_options(export)
    export.set_defaults(run=run_export)

    erase = add_command(
        actions, "erase", "erase an entity or a person from history, journal and snapshots"
    )
    _add_id(erase)
    add_person_options(erase, reason=True)
    add_engine_options(erase)
    erase.set_defaults(run=run_erase)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", help="an entity's id, or an id that points have as their value"
    )


# ── report ───────────────────────────────────────────────────────────────────────────────────


def run_report(arguments: argparse.Namespace) -> int:
    """Show every holding; exit 1 when something is older than its limit."""
    settings = settings_of(arguments)
    holdings = [holding for store in STORES for holding in store(settings)]
    if arguments.json:
        print_json([asdict(holding) for holding in holdings])
    elif not holdings:
        console().print(f"nothing is kept in {settings.storage.path} yet", markup=False)
    else:
        _print(holdings, settings)
    return FAILED if any(holding.older for holding in holdings) else OK


def _print(holdings: list[Holding], settings: Settings) -> None:
    zone = settings.site.zone
    rows = table(
        "WHERE", "WHAT", "CLASS", "RECORDED", "PURPOSE", "BASIS", "KEPT", "OLDEST", "TOO OLD"
    )
    for each in holdings:
        oldest = (
            ""
            if each.oldest is None
            else f"{datetime.fromtimestamp(each.oldest, zone):%Y-%m-%d %H:%M}"
        )
        older = "" if each.older is None else str(each.older)
        rows.row(
            *(each.where, each.what, each.privacy, each.policy, each.purpose, each.basis),
            *(f"{each.keep_s / DAY_S:g} d", oldest, older),
        )
    print_table(rows)
    for note in dict.fromkeys(each.note for each in holdings if each.note):
        console().print(note, style="quiet", markup=False)


def _history(settings: Settings) -> Iterator[Holding]:
    """Yield what the history keeps."""
    from pilotage.runtime.history.answers import history_status

    reader = _reader(settings)
    if reader is None:
        return
    found = history_status(reader, None)
    samples = {
        (proof.privacy, proof.limit_s): proof for proof in found.proofs if proof.what == "samples"
    }
    for group in found.groups:
        proof = samples.get((group.privacy, group.keep_s))
        yield Holding(
            where="history.db",
            what=f"{group.kind}.{group.point} ({group.points})",
            privacy=group.privacy,
            policy=group.policy,
            purpose=group.purpose,
            basis=group.basis,
            keep_s=group.keep_s,
            oldest=None if proof is None else proof.oldest,
            older=None if proof is None else proof.older,
        )


def _journal(settings: Settings) -> Iterator[Holding]:
    """Yield what the journal keeps: readings for a replay, and what was decided, with the names of those who ordered it."""
    from pilotage.ports import LogUnusableError
    from pilotage.runtime.journal import JournalReader
    from pilotage.runtime.ownership import THE_CITY
    from pilotage.service import JOURNAL_FILE

    path = settings.storage.path / JOURNAL_FILE
    with contextlib.suppress(LogUnusableError):
        reader = JournalReader(path)
        first = next(iter(reader.inputs(THE_CITY)), None)
        decision = next(iter(reader.decisions(THE_CITY)), None)
        late = datetime.now(UTC).timestamp() - LATE_S - settings.storage.journal_keep_s
        yield Holding(
            where="journal.db",
            what="inputs: every reading, personal points too",
            privacy="personal",
            policy="readings",
            purpose="the state after a restart, and replay",
            basis="",
            keep_s=settings.storage.journal_keep_inputs_s,
            oldest=None if first is None else first.now,
            note=_JOURNAL_NOTE,
        )
        yield Holding(
            where="journal.db",
            what="decisions, with the values that rules read and the names of those who gave orders",
            privacy="personal",
            policy="decisions",
            purpose="the record of what was done and why",
            basis="",
            keep_s=settings.storage.journal_keep_s,
            oldest=None if decision is None else decision.now,
            older=sum(1 for _ in reader.decisions(THE_CITY, until=late)),
        )


def _audit(settings: Settings) -> Iterator[Holding]:
    """Yield what the audit keeps."""
    from pilotage.runtime.audit.store import AUDIT_FILE
    from pilotage.runtime.journal import sqlite

    path = settings.storage.path / AUDIT_FILE
    if not path.exists():
        return
    connection = sqlite.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        (oldest,) = connection.execute("SELECT min(time) FROM entries").fetchone()
        late = datetime.now(UTC).timestamp() - LATE_S - settings.audit.keep_s
        (older,) = connection.execute(
            "SELECT count(*) FROM entries WHERE time < ?", (late,)
        ).fetchone()
    finally:
        connection.close()
    yield Holding(
        where="audit.db",
        what="who had what done, when and why",
        privacy="personal",
        policy="every order, command and login",
        purpose="the record of who operated what",
        basis="",
        keep_s=settings.audit.keep_s,
        oldest=oldest,
        older=older,
        note="audit.db has an erasure of its own: `pilotage audit erase PERSON`.",
    )


def _people(settings: Settings) -> Iterator[Holding]:
    """Yield what is kept of who may sign in to the pages."""
    from pilotage.runtime.web_process import FOLDER

    if not (settings.storage.path / FOLDER / "people.db").is_file():
        return
    yield Holding(
        where=f"{FOLDER}/people.db",
        what="accounts, sessions, known browsers",
        privacy="personal",
        policy="what somebody needs to come in",
        purpose="knowing who operates what",
        basis="",
        keep_s=90 * DAY_S,
        note="accounts in people.db stay until `pilotage user remove`; a session ends after 12 h, a browser is forgotten after 90 d.",
    )


STORES: Final[tuple[Callable[[Settings], Iterator[Holding]], ...]] = (
    _history,
    _journal,
    _audit,
    _people,
)
"""Every store that keeps something; a new one adds its function here."""


# ── export and erase ─────────────────────────────────────────────────────────────────────────


def run_export(arguments: argparse.Namespace) -> int:
    """Write everything of an entity, and every moment at which it was the value of another point."""
    settings = settings_of(arguments)
    reader = _reader(settings)
    if reader is None:
        print_error("there is no history to give anything out of")
        return FAILED
    until = reader.alive() + 1.0
    found: list[dict[str, Any]] = []
    for point in reader.points():
        rows = list(_rows_of(reader, point, arguments.id, until))
        if rows:
            found.append({**_about(point), "values": rows})
    made = {"id": arguments.id, "site": settings.site.name, "points": found}
    text = json.dumps(made, ensure_ascii=False, indent=1)
    arguments.to.write_text(text, encoding="utf-8")
    count = sum(len(each["values"]) for each in found)
    console().print(f"{count:,} values of {len(found):,} points in {arguments.to}", markup=False)
    return OK


def _rows_of(
    reader: HistoryReader, point: PointRow, id_: str, until: float
) -> Iterator[dict[str, Any]]:
    """Yield the values of an entity's own point, or those of another point that name it."""
    from pilotage.runtime.history.upkeep import REFERS

    is_own = point.id.partition(".")[0] == id_
    if not is_own and point.base not in REFERS:
        return
    for value in reader.samples(point.id, 0.0, until):
        if is_own or value.value == id_:
            time = datetime.fromtimestamp(value.time, UTC).isoformat(timespec="milliseconds")
            yield {"time": time, "value": value.value, "quality": value.quality.value}


def _about(point: PointRow) -> dict[str, Any]:
    return {
        "point": point.id,
        "class": point.privacy,
        "unit": point.unit,
        "purpose": point.purpose,
        "basis": point.basis,
        "kept_days": point.keep_s / DAY_S,
    }


def run_erase(arguments: argparse.Namespace) -> int:
    """Erase through the running engine, else in the file itself."""
    from pilotage.api import ApiError, Client, EraseHistory, NoEngineError
    from pilotage.ports import LogUnusableError, OwnedElsewhereError

    settings = settings_of(arguments)
    order = EraseHistory(entity=arguments.id, person=person_of(arguments), reason=arguments.reason)
    try:
        try:
            with Client(arguments.socket or settings.control.socket) as client:
                text = client.ask(order).text
        except NoEngineError:
            text = _erase_in_files(settings, arguments.id)
    except ApiError as error:
        print_error(error.text, error.mend)
        return FAILED
    except (LogUnusableError, OwnedElsewhereError) as error:
        print_error(str(error))
        return FAILED
    out = console()
    out.print(f"[good]done[/good]: {text}")
    out.print(
        "decisions that name it stay until storage.journal.keep is over; `pilotage audit erase` is for the audit;"
        " backups are yours to delete",
        style="quiet",
    )
    out.print(
        "what devices report of it from now on is recorded again, unless history.points says never",
        style="quiet",
    )
    return OK


def _erase_in_files(settings: Settings, id_: str) -> str:
    """Erase while no engine runs; returns what was done."""
    from pilotage.runtime.ownership import THE_CITY, FileOwnership

    owner = FileOwnership(settings.storage.path)
    owner.acquire(THE_CITY)
    try:
        rows = _erase_in_history(settings, id_)
        left = _forget_in_journal(settings)
    finally:
        owner.release(THE_CITY)
    text = f"{rows} rows of the history were erased, and every reading and order of the journal"
    if left:
        text += f" but {left} that came after the last snapshot; start the engine and erase again to have those gone too"
    return text


def _erase_in_history(settings: Settings, id_: str) -> int:
    from pilotage.ports import LogUnusableError
    from pilotage.runtime.health import Health
    from pilotage.runtime.history.file import HISTORY_FILE, open_history
    from pilotage.runtime.history.upkeep import Upkeep

    path = settings.storage.path / HISTORY_FILE
    if not path.exists():
        raise LogUnusableError(f"{path}: there is no history")
    connection = open_history(path)
    try:
        now = datetime.now(UTC).timestamp()
        return Upkeep(settings.site.zone, settings.history, Health()).erase(connection, id_, now)
    finally:
        connection.close()


def _forget_in_journal(settings: Settings) -> int:
    """Delete the journal's inputs up to the newest snapshot, and the snapshots before it; returns how many inputs are left."""
    from pilotage.runtime.health import Health
    from pilotage.runtime.journal.retention import forget_inputs_until
    from pilotage.runtime.journal.schema import connect, open_for_writing
    from pilotage.runtime.ownership import THE_CITY
    from pilotage.runtime.snapshots import FileSnapshots
    from pilotage.service import JOURNAL_FILE, SNAPSHOT_FOLDER

    path = settings.storage.path / JOURNAL_FILE
    if not path.exists():
        return 0
    snapshots = FileSnapshots(settings.storage.path / SNAPSHOT_FOLDER, Health())
    snapshots.keep_newest(THE_CITY)
    connection = connect(str(path))
    try:
        open_for_writing(connection, path, "full")
        return forget_inputs_until(connection, THE_CITY, snapshots.newest_position(THE_CITY) or 0)
    finally:
        connection.close()


def _reader(settings: Settings) -> HistoryReader | None:
    """Return what reads the history, None when there is none."""
    from pilotage.ports import LogUnusableError
    from pilotage.runtime.history.file import HISTORY_FILE
    from pilotage.runtime.history.reader import HistoryReader

    with contextlib.suppress(LogUnusableError):
        return HistoryReader(settings.storage.path / HISTORY_FILE, settings.site.zone)
    return None
