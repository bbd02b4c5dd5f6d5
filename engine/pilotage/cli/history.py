"""`pilotage history`: what a point was, exports for other programs, and what is recorded at all."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import Parser, add_command
from pilotage.cli.asking import add_engine_options, clock_text, span_text
from pilotage.cli.chart import chart, resampled
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
    from zoneinfo import ZoneInfo

    from pilotage.api import HistoryStatus, PastValue, PointHistory, Question, Rollup
    from pilotage.runtime.config import Settings
    from pilotage.runtime.history.file import PointRow
    from pilotage.runtime.history.reader import HistoryReader

LEVELS: Final = ("1min", "15min", "1h", "1d")
WIDTH: Final = 64
ROWS: Final = 30
BATCH: Final = 50_000

_EXAMPLES = """\
  pilotage history show seg-12.lights.level
  pilotage history show D-121.flow --since -7d --every 1h
  pilotage history export --to flows.parquet --kind detector --since 2026-11-01
  pilotage history status

`pilotage history show --help` says more. Times are the city's.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "history", "show, export and count the values that were recorded", _EXAMPLES
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", parser_class=Parser
    )
    parser.set_defaults(run=lambda arguments: show_help(parser))
    _register_show(actions)
    _register_export(actions)
    status = add_command(
        actions,
        "status",
        "show how much is recorded, by which policies, and the proof of retention",
    )
    add_engine_options(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=run_status)


def show_help(parser: argparse.ArgumentParser) -> int:
    """Show what a command can do when no action of it was named."""
    parser.print_help(sys.stderr)
    return USAGE


def _register_show(actions: Any) -> None:
    show = add_command(actions, "show", "show the values of a point over time")
    show.add_argument("point", metavar="POINT", help="ENTITY.POINT")
    _add_span(show, "-24h")
    show.add_argument(
        "--most", type=int, default=ROWS, metavar="N", help=f"rows to show (default: {ROWS})"
    )
    show.add_argument("--json", action="store_true", help="for programs; all values")
    add_engine_options(show)
    show.set_defaults(run=run_show)


def _register_export(actions: Any) -> None:
    export = add_command(actions, "export", "write recorded values into a CSV or Parquet file")
    export.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="ends in .csv or .parquet"
    )
    export.add_argument(
        "--points", default="*", metavar="PATTERN", help="such as 'seg-*.lights.level'"
    )
    export.add_argument("--kind", default="", metavar="KIND", help="only entities of this kind")
    _add_span(export, "")
    add_engine_options(export)
    export.set_defaults(run=run_export)


def _add_span(parser: argparse.ArgumentParser, since: str) -> None:
    parser.add_argument(
        "--since",
        default=since,
        metavar="TIME",
        help=f"23:40, 2026-01-15, -7d (default: {since or 'the beginning'})",
    )
    parser.add_argument("--until", default="", metavar="TIME", help="default: now")
    parser.add_argument(
        "--every", choices=LEVELS, default="", help="roll-ups of this length instead of values"
    )
    # argparse takes `-7d` for an option that does not exist unless it looks like a negative number.
    parser._negative_number_matcher = re.compile(r"^-\d")


# ── show ─────────────────────────────────────────────────────────────────────────────────────


def run_show(arguments: argparse.Namespace) -> int:
    """Show one point."""
    from pilotage.api import HistoryOf

    def talk(ask: Ask, settings: Settings, now: float) -> int:
        since, until = _span(arguments, now, settings.site.zone)
        question = HistoryOf(
            point=arguments.point, since=since, until=until, every=arguments.every, most=2_000
        )
        found = ask(question)
        if arguments.json:
            from msgspec import to_builtins

            print_json(to_builtins(found))
        else:
            _print_history(found, arguments.most, settings.site.zone)
        return OK

    return asked(arguments, talk)


def _print_history(found: PointHistory, most: int, zone: ZoneInfo) -> None:
    out = console()
    unit = f" {found.unit}" if found.unit else ""
    head = f"{found.point}   {_when(found.since, zone)} to {_when(found.until, zone)}"
    out.print(head, style="bold", markup=False)
    out.print(f"recorded: {found.policy}; {found.privacy}", style="quiet", markup=False)
    numbers = _numbers(found)
    _print_chart(resampled(numbers, found.since, found.until, WIDTH), unit)
    if found.rollups:
        _print_rollups(found.rollups, most, unit, zone)
    elif found.values:
        _print_values(found.values, most, unit, zone)
    else:
        out.print("nothing was recorded in this time")


def _numbers(found: PointHistory) -> list[tuple[float, float | None]]:
    if found.rollups:
        ends = [(bucket.start, bucket.mean) for bucket in found.rollups]
        last = found.rollups[-1]
        return [*ends, (last.start + last.width_s, None)]
    if any(isinstance(value.value, float) for value in found.values):
        return [(v.time, v.value if isinstance(v.value, float) else None) for v in found.values]
    return []


def _print_chart(columns: Sequence[float | None], unit: str) -> None:
    known = [number for number in columns if number is not None]
    for index, line in enumerate(chart(columns)):
        label = f"{max(known):.6g}{unit}" if index == 0 else ""
        console().print(f"{label:>14} │{line}", markup=False)
    if known:
        console().print(f"{f'{min(known):.6g}{unit}':>14} ┴{'─' * WIDTH}", markup=False)


def _print_values(values: Sequence[PastValue], most: int, unit: str, zone: ZoneInfo) -> None:
    rows = table("TIME", "VALUE", "QUALITY")
    for value in values[-most:]:
        mark = " (still)" if value.still else ""
        shown = "unknown" if value.value is None else f"{_text(value.value)}{unit}"
        rows.row(_when(value.time, zone), shown, value.quality + mark)
    print_table(rows)
    _left_out(len(values) - most)


def _print_rollups(buckets: Sequence[Rollup], most: int, unit: str, zone: ZoneInfo) -> None:
    is_number = any(bucket.mean is not None for bucket in buckets)
    names = ("MEAN", "LEAST", "LARGEST") if is_number else ("SHARES",)
    rows = table("FROM", *names, "KNOWN", "READINGS")
    for bucket in buckets[-most:]:
        shares = sorted(bucket.shares.items(), key=lambda pair: -pair[1])
        cells = (
            [_number(n, unit) for n in (bucket.mean, bucket.low, bucket.high)]
            if is_number
            else [", ".join(f"{word} {share:.0%}" for word, share in shares)]
        )
        rows.row(_when(bucket.start, zone), *cells, f"{bucket.known:.0%}", str(bucket.count))
    print_table(rows)
    _left_out(len(buckets) - most)


def _left_out(count: int) -> None:
    if count > 0:
        console().print(
            f"{count:,} earlier rows are left out; --most shows more, --every fewer", style="quiet"
        )


def _number(number: float | None, unit: str) -> str:
    return "" if number is None else f"{number:.6g}{unit}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _when(time: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(time, zone):%Y-%m-%d %H:%M:%S}"


# ── status ───────────────────────────────────────────────────────────────────────────────────


def run_status(arguments: argparse.Namespace) -> int:
    """Show what is recorded."""
    from pilotage.api import GetHistoryStatus

    def talk(ask: Ask, settings: Settings, now: float) -> int:
        found = ask(GetHistoryStatus())
        if arguments.json:
            from msgspec import to_builtins

            print_json(to_builtins(found))
        else:
            _print_status(found, now)
        return OK

    return asked(arguments, talk)


def _print_status(found: HistoryStatus, now: float) -> None:
    out = console()
    out.print(f"{found.file}: {size_text(found.bytes)}", style="bold", markup=False)
    each = (
        f", {found.bytes / found.samples:.1f} bytes each with all roll-ups" if found.samples else ""
    )
    out.print(f"{found.samples:,} samples in {found.blocks:,} blocks{each}", markup=False)
    if found.oldest is not None:
        days = (now - found.oldest) / 86_400
        rate = f", {size_text(int(found.bytes / days))} a day" if days >= 1 else ""
        out.print(f"the oldest is {span_text(now - found.oldest)} old{rate}", markup=False)
    if found.recorded is not None and found.readings is not None:
        line = f"since the engine's start: {found.readings:,} readings, {found.recorded:,} samples of them"
        out.print(line, markup=False)
    groups = table("KIND", "POINT", "CLASS", "RECORDED", "KEPT", "PURPOSE", "POINTS")
    for group in found.groups:
        why = f"{group.purpose} ({group.basis})" if group.purpose else ""
        groups.row(
            *(group.kind, group.point, group.privacy, group.policy),
            *(f"{group.keep_s / 86_400:g} d", why, str(group.points)),
        )
    print_table(groups)
    _print_proofs(found)
    for gap in found.gaps:
        out.print(
            f"not recorded: {clock_text(gap.since)} to {clock_text(gap.until)}, {gap.why}",
            style="quiet",
            markup=False,
        )


def _print_proofs(found: HistoryStatus) -> None:
    if not found.proofs:
        return
    proofs = table("CLASS", "WHAT", "LIMIT", "OLDER THAN IT", "OLDEST", "LOOKED AT")
    for proof in found.proofs:
        proofs.row(
            *(proof.privacy, proof.what, f"{proof.limit_s / 86_400:g} d", str(proof.older)),
            *(clock_text(proof.oldest), clock_text(proof.time)),
        )
    print_table(proofs)


def size_text(count: int) -> str:
    """Return a number of bytes as people read it: `1.2 GB`."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"


# ── export ───────────────────────────────────────────────────────────────────────────────────

VALUE_COLUMNS: Final = ("time", "point", "kind", "value", "text", "quality", "still")
ROLLUP_COLUMNS: Final = (
    *("time", "point", "kind", "width_s", "known", "readings"),
    *("mean", "least", "largest", "shares"),
)


def run_export(arguments: argparse.Namespace) -> int:
    """Write a file; it appears under its name when it is whole."""
    form = arguments.to.suffix.lower()
    if form not in (".csv", ".parquet"):
        print_error(
            f"{arguments.to}: the name does not say what to write", "end it in .csv or .parquet"
        )
        return USAGE
    if form == ".parquet" and not _has_pyarrow():
        print_error("Parquet files are written with pyarrow, which is not installed", "pip install 'pilotage[parquet]', or write a .csv")  # fmt: skip
        return FAILED

    def talk(ask: Ask, settings: Settings, now: float) -> int:
        from pilotage.api import GetHistoryStatus

        ask(GetHistoryStatus())  # a running engine writes its newest values first
        since, until = _span(arguments, now, settings.site.zone)
        reader = _reader(settings)
        points = reader.points(arguments.points, arguments.kind)
        if not points:
            print_error("no point was ever recorded that fits", "see `pilotage history status`")
            return FAILED
        rows = _rows(reader, points, since or 0.0, until, arguments.every)
        columns = ROLLUP_COLUMNS if arguments.every else VALUE_COLUMNS
        count = _write(arguments.to, columns, rows)
        console().print(f"{count:,} rows of {len(points):,} points in {arguments.to}", markup=False)
        return OK

    return asked(arguments, talk)


def _rows(
    reader: HistoryReader, points: Sequence[PointRow], since: float, until: float, every: str
) -> Iterator[tuple[Any, ...]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn("{task.completed}/{task.total} points"), BarColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console(sys.stderr), transient=True) as progress:
        for point in progress.track(points):
            if every:
                yield from _rollup_rows(reader, point, since, until, every)
            else:
                yield from _value_rows(reader, point, since, until)


def _value_rows(
    reader: HistoryReader, point: PointRow, since: float, until: float
) -> Iterator[tuple[Any, ...]]:
    for value in reader.samples(point.id, since, until):
        number = value.value if isinstance(value.value, float) else None
        text = None if number is not None or value.value is None else _exported(value.value)
        yield (
            *(_utc(value.time), point.id, point.kind, number, text),
            *(value.quality.value, value.is_still),
        )


def _rollup_rows(
    reader: HistoryReader, point: PointRow, since: float, until: float, every: str
) -> Iterator[tuple[Any, ...]]:
    for b in reader.rollups(point.id, since, until, every):
        shares = {word: round(seconds / b.width_s, 6) for word, seconds in b.spent.items()}
        yield (
            *(_utc(b.start), point.id, point.kind, b.width_s, b.known, b.count),
            *(b.mean, b.low, b.high, json.dumps(shares, ensure_ascii=False) if shares else None),
        )


def _exported(value: Any) -> str:
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _utc(time: float) -> datetime:
    return datetime.fromtimestamp(round(time, 3), UTC)


def _write(path: Path, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
    part = path.with_name(f"{path.name}.part")
    try:
        write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
        count = write(part, columns, rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(columns)
        for time, *rest in rows:
            out.writerow([time.isoformat(timespec="milliseconds"), *(_cell(cell) for cell in rest)])
            count += 1
    return count


def _cell(cell: Any) -> Any:
    return _text(cell) if isinstance(cell, bool) else "" if cell is None else cell


def _write_parquet(path: Path, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(pa, columns)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        for batch in _batches(rows, BATCH):
            arrays = [pa.array(column, field.type) for column, field in zip(zip(*batch, strict=True), schema, strict=True)]  # fmt: skip
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count


def _schema(pa: Any, columns: Sequence[str]) -> Any:
    types = {
        "time": pa.timestamp("ms", tz="UTC"),
        "still": pa.bool_(),
        "readings": pa.int64(),
        **dict.fromkeys(("value", "width_s", "known", "mean", "least", "largest"), pa.float64()),
        **dict.fromkeys(("point", "kind", "quality"), pa.dictionary(pa.int32(), pa.string())),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in columns])


def _batches(rows: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _has_pyarrow() -> bool:
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


# ── asking: the running engine, else the file ────────────────────────────────────────────────

Ask = Callable[["Question[Any]"], Any]


def asked(arguments: argparse.Namespace, talk: Callable[[Ask, Settings, float], int]) -> int:
    """Run `talk` with something that answers: the running engine, or the file when none runs.

    Raises:
        RuleError: The configuration cannot be read.
    """
    from pilotage.api import ApiError, Client, GetStatus, NoEngineError
    from pilotage.cli.explain import TimeError
    from pilotage.ports import LogUnusableError

    settings = settings_of(arguments)
    try:
        try:
            with Client(arguments.socket or settings.control.socket) as client:
                return talk(client.ask, settings, client.ask(GetStatus()).now)
        except NoEngineError:
            now = datetime.now().astimezone().timestamp()
            return talk(_file_answers(settings, now), settings, now)
    except ApiError as error:
        print_error(error.text, error.mend)
    except LogUnusableError as error:
        print_error(str(error))
    except TimeError as error:
        print_error(str(error), 'write 23:40, 2026-01-15, "2026-01-15 23:40" or -7d')
        return USAGE
    return FAILED


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return what the configuration says.

    Raises:
        RuleError: It cannot be read.
    """
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings

    read = read_settings(arguments.config, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return read.settings


def _file_answers(settings: Settings, now: float) -> Ask:
    """Return what answers from the file."""
    from pilotage.api import HistoryOf
    from pilotage.runtime.history.answers import history_of, history_status

    def ask(question: Question[Any]) -> Any:
        reader = _reader(settings)
        if isinstance(question, HistoryOf):
            return history_of(reader, question, now)
        return history_status(reader, None)

    return ask


def _reader(settings: Settings) -> HistoryReader:
    from pilotage.runtime.history.file import HISTORY_FILE
    from pilotage.runtime.history.reader import HistoryReader

    return HistoryReader(settings.storage.path / HISTORY_FILE, settings.site.zone)


def _span(arguments: argparse.Namespace, now: float, zone: ZoneInfo) -> tuple[float | None, float]:
    """Return since and until.

    Raises:
        TimeError: One of them is no time.
    """
    from pilotage.cli.explain import time_of

    since = time_of(arguments.since, now, zone) if arguments.since else None
    return since, time_of(arguments.until, now, zone) if arguments.until else now
