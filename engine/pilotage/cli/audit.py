"""`pilotage audit`: who had what done, when and why; whether the record is whole; and the erasure of a person."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option, add_engine_options, add_person_options, person_of
from pilotage.cli.console import (
    FAILED,
    OK,
    USAGE,
    console,
    print_error,
    print_json,
    print_table,
    table,
)

if TYPE_CHECKING:
    from pilotage.runtime.audit.reader import Shown, Wanted
    from pilotage.runtime.audit.verified import Verified
    from pilotage.runtime.config import Settings

LAST: Final = 50

_EXAMPLES = """\
  pilotage audit show --entity seg-12 --since 22:00
  pilotage audit show --person m.garcia --last 20
  pilotage audit show --kind access --json
  pilotage audit verify
  pilotage audit export may.csv --since 2026-05-01 --until 2026-06-01
  pilotage audit erase m.garcia --reason "left the service, request of 12 May"

Everything but `erase` reads the file and needs no engine; `erase` asks the running engine, or does it itself when none
runs. Times are the city's.
"""
_COLUMNS = (
    *("partition", "number", "time", "kind", "action", "subject", "value", "rule", "identity"),
    *("decision", "origin", "person", "account", "about", "reason", "address", "post", "detail"),
)


def register(subparsers: Any) -> None:
    """Add the sub-command with its own."""
    parser = add_command(
        subparsers, "audit", "show, verify and export who had what done, when and why", _EXAMPLES
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="show rows, the newest last", allow_abbrev=False)
    _add_choice(show)
    show.add_argument("--last", type=int, metavar="N", help=f"only so many (default: {LAST})")
    show.add_argument("--json", action="store_true", help="for programs")
    add_config_option(show)
    show.set_defaults(run=_show)
    export = actions.add_parser("export", help="write rows to a file", allow_abbrev=False)
    export.add_argument("file", metavar="FILE", help="its ending says the form; - is the terminal")
    export.add_argument(
        "--format", choices=("csv", "jsonl"), help="a table, or one JSON object a line"
    )
    _add_choice(export)
    add_config_option(export)
    export.set_defaults(run=_export)
    verify = actions.add_parser(
        "verify", help="find every row that was changed, removed or added", allow_abbrev=False
    )
    verify.add_argument(
        "--journal",
        action="store_true",
        help="compare everything that the journal holds, not only what came after the last anchor",
    )
    verify.add_argument("--json", action="store_true", help="for programs")
    add_config_option(verify)
    verify.set_defaults(run=_verify)
    erase = actions.add_parser(
        "erase", help="erase what is told of a person; the chain stays whole", allow_abbrev=False
    )
    erase.add_argument("name", metavar="PERSON", help="exactly as `show` writes it")
    add_person_options(erase, reason=True)
    add_engine_options(erase)
    erase.set_defaults(run=_erase)
    parser.set_defaults(run=_show)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose rows."""
    parser.add_argument(
        "--person", metavar="NAME", default="", help="who did it, or had it done to"
    )
    parser.add_argument(
        "--entity", metavar="ID", default="", help="an entity with its points, or a point"
    )
    parser.add_argument("--rule", metavar="NAME", default="", help="a rule, or plan:NAME")
    parser.add_argument("--kind", metavar="KIND", default="", help="command, override, access, …")
    parser.add_argument("--since", metavar="TIME", help="23:40, a date, or -10m")
    parser.add_argument("--until", metavar="TIME", help="the same; this time itself is left out")
    parser.add_argument("--partition", metavar="NAME", default="", help="one of several chains")
    # argparse takes `-10m` for an option that does not exist unless it looks like a negative number.
    parser._negative_number_matcher = re.compile(r"^-\d")


# ── what all of them need ────────────────────────────────────────────────────────────────────


def _settings(arguments: argparse.Namespace) -> Settings:
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings

    read = read_settings(arguments.config, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return read.settings


def _file(settings: Settings) -> Path:
    from pilotage.runtime.audit.store import AUDIT_FILE

    return settings.storage.path / AUDIT_FILE


def _guarded(work: Callable[[], int]) -> int:
    """Do something with the file; what is wrong with it is shown with its mend."""
    from pilotage.ports import LogUnusableError
    from pilotage.runtime.journal import sqlite

    try:
        return work()
    except LogUnusableError as error:
        print_error(str(error))
    except sqlite.DatabaseError as error:
        print_error(f"the audit cannot be read: {error}", "run `pilotage audit verify`")
    return FAILED


def _wanted(arguments: argparse.Namespace, settings: Settings, last: int | None) -> Wanted | None:
    """Return which rows the options choose; None when one of them is wrong, which is told."""
    from pilotage.cli.explain import TimeError, time_of
    from pilotage.runtime.audit.entries import KINDS
    from pilotage.runtime.audit.reader import Wanted

    if arguments.kind and arguments.kind not in KINDS:
        print_error(f'there is no kind "{arguments.kind}"', f"write one of {', '.join(KINDS)}")
        return None
    now = datetime.now().astimezone().timestamp()
    times: list[float | None] = []
    for written in (arguments.since, arguments.until):
        try:
            times.append(None if written is None else time_of(written, now, settings.site.zone))
        except TimeError as error:
            print_error(str(error), 'write 23:40, "2026-01-15 23:40" or -10m')
            return None
    return Wanted(
        partition=arguments.partition,
        person=arguments.person,
        entity=arguments.entity,
        rule=arguments.rule,
        kind=arguments.kind,
        since=times[0],
        until=times[1],
        last=last,
    )


# ── show ─────────────────────────────────────────────────────────────────────────────────────


def _show(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    wanted = _wanted(arguments, settings, LAST if arguments.last is None else arguments.last)
    if wanted is None:
        return USAGE

    def work() -> int:
        from pilotage.runtime.audit.reader import AuditReader

        rows = list(AuditReader(_file(settings)).rows(wanted))
        if arguments.json:
            print_json([row.as_record() for row in rows])
        elif not rows:
            console().print("no row fits")
        else:
            _print_rows(rows, settings)
        return OK

    return _guarded(work)


def _print_rows(rows: list[Shown], settings: Settings) -> None:
    several = len({row.partition for row in rows}) > 1
    made = table("ROW", "TIME", "WHAT", "ON", "VALUE", "WHO", "WHY")
    for row in rows:
        number = f"{row.partition}:{row.number}" if several else str(row.number)
        moment = datetime.fromtimestamp(row.time, settings.site.zone)
        made.row(
            number,
            f"{moment:%Y-%m-%d %H:%M:%S}",
            f"{row.kind} {row.action}".replace("_", " "),
            row.subject,
            _value(row),
            who(row),
            why(row),
        )
    print_table(made)


def _value(row: Shown) -> str:
    from pilotage.model.values import format_value

    if row.value is None:
        return ""
    return format_value(row.value) if not isinstance(row.value, dict) else json.dumps(row.value)


def who(row: Shown) -> str:
    """Return who had it done: the person, or the rule with its meaning's hash, and by which way."""
    person = row.people.get("person") or row.people.get("account", "")
    if not person and ("person" in row.erased or "account" in row.erased):
        person = "(erased)"
    if not person:
        return f"{row.rule} @{row.identity[:8]}" if row.identity else row.rule or row.origin
    about = row.people.get("about", "")
    shown = f"{person} (of {about})" if about else person
    return shown if row.origin == "engine" else f"{shown}, {row.origin}"


def why(row: Shown) -> str:
    """Return why, in a few words: what a person wrote, what the condition had read, why it was refused."""
    because = row.detail.get("because") or row.detail.get("released") or {}
    words = [str(row.detail[key]) for key in ("why", "first") if row.detail.get(key)]
    if row.people.get("reason"):
        words.append(row.people["reason"])
    for word, names in row.detail.get("rules changed", {}).items():
        words.append(f"{word}: {', '.join(names)}")
    if row.action == "started" and row.detail.get("before"):
        words.append(f"before: {row.detail['before']}")
    detail = row.detail.get("detail")
    if isinstance(detail, str) and detail:
        words.append(detail)
    if because.get("why"):
        words.append(str(because["why"]))
    if because.get("read"):
        words.append(_read(because["read"]))
    elif row.detail.get("reason"):
        words.append(str(row.detail["reason"]))
    return "; ".join(words)


def _read(values: dict[str, Any]) -> str:
    from pilotage.model.values import format_value

    return ", ".join(f"{point.lstrip('=')} {format_value(v)}" for point, v in values.items())


# ── export ───────────────────────────────────────────────────────────────────────────────────


def _export(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    wanted = _wanted(arguments, settings, None)
    if wanted is None:
        return USAGE
    form = arguments.format or ("csv" if arguments.file.endswith(".csv") else "jsonl")

    def work() -> int:
        from pilotage.runtime.audit.reader import AuditReader

        rows = AuditReader(_file(settings)).rows(wanted)
        with _target(arguments.file) as target:
            count = (_write_csv if form == "csv" else _write_lines)(rows, target)
        if arguments.file != "-":
            console(sys.stderr).print(f"{count} rows written to {arguments.file}", markup=False)
        return OK

    return _guarded(work)


@contextlib.contextmanager
def _target(name: str) -> Iterator[Any]:
    if name == "-":
        yield sys.stdout
        return
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        yield file


def _write_lines(rows: Iterable[Shown], target: Any) -> int:
    count = 0
    for row in rows:
        target.write(json.dumps(row.as_record(), ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_csv(rows: Iterable[Shown], target: Any) -> int:
    writer = csv.writer(target)
    writer.writerow(_COLUMNS)
    count = 0
    for row in rows:
        writer.writerow([_cell(row, column) for column in _COLUMNS])
        count += 1
    return count


def _cell(row: Shown, column: str) -> str:
    """Return a cell of a table; one that a spreadsheet would take for a formula is written as a text."""
    if column == "time":
        return datetime.fromtimestamp(row.time).astimezone().isoformat()
    if column in ("value", "detail"):
        found = getattr(row, column)
        return "" if found in (None, {}) else json.dumps(found, ensure_ascii=False)
    text = str(row.people.get(column, "") if column not in row.__slots__ else getattr(row, column))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


# ── verify ───────────────────────────────────────────────────────────────────────────────────


def _verify(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    def work() -> int:
        from pilotage.runtime.audit.verify import verify
        from pilotage.service import JOURNAL_FILE

        with _progress() as say:
            found = verify(
                _file(settings),
                anchor_folder=settings.audit.anchor_folder,
                journal=settings.storage.path / JOURNAL_FILE,
                whole_journal=arguments.journal,
                say=say,
            )
        if arguments.json:
            print_json(_verified_record(found))
        else:
            _print_verified(found)
        return OK if found.is_sound else FAILED

    return _guarded(work)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show how many rows were read, on a terminal only."""
    out = console(sys.stderr)
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    with out.status("reading the audit") as status:
        yield lambda rows: status.update(f"reading the audit: {rows:,} rows")


def _print_verified(found: Verified) -> None:
    out = console()
    for flaw in found.flaws:
        place = f"{flaw.partition}, row {flaw.number}" if flaw.number else flaw.partition or "file"
        out.print(f"{place}: {flaw.what}", style="bad", markup=False)
        out.print(f"   {flaw.meaning}", markup=False)
    if found.left_out:
        out.print(f"and {found.left_out} more", markup=False)
    made = table(
        "CHAIN", "ROWS", "FROM", "TO", "ANCHORED TO", "ANCHORS", "ERASED", "DECISIONS COMPARED"
    )
    for chain in found.chains:
        counts = (chain.rows, chain.first, chain.last, chain.anchored)
        more = (chain.anchors, chain.erased, chain.journal)
        made.row(chain.partition, *(f"{n:,}" for n in (*counts, *more)))
    print_table(made)
    for note in found.notes:
        out.print(f"note: {note}", style="warn", markup=False)
    if found.is_sound:
        out.print("[good]sound[/good]: every row is as it was written")
    else:
        out.print(
            "[bad]not sound[/bad]: keep a copy of the storage folder as it is before anything else"
        )


def _verified_record(found: Verified) -> dict[str, Any]:
    import dataclasses

    return {"sound": found.is_sound, **dataclasses.asdict(found)}


# ── erase ────────────────────────────────────────────────────────────────────────────────────


def _erase(arguments: argparse.Namespace) -> int:
    from pilotage.api import ApiError, Client, EraseFromAudit, NoEngineError

    settings = _settings(arguments)
    person = person_of(arguments)
    order = EraseFromAudit(erase=arguments.name, person=person, reason=arguments.reason)
    try:
        with Client(arguments.socket or settings.control.socket, via="cli") as client:
            return _show_erased(client.ask(order).rows, arguments.name, settings)
    except NoEngineError:
        return _guarded(lambda: _erase_alone(arguments, settings, person))
    except ApiError as error:
        print_error(error.text, error.mend)
        return FAILED


def _erase_alone(arguments: argparse.Namespace, settings: Settings, person: str) -> int:
    """Erase without an engine, as the owner of its storage meanwhile."""
    import getpass

    from pilotage.ports import OwnedElsewhereError
    from pilotage.runtime.audit.log import erase_alone
    from pilotage.runtime.ownership import THE_CITY, FileOwnership

    if not _file(settings).exists():
        print_error(f"{_file(settings)}: there is no audit yet", "`pilotage run` makes one")
        return FAILED
    owner = FileOwnership(settings.storage.path)
    try:
        owner.acquire(THE_CITY)
    except OwnedElsewhereError as error:
        print_error(str(error), "ask that engine: name its socket with --socket")
        return FAILED
    people = {"person": person, "account": getpass.getuser(), "reason": arguments.reason}
    try:
        rows = erase_alone(_file(settings), arguments.name, people)
    finally:
        owner.release(THE_CITY)
    return _show_erased(rows, arguments.name, settings)


def _show_erased(rows: int, name: str, settings: Settings) -> int:
    out = console()
    if not rows:
        out.print(f"no row of the audit tells of {name}", markup=False)
        return OK
    out.print(f"erased: {rows} rows told of {name}; that it was done is a row itself", markup=False)
    days = settings.storage.journal_keep_s / 86_400
    out.print(
        f"the journal holds people's orders for {days:g} days, then it forgets them",
        style="quiet",
        markup=False,
    )
    return OK
