"""`pilotage explain`: why a point is as it is, and why a rule does what it does; now, or at a time gone by."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import add_command
from pilotage.cli.asking import add_engine_options, ask_engine
from pilotage.cli.console import FAILED, OK, USAGE, console, print_error, print_json

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from pilotage.api import Client
    from pilotage.core.replayed import PastPoint
    from pilotage.model.entities import PointSpec
    from pilotage.runtime.config import Settings

DEFAULT_LEVEL: Final = 17

_AGO: Final = re.compile(r"-\s*(\d.*)")
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_EXAMPLES = """\
  pilotage explain seg-12.lights.level
  pilotage explain seg-12.lights.level --at 23:40
  pilotage explain seg-12.lights.level --at -10m
  pilotage explain dim-quiet-streets seg-12
  pilotage explain bus-priority J-12 bus-7 --at "2026-01-15 08:10"

Times are the city's. Without --at the running engine is asked, with it the journal.
"""


class TimeError(ValueError):
    """What was written after --at is no time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One demand as a line: level, who, what, and why."""

    level: int
    level_word: str
    by: str
    value: str
    reason: str
    since: float
    until: float | None


@dataclass(frozen=True, slots=True)
class Story:
    """What is shown of a point.

    Attributes:
        by: Who decides; `level` 17 is the relinquish default, 0 an invariant.
        rows: All demands, the most urgent first.
        flips: What would make the winner let go, as far as that is known.
    """

    point: str
    wanted: str
    by: str
    level: int
    level_word: str
    rows: tuple[Row, ...]
    winner: Row | None
    reported: str = ""
    flips: str = ""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "explain",
        "say why a point is as it is, or why a rule does what it does",
        _EXAMPLES,
    )
    parser.add_argument("what", metavar="POINT|RULE", help="ENTITY.POINT, or the name of a rule")
    parser.add_argument(
        "instance", nargs="*", metavar="ENTITY", help="the entities of the rule's instance"
    )
    parser.add_argument(
        "--at", metavar="TIME", help='a time gone by: 23:40, "2026-01-15 23:40", or -10m'
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_engine_options(parser)
    # argparse takes `-10m` for an option that does not exist unless it looks like a negative number.
    parser._negative_number_matcher = re.compile(r"^-\d")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain a point or a rule."""
    is_point = "." in arguments.what
    if is_point and arguments.instance:
        print_error(f"{arguments.what} is a point: it has no instances", "leave the rest away")
        return USAGE
    if arguments.at is not None:
        return _explain_past(arguments, is_point=is_point)
    if is_point:
        return ask_engine(arguments, lambda client: _explain_point(client, arguments))
    return ask_engine(arguments, lambda client: _explain_rule(client, arguments))


# ── now, from the engine ─────────────────────────────────────────────────────────────────────


def _explain_point(client: Client, arguments: argparse.Namespace) -> int:
    from pilotage.api import ExplainPoint, GetStatus

    answer = client.ask(ExplainPoint(point=arguments.what))
    if arguments.json:
        print_json({"text": answer.text, **(answer.details or {})})
        return OK
    details = answer.details or {}
    if not details.get("wanted"):
        print(answer.text)
        return OK
    now = client.ask(GetStatus()).now
    _print_story(_live_story(client, details), now, _zone(arguments))
    return OK


def _live_story(client: Client, details: Mapping[str, Any]) -> Story:
    rows = tuple(
        Row(*(d[key] for key in ("level", "level_word", "by", "value", "reason", "since", "until")))
        for d in details["demands"]
    )
    winner = next(
        (
            row
            for row, d in zip(rows, details["demands"], strict=True)
            if d["wins"] and row.level == details["level"]
        ),
        None,
    )
    owner = next((d["owner"] for d in details["demands"] if d["wins"]), "")
    return Story(
        details["point"],
        details["wanted"],
        details["by"],
        details["level"],
        details["level_word"],
        rows,
        winner,
        details["reported"],
        _flips(client, owner) if winner is not None and len(rows) > 1 else "",
    )


def _flips(client: Client, owner: str) -> str:
    """Return what would end the rule that wins: the clauses that could turn."""
    from pilotage.api import ApiError, ExplainRule

    rule, _, rest = owner.partition("[")
    try:
        answer = client.ask(ExplainRule(rule=rule, instance=rest.partition("]")[0]))
    except ApiError:  # a plan, a person or a story
        return ""
    clauses = (answer.details or {}).get("clauses", [])
    return " or ".join(clause["flips"] for clause in clauses if clause.get("flips"))


def _explain_rule(client: Client, arguments: argparse.Namespace) -> int:
    from pilotage.api import ExplainRule, GetRule, GetStatus

    instance = ", ".join(_words(arguments.instance))
    rule = client.ask(GetRule(rule=arguments.what))
    if not instance and len(rule.instances) != 1 and rule.rule.instances:
        return _list_instances(rule, arguments)
    if not instance and rule.instances:
        instance = rule.instances[0].id
    answer = client.ask(ExplainRule(rule=arguments.what, instance=instance))
    if arguments.json:
        print_json({"text": answer.text, **(answer.details or {})})
        return OK
    now = client.ask(GetStatus()).now
    _print_rule(answer.details or {}, answer.text, now, _zone(arguments))
    return OK


def _words(written: list[str]) -> list[str]:
    """Return the entities of an instance, written as `J-12 bus-7`, `J-12,bus-7` or `J-12, bus-7`."""
    return [part for word in written for part in re.split(r"[,\s]+", word) if part]


def _list_instances(detail: Any, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json([{"id": i.id, "state": i.state, "since": i.since} for i in detail.instances])
        return OK
    out = console()
    states = ", ".join(f"{count} {state}" for state, count in sorted(detail.rule.states.items()))
    out.print(f"{detail.rule.name}: {states}", markup=False)
    for instance in detail.instances[:50]:
        out.print(f"  {instance.id}  {instance.state}", markup=False)
    if len(detail.instances) > 50:
        out.print(f"  and {len(detail.instances) - 50} more")
    out.print(f"`pilotage explain {detail.rule.name} INSTANCE` says why", style="quiet")
    return OK


def _print_rule(details: Mapping[str, Any], text: str, now: float, zone: ZoneInfo | None) -> None:
    out = console()
    since = details.get("since")
    label = f"[{details['instance']}]" if details.get("instance") else ""
    head = f"{details.get('rule', '')}{label} is {details.get('state', '')}"
    if since is not None and since < now:
        head += f" since {_clock(since, now, zone)}"
    out.print(head, style="bold", markup=False)
    for clause in details.get("clauses", ()):
        truth = {True: "true", False: "false", None: "unknown"}[clause["truth"]]
        style = {"true": "good", "false": "bad", "unknown": "warn"}[truth]
        values = ", ".join(f"{name} is {value}" for name, value in clause["values"])
        out.print(f"  {truth:8}", style=style, end="")
        out.print(f"{clause['text']}{f'   ({values})' if values else ''}", markup=False)
        if clause.get("flips"):
            out.print(f"          would turn with: {clause['flips']}", style="quiet", markup=False)
    for held in details.get("holds", ()):
        out.print(f"  holds   {held}", markup=False)
    if not details.get("clauses"):
        out.print(f"  {text}", markup=False)


# ── a time gone by, from the journal ─────────────────────────────────────────────────────────


def _explain_past(arguments: argparse.Namespace, *, is_point: bool) -> int:
    from pilotage.core.replayed import instances_at, point_at
    from pilotage.model.diagnostics import RuleError
    from pilotage.ports import LogUnusableError
    from pilotage.runtime.config import read_settings

    read = read_settings(arguments.config, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    settings = read.settings
    now = _engine_time(arguments, settings)
    try:
        at = time_of(arguments.at, now, settings.site.zone)
    except TimeError as error:
        print_error(str(error), 'write 23:40, "2026-01-15 23:40" or -10m')
        return USAGE
    try:
        records, starts = _records(settings, at), _starts(settings)
        if is_point:
            past = point_at(records, arguments.what, at, starts)
            return _show_past_point(past, settings, arguments)
        wanted = ", ".join(_words(arguments.instance))
        found = instances_at(records, arguments.what, at, starts)
    except LogUnusableError as error:
        print_error(str(error))
        return FAILED
    return _show_past_rule(
        [i for i in found if wanted in ("", i.instance)], at, settings, arguments
    )


def _records(settings: Settings, at: float) -> Iterator[Mapping[str, Any]]:
    import msgspec

    from pilotage.runtime.journal import JournalReader
    from pilotage.runtime.ownership import THE_CITY
    from pilotage.service import JOURNAL_FILE

    reader = JournalReader(settings.storage.path / JOURNAL_FILE)
    for index, row in enumerate(reader.decisions(THE_CITY)):
        if index == 0 and row.number > 1:
            begins = _clock(row.now, None, settings.site.zone)
            console(sys.stderr).print(
                f"the journal begins at {begins}: what was demanded before is not seen",
                style="warn",
                markup=False,
            )
        if row.now > at:
            return
        yield msgspec.json.decode(row.record)


def _starts(settings: Settings) -> list[float]:
    """Return when the engine was started: what it wanted before that stood no more."""
    from pilotage.runtime.journal import JournalReader
    from pilotage.runtime.ownership import THE_CITY
    from pilotage.service import JOURNAL_FILE

    reader = JournalReader(settings.storage.path / JOURNAL_FILE)
    return [switch.now for switch in reader.switches(THE_CITY) if switch.is_start]


def _engine_time(arguments: argparse.Namespace, settings: Settings) -> float:
    """Return the engine's time, which may run faster than ours; ours when no engine runs."""
    from pilotage.api import ApiError, Client, GetStatus

    try:
        with Client(arguments.socket or settings.control.socket) as client:
            return client.ask(GetStatus()).now
    except ApiError:
        return datetime.now().astimezone().timestamp()


def time_of(text: str, now: float, zone: ZoneInfo) -> float:
    """Return the time that was meant, seconds since 1970: the last `23:40` before now, a date, or `-10m`.

    Raises:
        TimeError: It is no time.
    """
    from pilotage.runtime.forms import parse_duration

    written = text.strip()
    ago = _AGO.fullmatch(written)
    try:
        if ago is not None:
            return now - parse_duration(_spelt(ago[1]))
        if _CLOCK.fullmatch(written):
            today = datetime.fromtimestamp(now, zone)
            hour, minute, *second = (int(part) for part in written.split(":"))
            moment = today.replace(
                hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0
            )
            return (moment if moment <= today else moment - timedelta(days=1)).timestamp()
        found = datetime.fromisoformat(written)
    except ValueError as error:
        raise TimeError(f'"{text}" is no time') from error
    return (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()


def _spelt(text: str) -> str:
    """Return `10m` as `10 min`: on a command line a metre is no time."""
    return re.sub(r"(\d)\s*m(?![a-z])", r"\1 min", text)


def _show_past_point(past: PastPoint, settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json(_past_record(past))
        return OK
    zone = settings.site.zone
    if not past.is_decided:
        when = _clock(past.at, None, zone)
        console().print(f"{past.point}: nobody had wanted anything of it by {when}", markup=False)
        return OK
    _print_story(_past_story(past, _spec_of(past.point, settings)), past.at, zone)
    return OK


def _past_story(past: PastPoint, spec: PointSpec | None) -> Story:
    from pilotage.core.explain import level_word
    from pilotage.model.values import format_value

    def shown(value: Any) -> str:
        if value is None and spec is not None and spec.is_request:
            return "nothing"
        return format_value(value, spec.type if spec is not None else None)

    def row(demand: Any) -> Row:
        return Row(
            demand.level,
            level_word(demand.level),
            _name_of(demand.owner),
            shown(demand.value),
            demand.reason,
            demand.since,
            demand.until,
        )

    rows = {demand.owner: row(demand) for demand in past.in_order()}
    return Story(
        past.point,
        shown(past.wanted),
        _name_of(past.owner),
        past.level,
        level_word(past.level),
        tuple(rows.values()),
        rows.get(past.owner),
    )


def _name_of(owner: str) -> str:
    """Return the name that people know: the rule, the plan, `operator NAME`."""
    return owner.partition("[")[0].partition("#")[0].removeprefix("plan:")


def _spec_of(point: str, settings: Settings) -> PointSpec | None:
    """Return what the kind says of a point; None when the inventory does not have it any more."""
    from pilotage.runtime.inventory import read_inventory
    from pilotage.runtime.isolation.factory import load_catalogue

    kinds = load_catalogue(settings).kinds
    entity, _, name = point.partition(".")
    inventory = read_inventory(settings.inventory, settings.folder, kinds)
    spec = next((spec for spec in inventory.entities if spec.id == entity), None)
    return None if spec is None else kinds[spec.kind].point(name)


def _past_record(past: PastPoint) -> dict[str, Any]:
    return {
        "point": past.point,
        "at": past.at,
        "decided": past.is_decided,
        "wanted": past.wanted,
        "by": past.owner,
        "level": past.level,
        "since": past.since,
        "decision": past.decision,
        "outcome": past.outcome,
        "demands": [
            {
                "level": demand.level,
                "by": demand.owner,
                "value": demand.value,
                "reason": demand.reason,
                "since": demand.since,
                "until": demand.until,
                "wins": demand is past.winner(),
            }
            for demand in past.in_order()
        ],
    }


def _show_past_rule(
    found: list[Any], at: float, settings: Settings, arguments: argparse.Namespace
) -> int:
    if arguments.json:
        keys = ("rule", "instance", "state", "since", "why", "decision")
        print_json([{key: getattr(each, key) for key in keys} for each in found])
        return OK
    out = console()
    zone = settings.site.zone
    if not found:
        label = f" for {' '.join(arguments.instance)}" if arguments.instance else ""
        when = _clock(at, None, zone)
        out.print(f"{arguments.what} had decided nothing{label} by {when}", markup=False)
    for each in found:
        label = f"[{each.instance}]" if each.instance else ""
        out.print(
            f"{each.rule}{label} was {each.state}, since {_clock(each.since, at, zone)}",
            style="bold",
            markup=False,
        )
        if each.why:
            out.print(f"  because {each.why}", markup=False)
    return OK


# ── as people read it ────────────────────────────────────────────────────────────────────────


def _print_story(story: Story, now: float, zone: ZoneInfo | None) -> None:
    out = console()
    head = f"{story.wanted}   by {_decider(story)}"
    if story.winner is not None:
        head += _details(story.winner, now, zone)
    out.print(head, style="bold", markup=False)
    if story.reported and story.reported != story.wanted:
        out.print(f" it reports {story.reported}", markup=False)
    below = [row for row in story.rows if row is not story.winner]
    if not below:
        return
    out.print(" waiting below:")
    who, what = (max(len(getattr(row, key)) for row in below) for key in ("by", "value"))
    words = max(len(row.level_word) for row in below)
    for row in below:
        line = f"  {row.level:>3} {row.level_word:<{words}}   {row.by:<{who}}   {row.value:<{what}}"
        line += f"   since {_clock(row.since, now, zone)}"
        line += f", {row.reason}" if row.reason else ""
        line += f", until {_clock(row.until, now, zone)}" if row.until is not None else ""
        out.print(line, markup=False)
    out.print(f" {below[0].by} would win if: {_turn(story, now, zone)}", markup=False)


def _decider(story: Story) -> str:
    if story.level == DEFAULT_LEVEL:
        return "default (nobody wants anything)"
    if story.level == 0:
        return f"{story.by} (invariant)"
    return f"{story.by} ({story.level})"


def _details(row: Row, now: float, zone: ZoneInfo | None) -> str:
    text = f', "{row.reason}"' if row.reason else ""
    text += f", since {_clock(row.since, now, zone)}"
    return text + (f", until {_clock(row.until, now, zone)}" if row.until is not None else "")


def _turn(story: Story, now: float, zone: ZoneInfo | None) -> str:
    """Return what would let the first of those who wait win."""
    winner = story.winner
    if winner is None:
        return f"{story.by} no longer applies"
    if winner.until is not None:
        what = "the override" if winner.by.startswith("operator ") else winner.by
        return f"{what} ends ({_clock(winner.until, now, zone)}), or is given back before"
    return story.flips or f"{winner.by} lets go"


def _clock(time: float | None, now: float | None, zone: ZoneInfo | None) -> str:
    """Return a time of the city; without the day when it is the day of `now`."""
    if time is None:
        return ""
    moment = datetime.fromtimestamp(time, zone).astimezone(zone)
    text = f"{moment:%H:%M:%S}".removesuffix(":00")
    is_today = now is not None and moment.date() == datetime.fromtimestamp(now, zone).date()
    return text if is_today else f"{moment:%Y-%m-%d} {text}"


def _zone(arguments: argparse.Namespace) -> ZoneInfo | None:
    """Return the city's time zone, None (this machine's) when there is no configuration to tell it."""
    from pilotage.runtime.config import read_settings

    path: Path = arguments.config
    if not path.is_file():
        return None
    settings = read_settings(path, secrets=False).settings
    return None if settings is None else settings.site.zone
