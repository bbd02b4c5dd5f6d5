"""Configuration to points: which topic carries which point of which entity, both ways.

Every mistake becomes a finding; a plan with findings that are errors is never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from pilotage.adapter import ConnectionSettings, Site
from pilotage.adapter.options import Problems, Section, meant
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.quality import Quality
from pilotage.model.units import UnknownUnitError, conversion, parse_unit
from pilotage.model.values import TEXT, Base, ValueType
from pilotage_mqtt import topics
from pilotage_mqtt.codec import (
    QUALITY_WORDS,
    BadTemplate,
    Convert,
    Path,
    Render,
    compile_path,
    compile_payload,
    scale_in,
    scale_out,
    slots_of,
    text_of,
    translate,
)

ORDER_SLOTS = ("command", "deadline", "because", "attempt", "id", "entity", "point")
"""What every payload may name besides the attributes of the entity."""

WRITE_SLOTS = (*ORDER_SLOTS, "value", "ramp_s")
REQUEST_SLOTS = (*ORDER_SLOTS, "action", "with")
CALL_SLOTS = ("command", "deadline", "because", "attempt", "call", "arguments")


# ── what a binding becomes ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for an encrypted connection; an empty name is the system's own, or none."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Broker:
    """How to reach the broker.

    Attributes:
        version: `5` or `3.1.1`.
        keepalive_s: A broker that says nothing for up to twice this time is lost.
        session_expiry_s: How long the broker keeps what it has for us while we are away.
        ack_s: Longest wait for the broker's acknowledgement of an order.
        in_flight: Orders that may wait for an acknowledgement at the same time.
    """

    host: str
    port: int
    version: str
    client_id: str
    username: str
    password: str = field(repr=False)
    tls: Tls | None
    keepalive_s: int
    session_expiry_s: int
    qos: int
    max_payload: int
    connect_s: float
    ack_s: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Part:
    """One point of one entity inside a payload; without a path the payload is the value."""

    point: PointHandle
    path: Path | None
    convert: Convert | None
    optional: bool


@dataclass(frozen=True, slots=True)
class Form:
    """What the parts of one payload share: where its time and its quality stand."""

    time: Path | None = None
    quality: Path | None = None
    words: Mapping[str, Quality] = field(default_factory=lambda: QUALITY_WORDS)


@dataclass(frozen=True, slots=True)
class Own:
    """A payload of one entity, known by its topic."""

    form: Form
    parts: tuple[Part, ...]

    @property
    def points(self) -> Iterable[PointHandle]:
        """The points that it reports."""
        return (part.point for part in self.parts)

    @property
    def is_json(self) -> bool:
        """True when something must be looked up in it."""
        return self.form.time is not None or any(part.path is not None for part in self.parts)


@dataclass(frozen=True, slots=True)
class Shared:
    """A payload that names its entity itself, or that lists many (`each`)."""

    form: Form
    id: Path
    each: Path | None
    parts: dict[str, tuple[Part, ...]]
    is_json = True

    @property
    def points(self) -> Iterable[PointHandle]:
        """The points that it reports."""
        return (part.point for parts in self.parts.values() for part in parts)


@dataclass(frozen=True, slots=True)
class Reply:
    """A payload that answers a call."""

    call: Path
    status: Path | None
    detail: Path | None
    convert: Convert | None
    is_json = True
    points: tuple[PointHandle, ...] = ()


Source = Own | Shared | Reply
"""What can be made of a payload on a topic."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template with wildcards: the levels at `slots` together say whose a topic is."""

    filter: str
    slots: tuple[int, ...]
    sources: dict[tuple[str, ...], tuple[Source, ...]]

    def find(self, topic: str) -> tuple[Source, ...]:
        """Return what can be made of a payload on this topic."""
        if not topics.matches(self.filter, topic):
            return ()
        levels = topic.split("/")
        return self.sources.get(tuple(levels[number] for number in self.slots), ())


@dataclass(frozen=True, slots=True)
class Outlet:
    """How an order is written, for every entity of a binding."""

    render: Render
    release: Render | None
    convert: Convert | None
    qos: int


@dataclass(frozen=True, slots=True)
class Target:
    """A point that can be ordered: where to, and what the placeholders stand for."""

    topic: str
    outlet: Outlet
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class Plan:
    """One connection, ready to run."""

    broker: Broker
    sources: dict[str, list[Source]] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)
    filters: dict[str, int] = field(default_factory=dict)
    writes: dict[str, Target] = field(default_factory=dict)
    requests: dict[str, Target] = field(default_factory=dict)
    calls: dict[str, Target] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    @property
    def subscriptions(self) -> dict[str, int]:
        """As few subscriptions as hear everything, with their QoS."""
        return topics.fewest(self.filters)

    @property
    def points(self) -> list[PointHandle]:
        """Every point that this connection reports, once, in order of id."""
        every = [source for listed in self.sources.values() for source in listed]
        for pattern in self.patterns:
            every.extend(source for listed in pattern.sources.values() for source in listed)
        found = {point.id: point for source in every for point in source.points}
        return [found[name] for name in sorted(found)]


def bind(settings: ConnectionSettings, site: Site) -> tuple[Plan, list[Finding]]:
    """Return the plan of a connection, and everything that is wrong with its settings."""
    problems = Problems(settings)
    options = Section(settings.options, f"connections.{settings.name}", problems)
    plan = Plan(_broker(options, settings, site))
    plan.known = frozenset(entity.id for entity in site.entities())
    binder = _Binder(plan, site, problems)
    for section in options.sections("points"):
        binder.points(section)
    for section in options.sections("calls"):
        binder.call(section)
    options.end()
    return plan, problems.found


# ── the broker ───────────────────────────────────────────────────────────────────────────────


def _broker(options: Section, settings: ConnectionSettings, site: Site) -> Broker:
    tls = _tls(options)
    version = str(options.any("version", "5"))
    if version not in ("5", "3.1.1"):
        message = f'there is no MQTT "{version}" here'
        options.problems.error("wrong-value", options.path("version"), message, "write 5 or 3.1.1")
    username = options.text("username")
    password = options.text("password")
    if password and not username:
        options.problems.error(
            "missing-key", options.where, '"password" without "username"', 'add "username"'
        )
    return Broker(
        host=options.text("host", required=True),
        port=options.whole("port", 1883 if tls is None else 8883, 1, 65_535),
        version=version,
        client_id=options.text("client_id") or f"pilotage-{site.name}-{settings.name}",
        username=username,
        password=password,
        tls=tls,
        keepalive_s=options.whole("keepalive", 5, 1, 3600),
        session_expiry_s=options.whole("session_expiry", 0, 0, 0xFFFF_FFFE),
        qos=options.whole("qos", 0, 0, 2),
        max_payload=options.whole("max_payload", 65_536, 1, 268_435_455),
        connect_s=options.number("connect_timeout", 3.0, 0.1, 60.0),
        ack_s=options.number("ack_timeout", 5.0, 0.1, 300.0),
        # Mosquitto 2.0 loses QoS 2 orders beyond its own limit of 20 in MQTT 3.1.1, though it acknowledged them.
        in_flight=options.whole("in_flight", 20, 1, 10_000),
    )


def _tls(options: Section) -> Tls | None:
    raw = options.any("tls")
    if raw is None or raw is False:
        return None
    if raw is True:
        return Tls()
    section = options.section("tls")
    tls = Tls(section.text("ca"), section.text("certificate"), section.text("key"))
    for key in ("ca", "certificate", "key"):
        name = section.any(key)
        if isinstance(name, str) and name and not File(name).is_file():
            options.problems.error("no-such-file", section.path(key), f'there is no file "{name}"')
    if bool(tls.certificate) != bool(tls.key):
        options.problems.error(
            "missing-key", section.where, '"certificate" and "key" are needed together'
        )
    section.end()
    return tls


# ── points ───────────────────────────────────────────────────────────────────────────────────


class _Binder:
    """Reads the bindings of one connection into its plan."""

    def __init__(self, plan: Plan, site: Site, problems: Problems) -> None:
        self.plan = plan
        self.site = site
        self.problems = problems
        self.entities = {entity.id: entity for entity in site.entities()}

    def points(self, section: Section) -> None:
        """Bind one entry under `points:`."""
        kind, members = self._members(section)
        reads, writes = section.sections("read"), section.sections("write")
        requests = section.sections("request")
        section.end()
        if not (reads or writes or requests):
            message = "binds nothing"
            self.problems.error(
                "missing-key", section.where, message, 'add "read", "write" or "request"'
            )
        if kind is None:
            return
        for part in reads:
            self._read(part, kind, members)
        for part in writes:
            self._order(part, kind, members, held=False)
        for part in requests:
            self._order(part, kind, members, held=True)

    def _members(self, section: Section) -> tuple[Kind | None, Sequence[EntitySpec]]:
        name, one, zone = section.text("kind"), section.text("entity"), section.text("zone")
        if bool(name) == bool(one):
            message = 'expected either "kind" or "entity"'
            self.problems.error("missing-key", section.where, message)
            return None, ()
        if one:
            return self._one(section, one)
        kind = self.site.kind(name)
        if kind is None:
            kinds = {entity.kind for entity in self.entities.values()}
            message = f'there is no kind "{name}"'
            self.problems.error("unknown-kind", section.path("kind"), message, meant(name, kinds))
            return None, ()
        members = [e for e in self.site.entities(name) if zone in ("", e.zone)]
        if not members:
            message = f'the inventory has no "{name}"' + (f' in zone "{zone}"' if zone else "")
            self.problems.warning("no-entities", section.where, message)
        return kind, members

    def _one(self, section: Section, name: str) -> tuple[Kind | None, Sequence[EntitySpec]]:
        entity = self.entities.get(name)
        if entity is None:
            message = f'there is no entity "{name}"'
            self.problems.error(
                "unknown-entity", section.path("entity"), message, meant(name, self.entities)
            )
            return None, ()
        return self.site.kind(entity.kind), (entity,)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def _read(self, section: Section, kind: Kind, members: Sequence[EntitySpec]) -> None:
        template = self._template(section, wildcards=True)
        form = self._form(section)
        id_path, each = self._path(section, "id"), self._path(section, "each")
        parts = self._part_makers(section, kind, members)
        qos = section.whole("qos", self.plan.broker.qos, 0, 2)
        section.end()
        if template is None or not members or not parts:
            return
        filled = self._filled(section, template, members)
        if filled is None:
            return
        sources = [
            (levels, entity, tuple(made for make in parts if (made := make(entity)) is not None))
            for levels, entity in zip(filled, members, strict=True)
        ]
        if each is not None and id_path is None:
            message = '"each" needs "id": the path that says whose each item is'
            self.problems.error("missing-key", section.where, message)
            return
        if id_path is None and len(set(filled)) < len(filled):
            message = f'"{template.text}" does not say whose a message is'
            mend = 'write "{id}" in the topic, or add "id: $.…" for the id in the payload'
            self.problems.error("whose", section.path("topic"), message, mend)
            return
        wanted = topics.filter_for(filled)
        self.plan.filters[wanted] = max(qos, self.plan.filters.get(wanted, 0))
        self._keep(template, wanted, _grouped(sources, form, id_path, each))

    def _keep(
        self, template: topics.Template, wanted: str, sources: dict[tuple[str, ...], Source]
    ) -> None:
        if not template.has_wildcard:
            for levels, source in sources.items():
                self.plan.sources.setdefault("/".join(levels), []).append(source)
            return
        slots = tuple(number for number, level in enumerate(template.levels) if "{" in level)
        by_slot: dict[tuple[str, ...], tuple[Source, ...]] = {
            tuple(levels[number] for number in slots): (source,)
            for levels, source in sources.items()
        }
        self.plan.patterns.append(Pattern(wanted, slots, by_slot))

    def _form(self, section: Section) -> Form:
        words: Mapping[str, Quality] = QUALITY_WORDS
        if "quality_map" in section:
            words = self._quality_words(section)
        return Form(self._path(section, "time"), self._path(section, "quality"), words)

    def _quality_words(self, section: Section) -> Mapping[str, Quality]:
        known = {quality.value: quality for quality in Quality}
        words: dict[str, Quality] = {}
        for key, word in section.section("quality_map").raw.items():
            if isinstance(word, str) and word in known:
                words[_key_text(key)] = known[word]
            else:
                where = f"{section.path('quality_map')}.{key}"
                message = f'"{word}" is no quality'
                self.problems.error("wrong-value", where, message, meant(str(word), known))
        return words

    def _part_makers(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec]
    ) -> list[Callable[[EntitySpec], Part | None]]:
        name, several = section.any("point"), section.any("points")
        if (name is None) == (several is None):
            message = 'expected either "point" or "points"'
            self.problems.error("missing-key", section.where, message)
            return []
        if several is None:
            return _present([self._part(section, section.text("point"), kind, members)])
        makers = []
        for key, raw in section.section("points").raw.items():
            where = f"{section.path('points')}.{key}"
            inner = Section({"path": raw} if isinstance(raw, str) else raw, where, self.problems)
            makers.append(self._part(inner, key, kind, members))
            inner.end()
        return _present(makers)

    def _part(
        self, section: Section, name: str, kind: Kind, members: Sequence[EntitySpec]
    ) -> Callable[[EntitySpec], Part | None] | None:
        path, optional = self._path(section, "path"), section.flag("optional")
        found = self._point_type(section, name, kind, members)
        if found is None:
            section.any("scale"), section.any("offset"), section.any("unit"), section.any("map")
            return None
        spec, type_ = found
        if spec is not None and not spec.access.is_reported and not spec.is_request:
            message = f'"{kind.name}.{name}" is {spec.access.value}: no device reports it'
            self.problems.error("not-reported", section.where, message)
        convert = self._incoming(section, type_)

        def make(entity: EntitySpec) -> Part | None:
            point = self.site.point(f"{entity.id}.{name}")
            return None if point is None else Part(point, path, convert, optional)

        return make

    def _point_type(
        self, section: Section, name: str, kind: Kind, members: Sequence[EntitySpec]
    ) -> tuple[PointSpec | None, ValueType] | None:
        """Return the point's declaration (None for the status of a request) and its type."""
        spec = kind.point(name)
        if spec is not None:
            return spec, spec.type
        request = kind.point(name.removesuffix(".status"))
        if name.endswith(".status") and request is not None and request.is_request:
            return None, ValueType(Base.ENUM, members=request.statuses)
        point = self.site.point(f"{members[0].id}.{name}") if members else None
        if point is not None:
            return point.spec, point.spec.type
        names = [p.name for p in kind.points]
        names += [f"{p.name}.status" for p in kind.points if p.is_request]
        message = f'a {kind.name} has no point "{name}"'
        self.problems.error("unknown-point", section.where, message, meant(name, names))
        return None

    def _incoming(self, section: Section, type_: ValueType) -> Convert | None:
        table = self._map(section, type_, outward=False)
        scaling = self._scaling(section, type_)
        if table is not None:
            return translate(table)
        return None if scaling == (1.0, 0.0) else scale_in(*scaling)

    def _scaling(self, section: Section, type_: ValueType) -> tuple[float, float]:
        """Return (factor, addend) from the device's number to the point's."""
        factor = float(section.number("scale", 1.0, -1e12, 1e12))
        addend = float(section.number("offset", 0.0, -1e12, 1e12))
        unit = section.text("unit")
        used = [key for key in ("scale", "offset", "unit") if key in section]
        if factor == 0.0:
            message = "0 would turn every value into the same one"
            self.problems.error("out-of-range", section.path("scale"), message)
            factor = 1.0
        if used and type_.base is not Base.NUMBER:
            message = f'"{used[0]}" is for numbers, and this point is {type_}'
            self.problems.error("wrong-type", section.where, message)
            return 1.0, 0.0
        if not unit:
            return factor, addend
        try:
            by, plus = conversion(parse_unit(unit), type_.unit)
        except UnknownUnitError as error:
            self.problems.error("unknown-unit", section.path("unit"), str(error))
        except ValueError as error:
            self.problems.error("unit", section.path("unit"), str(error))
        else:
            return factor * by, addend * by + plus
        return factor, addend

    def _map(self, section: Section, type_: ValueType, *, outward: bool) -> dict[str, Any] | None:
        raw = section.any("map")
        if raw is None:
            return None
        table = section.section("map").raw
        words = {_key_text(key): value for key, value in table.items()}
        if isinstance(raw, Mapping):
            words = {_key_text(key): value for key, value in raw.items()}
        for key, value in words.items():
            self._check_member(section, type_, key if outward else value)
        if outward and type_.base is Base.ENUM:
            self._check_complete(section, type_, words)
        return words

    def _check_member(self, section: Section, type_: ValueType, member: Any) -> None:
        where = section.path("map")
        if type_.base is Base.ENUM and member not in type_.members:
            message = f'"{member}" is not {type_}'
            self.problems.error("not-a-member", where, message, meant(str(member), type_.members))
        if type_.base is Base.BOOLEAN and text_of(member) not in ("true", "false"):
            message = f'"{member}" is neither true nor false'
            self.problems.error("not-a-member", where, message)

    def _check_complete(self, section: Section, type_: ValueType, words: Mapping[str, Any]) -> None:
        missing = [member for member in type_.members if member not in words]
        if missing:
            message = f"says nothing of {', '.join(missing)}"
            self.problems.error("not-a-member", section.path("map"), message, "add the missing")

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    def _order(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec], *, held: bool
    ) -> None:
        template = self._template(section, wildcards=False)
        name = section.text("point", required=True)
        spec = self._commandable(section, name, kind, held=held) if name else None
        type_ = spec.type if spec is not None and not held else TEXT
        slots = REQUEST_SLOTS if held else WRITE_SLOTS
        outlet = self._outlet(section, type_, slots, members, held=held)
        section.end()
        if template is None or spec is None or outlet is None:
            return
        filled = self._filled(section, template, members)
        table = self.plan.requests if held else self.plan.writes
        for levels, entity in zip(filled or (), members, strict=False):
            point = f"{entity.id}.{name}"
            if point in table:
                message = f'"{point}" is written twice'
                self.problems.error("two-writers", section.where, message, "keep one of the two")
                break
            table[point] = Target("/".join(levels), outlet, _Attributes(entity, self.site.name))

    def _commandable(
        self, section: Section, name: str, kind: Kind, *, held: bool
    ) -> PointSpec | None:
        spec = kind.point(name)
        where = section.path("point")
        if spec is None:
            names = [p.name for p in kind.points if p.access.is_commandable]
            message = f'a {kind.name} has no point "{name}"'
            self.problems.error("unknown-point", where, message, meant(name, names))
        elif spec.is_request is not held:
            message = (
                f'"{kind.name}.{name}" is {"a held request" if spec.is_request else "a value"}'
            )
            mend = f'move it to "{"request" if spec.is_request else "write"}"'
            self.problems.error("not-commandable", where, message, mend)
        elif not spec.access.is_commandable and not held:
            message = f'"{kind.name}.{name}" is {spec.access.value}: nobody can set it'
            self.problems.error("not-commandable", where, message)
        else:
            return spec
        return None

    def _outlet(
        self,
        section: Section,
        type_: ValueType,
        slots: Sequence[str],
        members: Sequence[EntitySpec],
        *,
        held: bool,
    ) -> Outlet | None:
        qos = section.whole("qos", 1, 0, 2)
        payload = section.any("payload", None if held else "{value}")
        convert = None if held else self._outgoing(section, type_)
        release = section.any("release")
        if payload is None:
            self.problems.error("missing-key", section.where, '"payload" is missing')
            return None
        entity = members[0] if members else None
        fine = [
            self._check_slots(section, key, item, slots, entity)
            for key, item in (("payload", payload), ("release", release))
        ]
        if not all(fine):
            return None
        back = None if release is None else compile_payload(release)
        return Outlet(compile_payload(payload), back, convert, qos)

    def _outgoing(self, section: Section, type_: ValueType) -> Convert | None:
        table = self._map(section, type_, outward=True)
        factor, addend = self._scaling(section, type_)
        digits = section.whole("digits", 0, 0, 12) if "digits" in section else None
        if table is not None:
            return translate(table)
        if (factor, addend, digits) == (1.0, 0.0, None):
            return None
        return scale_out(factor, addend, digits)

    def _check_slots(
        self,
        section: Section,
        key: str,
        template: Any,
        slots: Sequence[str],
        entity: EntitySpec | None,
    ) -> bool:
        try:
            names = slots_of(template)
        except BadTemplate as error:
            self.problems.error("template", section.path(key), str(error))
            return False
        for name in names:
            open_ended = name.split(".", 1)[0] in ("with", "arguments") and "." in name
            known = name in slots or (open_ended and name.split(".", 1)[0] in slots)
            if not known and (entity is None or attribute(entity, name) is None):
                message = f'"{{{name}}}" stands for nothing here'
                self.problems.error("placeholder", section.path(key), message, meant(name, slots))
                return False
        return True

    def call(self, section: Section) -> None:
        """Bind one entry under `calls:`."""
        name = section.text("call", required=True)
        template = self._template(section, wildcards=False)
        outlet = self._outlet(section, TEXT, CALL_SLOTS, (), held=True)
        if "reply" in section:
            self._reply(section.section("reply"))
        section.end()
        if template is None or outlet is None or not name:
            return
        if template.slots:
            message = "the topic of a call has no placeholders"
            self.problems.error("template", section.path("topic"), message)
        elif name in self.plan.calls:
            message = f'"{name}" is bound twice'
            self.problems.error("two-writers", section.where, message, "keep one of the two")
        else:
            self.plan.calls[name] = Target(template.text, outlet, {})

    def _reply(self, section: Section) -> None:
        template = self._template(section, wildcards=True)
        call, status = self._path(section, "call"), self._path(section, "status")
        detail = self._path(section, "detail")
        table = self._map(section, TEXT, outward=False)
        qos = section.whole("qos", max(1, self.plan.broker.qos), 0, 2)
        section.end()
        if call is None:
            message = '"call" is missing: the path of the id that was sent as "{command}"'
            self.problems.error("missing-key", section.where, message)
            return
        if template is None:
            return
        if template.slots:
            message = "the topic of a reply has no placeholders"
            self.problems.error("template", section.path("topic"), message)
            return
        reply = Reply(call, status, detail, None if table is None else translate(table))
        self.plan.filters[template.text] = max(qos, self.plan.filters.get(template.text, 0))
        self._keep(template, template.text, {template.levels: reply})

    # ── shared ───────────────────────────────────────────────────────────────────────────────

    def _template(self, section: Section, *, wildcards: bool) -> topics.Template | None:
        text = section.text("topic", required=True)
        if not text:
            return None
        try:
            return topics.parse(text, wildcards=wildcards)
        except BadTemplate as error:
            self.problems.error("template", section.path("topic"), str(error))
            return None

    def _path(self, section: Section, key: str) -> Path | None:
        text = section.text(key)
        if not text:
            return None
        try:
            return compile_path(text)
        except BadTemplate as error:
            mend = 'write a path like $.state.level or $["a name"][0]'
            self.problems.error("path", section.path(key), str(error), mend)
            return None

    def _filled(
        self, section: Section, template: topics.Template, members: Sequence[EntitySpec]
    ) -> list[tuple[str, ...]] | None:
        """Return the topic of each entity, level by level; None when a placeholder has no value."""
        filled = []
        for entity in members:
            values = {name: attribute(entity, name, self.site.name) for name in template.slots}
            wrong = next((n for n, v in values.items() if not _is_level_text(v)), None)
            if wrong is not None:
                said = values[wrong]
                what = "has no value" if said is None else f'is "{said}", no part of a topic,'
                message = f'"{{{wrong}}}" {what} for "{entity.id}"'
                self.problems.error("placeholder", section.path("topic"), message)
                return None
            filled.append(template.fill(lambda name, values=values: str(values[name])))  # type: ignore[misc]
        return filled


def _grouped(
    sources: list[tuple[tuple[str, ...], EntitySpec, tuple[Part, ...]]],
    form: Form,
    id_path: Path | None,
    each: Path | None,
) -> dict[tuple[str, ...], Source]:
    if id_path is None:
        return {levels: Own(form, parts) for levels, _, parts in sources}
    shared: dict[tuple[str, ...], Source] = {}
    for levels, entity, parts in sources:
        source = shared.setdefault(levels, Shared(form, id_path, each, {}))
        assert isinstance(source, Shared)
        source.parts[entity.id] = parts
    return shared


def attribute(entity: EntitySpec, name: str, site: str = "") -> str | None:
    """Return what a placeholder stands for: `id`, `name`, `kind`, `zone`, `site`, or a value of the inventory."""
    match name:
        case "id" | "kind" | "zone" | "name":
            return getattr(entity, name) or None
        case "site":
            return site or None
    value = entity.values.get(name)
    if value is None and len(entity.relations.get(name, ())) == 1:
        return entity.relations[name][0]
    return None if value is None else text_of(value)


class _Attributes(Mapping[str, Any]):
    """The attributes of an entity by name, looked up when an order is written."""

    __slots__ = ("_entity", "_site")

    def __init__(self, entity: EntitySpec, site: str) -> None:
        self._entity = entity
        self._site = site

    def __getitem__(self, name: str) -> Any:
        if name == "entity":
            return self._entity.id
        value = attribute(self._entity, name, self._site)
        if value is None:
            raise KeyError(name)
        return self._entity.values.get(name, value)

    def __iter__(self) -> Any:
        return iter(("id", "kind", "zone", "name", "site", *self._entity.values))

    def __len__(self) -> int:
        return 5 + len(self._entity.values)


def _is_level_text(value: str | None) -> bool:
    return bool(value) and not any(sign in str(value) for sign in "/+#\0")


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else text_of(key)


def _present(
    makers: list[Callable[[EntitySpec], Part | None] | None],
) -> list[Callable[[EntitySpec], Part | None]]:
    return [make for make in makers if make is not None]
