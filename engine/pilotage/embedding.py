"""An engine inside another program: rules and an inventory in, readings with a given time in, decisions out.

No event loop, no clock, no files but those that are named: whoever embeds the engine says what time it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.core.engine import Engine
from pilotage.core.schedule import SiteTime
from pilotage.core.store import Cell, admit
from pilotage.language.rules import load_or_refuse
from pilotage.model.diagnostics import RuleError
from pilotage.model.entities import EntitySpec
from pilotage.model.messages import Decision, Input, Reading
from pilotage.model.quality import Quality
from pilotage.model.values import Position, as_plain
from pilotage.runtime.inventory import Inventory, read_inventory_text
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.runtime.point_values import MisfitError, converter

if TYPE_CHECKING:
    from pilotage.core.explain import PointExplained, RuleExplained
    from pilotage.language.program import Program

RULE_SUFFIXES: Final = (".yaml", ".yml")
Moment = float | datetime
"""Seconds since 1970, or a time; one without a zone is city time."""
Rules = str | Path | Sequence[str | Path]
Things = str | Path | Mapping[str, Mapping[str, Any]] | Iterable[EntitySpec | Mapping[str, Any]]


class FeedError(ValueError):
    """A point or a value that the city cannot take; the text says what would fit."""


def open_city(
    rules: Rules,
    inventory: Things,
    plugins: Sequence[object] | None = None,
    site: SiteTime | Mapping[str, Any] | None = None,
    now: Moment = 0.0,
) -> City:
    """Return a city whose rules run when it is fed.

        city = pilotage.open_city(
            rules="rules/lighting.yaml",
            inventory=[{"id": "seg-1", "kind": "lighting_segment", "dimmable": True}],
            now=datetime(2026, 1, 15, 23, 0),
        )
        decision = city.feed(datetime(2026, 1, 15, 23, 1), {"seg-1.pedestrian_detected": True})
        for command in decision.outgoing if decision else ():
            print(command.point, command.value)

    Args:
        rules: The text of a rule file, the path of a file or of a folder of them, or several of these.
        inventory: Entities as maps with `id` and `kind`, as `EntitySpec`, as a map by id; or the text or the path of an
            inventory file.
        plugins: Modules or objects with hooks; all that are installed when it is None.
        site: Time zone, position and country, for schedules and the sun; Dijon when it is None.
        now: When the city begins.

    Raises:
        RuleError: Rules or inventory have mistakes; the error shows all of them.
        ValueError: A plugin that was given is broken.
    """
    catalogue = _catalogue(plugins)
    where = site if isinstance(site, SiteTime) else SiteTime(**_site_options(site or {}))
    texts = _texts(rules)
    program = load_or_refuse(texts, catalogue.kinds, catalogue.functions, catalogue.calls)
    entities = _entities(inventory, catalogue)
    return City.of(program, entities, _seconds(now, where), where)


class City:
    """A running city; every call says what time it is, and time never goes back.

    Attributes:
        engine: The engine itself, the same that serves a whole city.
        on_decision: Called with each decision as it is made; what it feeds back comes by `later`.
    """

    def __init__(self, engine: Engine, site: SiteTime) -> None:
        self.engine = engine
        self.on_decision: Callable[[Decision], None] = lambda decision: None
        self._site = site
        self._later: list[tuple[float, int, Input]] = []
        self._count = 0

    @classmethod
    def of(
        cls,
        program: Program,
        inventory: Sequence[EntitySpec],
        now: float,
        site: SiteTime | None = None,
        **options: Any,
    ) -> City:
        """Return the city of a checked rule set; the options are those of `Engine`."""
        where = site or SiteTime()
        return cls(Engine(program, inventory, now, where, **options), where)

    # ── time goes on ─────────────────────────────────────────────────────────────────────────

    def feed(self, now: Moment, readings: Mapping[str, Any]) -> Decision | None:
        """Take what devices report, and return what was decided, None when nothing was.

        What fell due since the last call is done in the same tick; `advance` first does it at its own time.

        Args:
            now: The time of the readings.
            readings: Values by `ENTITY.POINT`: a plain value in the point's unit, a text with its unit (`40 veh/h`),
                a position as (latitude, longitude), a reference as an id, None for a value that was lost.

        Raises:
            FeedError: There is no such point, devices do not report it, or it cannot hold the value; nothing was taken.
        """
        moment = self._moment(now)
        return self._tick(moment, [self._reading(p, v, moment) for p, v in readings.items()])

    def order(self, now: Moment, *orders: Input) -> Decision | None:
        """Take orders of people and answers of devices, as `pilotage.model.messages` has them."""
        return self._tick(self._moment(now), list(orders))

    def advance(self, until: Moment) -> list[Decision]:
        """Let time pass, do everything at the time when it is due, and return what was decided, in order."""
        end = self._moment(until)
        decisions: list[Decision] = []
        while (due := self.next_due()) is not None and due <= end:
            decision = self._tick(max(due, self.engine.now), self._take_due(due))
            if decision is not None:
                decisions.append(decision)
        last = self._tick(end, [])
        return decisions if last is None else [*decisions, last]

    def next_due(self) -> float | None:
        """Return when something is due next, seconds since 1970; None while the city only waits for readings."""
        times = [self._later[0][0]] if self._later else []
        due = self.engine.next_due()
        return min([*times, due]) if due is not None else min(times, default=None)

    def later(self, when: float, item: Input) -> None:
        """Keep an input until its time: the answer of a simulated device. A reading gets that time too."""
        self._count += 1
        self._later.append((when, self._count, item))
        self._later.sort(key=lambda each: each[:2])

    def forget(self, point: str) -> None:
        """Drop the readings of a point that are kept for later: the device was told something else."""
        self._later = [each for each in self._later if not _is_reading_of(each[2], point)]

    def _take_due(self, due: float) -> list[Input]:
        taken = [item for when, _, item in self._later if when <= due]
        self._later = [each for each in self._later if each[0] > due]
        return [i._replace(source_time=due) if isinstance(i, Reading) else i for i in taken]

    def _tick(self, now: float, inputs: Sequence[Input]) -> Decision | None:
        decision = self.engine.tick(now, inputs)
        if decision is not None:
            self.on_decision(decision)
        return decision

    def _moment(self, now: Moment) -> float:
        moment = _seconds(now, self._site)
        if moment < self.engine.now:
            raise ValueError(
                f"time goes back by {self.engine.now - moment:g} s: the city is at {self.engine.now}"
            )
        return moment

    # ── what is ──────────────────────────────────────────────────────────────────────────────

    def value(self, point: str) -> Any:
        """Return what a point reports, as plain data (a reference as its id); None when it is unknown."""
        return as_plain(self._cell(point).value)

    def wanted(self, point: str) -> Any:
        """Return what is wanted of a point, as plain data; its relinquish default while nobody wants anything."""
        cell = self._cell(point)
        if cell.array is not None and cell.array.is_decided:
            return as_plain(cell.array.wanted)
        return as_plain(cell.spec.default)

    def explain(self, point: str) -> PointExplained:
        """Return who decides a point and who waits below; `sentence` says it in one sentence."""
        self._cell(point)
        explained = self.engine.explainer.point(point)
        assert explained is not None
        return explained

    def explain_rule(self, rule: str, *entities: str) -> RuleExplained | None:
        """Return why an instance of a rule is in its state, None when there is none."""
        return self.engine.explainer.rule(rule, ", ".join(entities))

    # ── at the door ──────────────────────────────────────────────────────────────────────────

    def _cell(self, point: str) -> Cell:
        cell = self.engine.cells.get(point)
        if cell is not None:
            return cell
        from difflib import get_close_matches

        near = get_close_matches(point, list(self.engine.cells), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "; a point is ENTITY.POINT"
        raise FeedError(f'there is no point "{point}"{hint}')

    def _reading(self, point: str, raw: Any, now: float) -> Reading:
        cell = self._cell(point)
        if raw is None:
            return Reading(cell, None, Quality.MISSING, now)
        try:
            fitting = as_plain(converter(cell.spec)(raw))
        except MisfitError as error:
            raise FeedError(f"{point}: {error.why}; {error.mend}") from error
        reading = admit(cell, fitting, Quality.GOOD, now, now, self.engine.entities)
        if isinstance(reading, str):
            raise FeedError(f"{point}: {reading}")
        if reading.value is None:
            raise FeedError(f"{point}: {raw!r} is no {cell.spec.type} that the city has")
        return reading


def _is_reading_of(item: Input, point: str) -> bool:
    return isinstance(item, Reading) and item.point.id == point


# ── what is opened ───────────────────────────────────────────────────────────────────────────


def _seconds(now: Moment, site: SiteTime) -> float:
    if isinstance(now, datetime):
        return (now if now.tzinfo else now.replace(tzinfo=site.zone)).timestamp()
    return float(now)


def _site_options(site: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(site)
    if "position" in options:
        options["position"] = Position(*options["position"])
    return options


def _catalogue(plugins: Sequence[object] | None) -> Catalogue:
    if plugins is None:
        return load_plugins()
    catalogue = load_plugins(plugins, entry_points=False)
    for plugin in catalogue.broken:
        raise ValueError(f"the plugin {plugin.name} is broken: {plugin.why}")
    return catalogue


def _texts(rules: Rules) -> dict[str, str]:
    """Return the rule files by name; what has a line break is a text."""
    parts = [rules] if isinstance(rules, str | Path) else list(rules)
    texts: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        if isinstance(part, str) and "\n" in part:
            texts["<rules>" if len(parts) == 1 else f"<rules {number}>"] = part
            continue
        path = Path(part)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file == path or file.suffix in RULE_SUFFIXES:
                texts[str(file)] = file.read_text(encoding="utf-8")
    return texts


def _entities(inventory: Things, catalogue: Catalogue) -> tuple[EntitySpec, ...]:
    if isinstance(inventory, Path) or (isinstance(inventory, str) and "\n" not in inventory):
        path = Path(inventory)
        return _accepted(
            read_inventory_text(path.read_text(encoding="utf-8"), catalogue.kinds, str(path))
        )
    if isinstance(inventory, str):
        return _accepted(read_inventory_text(inventory, catalogue.kinds))
    if isinstance(inventory, Mapping):
        inventory = [{"id": name, **things} for name, things in inventory.items()]
    things = list(inventory)
    specs = tuple(thing for thing in things if isinstance(thing, EntitySpec))
    _check_kinds(specs, catalogue)
    maps = [thing for thing in things if not isinstance(thing, EntitySpec)]
    return (
        (*specs, *_accepted(read_inventory_text(_as_yaml(maps), catalogue.kinds)))
        if maps
        else specs
    )


def _check_kinds(specs: Sequence[EntitySpec], catalogue: Catalogue) -> None:
    for spec in specs:
        if spec.kind not in catalogue.kinds:
            raise FeedError(f'{spec.id}: no plugin declares the kind "{spec.kind}"')


def _as_yaml(things: Sequence[Mapping[str, Any]]) -> str:
    """Return maps of entities as the text of an inventory, one entity a line; JSON is YAML."""
    lines = []
    for thing in things:
        if "id" not in thing:
            raise FeedError(f"an entity without its id: {dict(thing)!r}")
        rest = {key: as_plain(value) for key, value in thing.items() if key != "id"}
        written = json.dumps(rest, ensure_ascii=False)
        lines.append(f"{json.dumps(str(thing['id']), ensure_ascii=False)}: {written}\n")
    return "".join(lines)


def _accepted(inventory: Inventory) -> tuple[EntitySpec, ...]:
    if inventory.has_errors:
        raise RuleError(inventory.findings, inventory.sources)
    return inventory.entities
