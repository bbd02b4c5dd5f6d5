"""From settings to an engine: reads inventory and rules, compiles them, and makes or changes the core with them.

The one place of the runtime that knows how language and core are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pilotage.core.carried import Past, carry_over, essentials, past_of
from pilotage.core.city_cells import CityCells
from pilotage.core.engine import Engine
from pilotage.core.schedule import SiteTime
from pilotage.language.meaning import meaning
from pilotage.language.memory import RuleMemory
from pilotage.language.program import Program
from pilotage.language.rules import load_rules, readable
from pilotage.model.diagnostics import Finding, RuleError
from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.values import set_of
from pilotage.runtime.city_memory import CityMemory
from pilotage.runtime.config import Settings, check_names
from pilotage.runtime.history.settings import check_history
from pilotage.runtime.isolation.factory import load_catalogue
from pilotage.runtime.loop import TickEngine
from pilotage.runtime.origins import are_unchanged, origins_of
from pilotage.runtime.plugins import Catalogue
from pilotage.runtime.post_settings import check_areas
from pilotage.runtime.rule_folders import read_files, rule_files
from pilotage.runtime.state import (
    StateUnusableError,
    Summary,
    dump_state,
    kept_of,
    load_state,
    load_state_and_memory,
    summary_of,
)
from pilotage.runtime.views import CityViews


class LiveEngine(TickEngine, Protocol):
    """The core as the service sees it."""

    @property
    def now(self) -> float:
        """Time of the last tick, seconds since 1970."""
        ...

    @property
    def turn(self) -> object:
        """Whose turn it is within a tick: a watch, or what was due; None between two ticks."""
        ...

    @property
    def number(self) -> int:
        """Number of the last decision."""
        ...

    def skip_to(self, number: int) -> None:
        """Go on after a decision that others have recorded."""
        ...

    @property
    def cells(self) -> CityCells:
        """All points by id."""
        ...

    @property
    def entities(self) -> Mapping[str, Any]:
        """All entities by id."""
        ...


@dataclass(frozen=True, slots=True)
class CityPlan:
    """Everything that was read and compiled, before an engine is made of it or adopts it.

    Attributes:
        program: The compiled rules, opaque here.
        digest: Names the rule set in the journal.
        city: Names the inventory and the kinds in the same way.
        origins: What all of it was read from.
        texts: The rules as they were written, by file; empty when they were not read again.
        rules: How many rules, plans, alarms and invariants there are.
        warnings: What was found and did not keep anything out, as people read it.
        promises: `respond_within` by rule, in seconds.
        inventory: Names what the inventory files hold.
        identities: What each rule, `plan:NAME`, alarm and invariant means, as a hash by name.
    """

    settings: Settings
    catalogue: Catalogue
    entities: tuple[EntitySpec, ...]
    program: Any
    digest: str
    rules: int
    warnings: tuple[str, ...] = ()
    promises: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    inventory: str = ""
    city: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


class Workshop(Protocol):
    """How a city becomes an engine; the service knows nothing more of language and core."""

    def read(self, settings: Settings, catalogue: Catalogue | None) -> CityPlan:
        """Read inventory and rules and compile them; runs in another thread at a reload.

        Args:
            settings: What to read.
            catalogue: What the plugins bring, when they are loaded already.

        Raises:
            RuleError: Something is wrong; the error shows everything.
        """
        ...

    def with_rules(self, plan: CityPlan, digest: str, texts: Mapping[str, bytes]) -> CityPlan:
        """Return the plan of the same city with other rules.

        Raises:
            RuleError: They do not fit the city as it is now.
        """
        ...

    def recall(self, settings: Settings, state: bytes) -> CityPlan | None:
        """Return what was read before, with the engine that a state holds, when nothing of it has changed; else None.

        Spares reading and checking everything again; `load` then gives that engine.
        """
        ...

    def make(self, plan: CityPlan, number: int, now: float) -> LiveEngine:
        """Return an engine whose next decision has the number after `number`."""
        ...

    def views(self, engine: LiveEngine) -> Any:
        """Return what the control socket shows of an engine (`pilotage.runtime.views.CityViews`)."""
        ...

    def group_points(self, engine: LiveEngine) -> tuple[str, ...]:
        """Return the points that stand for the same point of many, which a gateway may take as one command."""
        ...

    def adopt(self, engine: LiveEngine, plan: CityPlan, now: float) -> None:
        """Exchange the rules of a running engine between two ticks."""
        ...

    def resume(self, engine: LiveEngine, now: float) -> None:
        """Have an engine that was read back go on from now."""
        ...

    def dump(self, engine: LiveEngine, plan: CityPlan) -> bytes:
        """Return the state of an engine between two ticks, with what was said of its city."""
        ...

    def load(self, state: bytes, plan: CityPlan) -> LiveEngine:
        """Return the engine of a state.

        Raises:
            StateUnusableError: It was written by other code or with other plugins, or is damaged.
        """
        ...

    def fits(self, engine: LiveEngine, plan: CityPlan) -> bool:
        """Return whether an engine has the inventory and the kinds of a plan, so that it may adopt its rules."""
        ...

    def essentials(self, engine: LiveEngine) -> dict[str, Any]:
        """Return what lasts when the engine itself cannot: plain data."""
        ...

    def kept(self, state: bytes) -> dict[str, Any]:
        """Return the same from a state whose engine cannot be read.

        Raises:
            StateUnusableError: Not even that can be read.
        """
        ...

    def carry(self, kept: dict[str, Any], plan: CityPlan, number: int) -> LiveEngine:
        """Return a new engine that takes up what lasts; its next decision has the number after `number`."""
        ...


class CityWorkshop:
    """The ordinary workshop: plugins, inventory, rule files, core."""

    def __init__(self) -> None:
        self._recalled: tuple[bytes, Engine] | None = None
        self._memory = CityMemory()
        self._named: tuple[Sequence[EntitySpec], str] | None = None

    def read(self, settings: Settings, catalogue: Catalogue | None) -> CityPlan:
        """Read and compile everything, and refuse all of it when one part is wrong."""
        catalogue = catalogue or load_catalogue(settings)
        inventory = self._memory.inventory(settings, catalogue.kinds)
        findings = check_names(
            settings, (report.name for report in catalogue.plugins), catalogue.packs
        )
        findings += inventory.findings
        findings += self._memory.check_connections(
            settings, catalogue.adapters, PlannedSite(settings, catalogue, inventory.entities)
        )
        findings += check_history(settings.history, catalogue.kinds, inventory.entities)
        findings += check_areas(settings.posts, inventory.entities)
        sources = dict(inventory.sources)
        if not any(finding.is_error for finding in inventory.findings):
            program, found, texts = build_program(settings, catalogue, self._memory.rules)
            findings += found
            sources |= texts
        if any(finding.is_error for finding in findings):
            raise RuleError(findings, sources)
        return CityPlan(
            settings,
            catalogue,
            inventory.entities,
            program,
            _digest(texts),
            _count(program),
            tuple(finding.render(sources) for finding in findings)
            + tuple(
                f"plugin {plugin.name} was left out: {plugin.why}" for plugin in catalogue.broken
            )
            + catalogue.warnings,
            _promises(program),
            _identities(program),
            _digest(inventory.sources),
            self._city_digest(inventory.entities, catalogue.kinds),
            origins_of((settings.file, *_rule_files(settings, catalogue), *inventory.files)),
            texts,
        )

    def _city_digest(self, entities: Sequence[EntitySpec], kinds: Mapping[str, Kind]) -> str:
        """Return a name for what there is; the same entities have the one of before, and kinds stay while the engine runs."""
        if self._named is None or self._named[0] is not entities:
            self._named = entities, _city_digest(entities, kinds)
        return self._named[1]

    def with_rules(self, plan: CityPlan, digest: str, texts: Mapping[str, bytes]) -> CityPlan:
        """Compile other rules for the same city."""
        catalogue = plan.catalogue
        program, found = load_rules(texts, catalogue.kinds, catalogue.functions, catalogue.calls)
        if any(finding.is_error for finding in found):
            raise RuleError(found, {name: readable(text) for name, text in texts.items()})
        return replace(plan, program=program, digest=digest, rules=_count(program))

    def recall(self, settings: Settings, state: bytes) -> CityPlan | None:
        """Compare what was read with what is there, and take engine and findings from the state.

        When files have changed, as by a reload whose snapshot was not written any more, only they are read again.
        """
        said = summary_of(state)
        if said is None or said.settings != _settings_digest(settings):
            return None
        catalogue = load_catalogue(settings)
        if said.plugins != _plugins_digest(catalogue):
            return None
        try:
            engine, kept = load_state_and_memory(state, catalogue.functions)
        except StateUnusableError:
            return None
        self._recalled = (state, engine)
        self._named = engine.inventory, said.city
        there = engine.inventory
        self._memory = CityMemory.recalled(kept, settings, catalogue.kinds, there, said.origins)
        if not are_unchanged(said.origins):
            return None
        return CityPlan(
            settings,
            catalogue,
            engine.inventory,
            engine.program,
            said.digest,
            said.rules,
            said.warnings,
            said.promises,
            said.identities,
            said.inventory,
            said.city,
            said.origins,
        )

    def make(self, plan: CityPlan, number: int, now: float) -> LiveEngine:
        """Return an engine of the core."""
        return make_engine(plan, number, now)

    def views(self, engine: LiveEngine) -> CityViews:
        """Return the views of the core."""
        assert isinstance(engine, Engine)
        return CityViews(engine)

    def group_points(self, engine: LiveEngine) -> tuple[str, ...]:
        """Return the group points of the core."""
        return tuple(
            f"{e.id}.{point}" for e in engine.entities.values() for point in e.points.groups
        )

    def adopt(self, engine: LiveEngine, plan: CityPlan, now: float) -> None:
        """Exchange the rules."""
        adopt_program(engine, plan, now)

    def resume(self, engine: LiveEngine, now: float) -> None:
        """Let the core know that it was gone."""
        _core(engine).resume(now)

    def dump(self, engine: LiveEngine, plan: CityPlan) -> bytes:
        """Return the image of the core, and beside it what lasts, in plain words."""
        summary = Summary(
            dict(plan.origins) if self.fits(engine, plan) else {},
            _plugins_digest(plan.catalogue),
            _settings_digest(plan.settings),
            plan.digest,
            plan.rules,
            plan.warnings,
            dict(plan.promises),
            dict(plan.identities),
            plan.inventory,
            plan.city,
        )
        memory = self._memory.kept(plan.settings, plan.entities) if summary.origins else None
        return dump_state(_core(engine), summary, memory)

    def load(self, state: bytes, plan: CityPlan) -> LiveEngine:
        """Return the core of an image, once."""
        recalled, self._recalled = self._recalled, None
        if recalled is not None and recalled[0] == state:
            return recalled[1]
        return load_state(state, plan.catalogue.functions)

    def fits(self, engine: LiveEngine, plan: CityPlan) -> bool:
        """Compare inventory and kinds."""
        return _core(engine).is_of(plan.program.kinds, plan.entities)

    def essentials(self, engine: LiveEngine) -> dict[str, Any]:
        """Return what lasts of the core."""
        return essentials(_core(engine))

    def kept(self, state: bytes) -> dict[str, Any]:
        """Return the plain part of a state."""
        return kept_of(state)

    def carry(self, kept: dict[str, Any], plan: CityPlan, number: int) -> LiveEngine:
        """Return a new core that takes up what lasts."""
        engine = make_engine(plan, number, kept["now"], past_of(kept))
        carry_over(engine, kept)
        return engine


@dataclass(frozen=True)
class PlannedSite:
    """The city as an adapter sees it before the engine is made: to check settings, not to bind."""

    settings: Settings
    catalogue: Catalogue
    all_entities: tuple[EntitySpec, ...]

    @property
    def name(self) -> str:
        """The site's name."""
        return self.settings.site.name

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        """Return the entities of a kind, or all, in order of id."""
        found = (spec for spec in self.all_entities if not kind or spec.kind == kind)
        return sorted(found, key=lambda spec: spec.id)

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, or None."""
        return self.catalogue.kinds.get(name)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """All kinds by name."""
        return self.catalogue.kinds

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        """Return a handle that only names the point, or None when there is none."""
        for end, sign in enumerate(id):  # names of points and of entities may have dots
            entity = self._by_id.get(id[:end]) if sign == "." else None
            spec = None if entity is None else self._spec(entity, id[end + 1 :])
            if spec is not None:
                return PlannedPoint(id, spec)
        return None

    def _spec(self, entity: EntitySpec, name: str) -> PointSpec | None:
        kind = self.catalogue.kinds[entity.kind]
        spec = kind.point(name)
        if spec is not None:
            return entity.point(spec)
        return PointSpec(name, set_of(kind.relations[name])) if name in kind.relations else None

    @cached_property
    def _by_id(self) -> Mapping[str, EntitySpec]:
        return {spec.id: spec for spec in self.all_entities}


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """A point by name only."""

    id: str
    spec: PointSpec


def build_program(
    settings: Settings, catalogue: Catalogue, memory: RuleMemory | None = None
) -> tuple[Program, list[Finding], Mapping[str, str]]:
    """Compile the site's rules and its rule packs; with a memory only what has changed since the last time.

    Returns:
        The program (to be used only when no finding is an error), what was found, and the text of each file by name.
    """
    raw, unread = _read_rules(settings, catalogue)
    program, found = program_of(raw, catalogue, memory)
    return program, [*unread, *found], {name: readable(content) for name, content in raw.items()}


def rule_texts(settings: Settings, catalogue: Catalogue) -> dict[str, bytes]:
    """Return what is in each rule file of a site and of its packs, by its name as findings show it."""
    return _read_rules(settings, catalogue)[0]


def program_of(
    texts: Mapping[str, bytes], catalogue: Catalogue, memory: RuleMemory | None = None
) -> tuple[Program, list[Finding]]:
    """Compile rule files, and return what was found in them too."""
    return load_rules(texts, catalogue.kinds, catalogue.functions, catalogue.calls, memory)


def _core(engine: LiveEngine) -> Engine:
    assert isinstance(engine, Engine)
    return engine


def make_engine(plan: CityPlan, number: int, now: float, past: Past | None = None) -> Engine:
    """Make the core of a city; its next decision has the number after `number`."""
    site = plan.settings.site
    here = SiteTime(site.time_zone, site.position, site.country, site.subdivision or None)
    return Engine(plan.program, plan.entities, now, here, past=past, number=number)


def adopt_program(engine: Any, plan: CityPlan, now: float) -> None:
    """Have a running core go on with another program; unchanged rules keep their state."""
    engine.adopt(plan.program, now)


def _read_rules(settings: Settings, catalogue: Catalogue) -> tuple[dict[str, bytes], list[Finding]]:
    """Return what is in each rule file, by its name as findings show it; folders with all below them."""
    folder = settings.folder
    files: dict[str, Path] = {}
    findings: list[Finding] = []
    for path in _rule_files(settings, catalogue):
        found, refused = rule_files(path)
        findings += refused
        for file in found:
            files[str(file.relative_to(folder) if file.is_relative_to(folder) else file)] = file
    contents, unread = read_files(files)
    return contents, findings + unread


def _promises(program: Program) -> dict[str, float]:
    """Return which rules promise to respond within how many seconds."""
    promised = ((rule.name, rule.decl.respond_within) for rule in program.rules)
    return {name: within.seconds for name, within in promised if within is not None}


def _identities(program: Program) -> dict[str, str]:
    """Return a hash of what each declaration means, by the name under which it demands something."""
    return {
        **{i.name: meaning(i.decl) for i in program.invariants},
        **{f"alarm:{alarm.name}": alarm.identity for alarm in program.alarms},
        **{plan.entity: plan.identity for plan in program.plans},
        **{rule.name: rule.identity for rule in program.rules},
    }


def _rule_files(settings: Settings, catalogue: Catalogue) -> tuple[Path, ...]:
    return (*settings.rules, *catalogue.rule_files(settings.pack_names(catalogue.packs)))


def _settings_digest(settings: Settings) -> str:
    """Return a name for what the reader of the settings made of them; what their file held is among the origins."""
    said = (settings.site, settings.rules, settings.packs, settings.disabled)
    return sha256(repr(said).encode()).hexdigest()


def _plugins_digest(catalogue: Catalogue) -> str:
    """Return a name for what the plugins bring."""
    brought = [
        [[p.name, p.version, p.state.value, p.why] for p in catalogue.plugins],
        [catalogue.kinds[name] for name in sorted(catalogue.kinds)],
        [catalogue.calls[name] for name in sorted(catalogue.calls)],
        sorted(catalogue.functions),
        sorted(catalogue.adapters),
        catalogue.warnings,
    ]
    return sha256(msgspec.json.encode(brought, enc_hook=dict)).hexdigest()


def _digest(texts: Mapping[str, str]) -> str:
    """Return a name for a rule set: the same texts have the same."""
    hash_ = sha256()
    for name in sorted(texts):
        hash_.update(name.encode() + b"\0" + texts[name].encode() + b"\0")
    return hash_.hexdigest()[:16]


def _city_digest(entities: Sequence[EntitySpec], kinds: Mapping[str, Kind]) -> str:
    """Return a name for what there is: the same inventory and kinds have the same, in any process."""
    hash_ = sha256(msgspec.json.encode(entities, enc_hook=dict))
    hash_.update(msgspec.json.encode([kinds[name] for name in sorted(kinds)], enc_hook=dict))
    return hash_.hexdigest()[:16]


def _count(program: Any) -> int:
    """Return how many rules, plans, alarms and invariants a program has."""
    return sum(
        len(getattr(program, part, ())) for part in ("rules", "plans", "alarms", "invariants")
    )
