"""Bindings of payloads: which value in a message carries which point, and how orders are written; for adapters whose messages are texts.

Every mistake becomes a finding. Where a message comes from (a topic, a path) is the adapter's own business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.adapter import Site
from pilotage.adapter.codecs import (
    PayloadCodec,
    UnknownCodecError,
    codec_names,
    find_codec,
    guarded,
)
from pilotage.adapter.options import Problems, Section, meant, scaling
from pilotage.adapter.payloads import (
    QUALITY_WORDS,
    BadTemplate,
    Convert,
    Decode,
    Path,
    Render,
    compile_path,
    compile_payload,
    decode_json,
    decode_plain,
    scale_in,
    scale_out,
    slots_of,
    text_of,
    translate,
)
from pilotage.adapter.selection import select
from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import CallOut, Command, PointHandle, Request
from pilotage.model.quality import Quality
from pilotage.model.values import Base, ValueType, set_of

ORDER_SLOTS: Final = ("command", "deadline", "because", "attempt", "id", "entity", "point")
"""What every payload may name besides the attributes of the entity."""

WRITE_SLOTS: Final = (*ORDER_SLOTS, "value", "ramp_s")
REQUEST_SLOTS: Final = (*ORDER_SLOTS, "action", "with")
CALL_SLOTS: Final = ("command", "deadline", "because", "attempt", "call", "arguments")


class Elsewhere:
    """A path that looks beside the payload: the payload itself need not be decoded for it."""

    def __init__(self, find: Path) -> None:
        self._find = find

    def __call__(self, document: Any) -> Any:
        """Return what stands there.

        Raises:
            Garbage: Nothing does.
        """
        return self._find(document)

    def as_value(self, type_: ValueType) -> Elsewhere:
        """Return the same path with the text that it finds read as a value of a type."""
        return Elsewhere(lambda document: decode_plain(text_of(self(document)).encode(), type_))


@dataclass(frozen=True, slots=True)
class Part:
    """One point of one entity inside a payload; without a path the payload is the value."""

    point: PointHandle
    path: Path | None
    convert: Convert | None
    optional: bool


@dataclass(frozen=True, slots=True)
class Form:
    """What the parts of one payload share: what decodes it, where its time and its quality stand."""

    time: Path | None = None
    quality: Path | None = None
    words: Mapping[str, Quality] = field(default_factory=lambda: QUALITY_WORDS)
    decode: Decode = decode_json


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
        paths = (self.form.time, self.form.quality, *(part.path for part in self.parts))
        return any(path is not None and not isinstance(path, Elsewhere) for path in paths)


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
class Outlet:
    """How an order is written, for every entity of a binding."""

    render: Render
    release: Render | None
    convert: Convert | None
    qos: int


class PayloadBinder:
    """Reads bindings of payloads; an adapter derives its own from it, which adds where the payloads are found.

    Attributes:
        has_qos: Orders may have a `qos`.
        needs_payload: A held request or a call without a payload is a mistake.
    """

    has_qos = True
    needs_payload = True

    def __init__(self, site: Site, problems: Problems) -> None:
        self.site = site
        self.problems = problems
        self.entities = {entity.id: entity for entity in site.entities()}

    def members_of(self, section: Section) -> tuple[Kind | None, Sequence[EntitySpec]]:
        """Return the kind of an entry and the entities that it binds; (None, ()) after a finding."""
        return select(section, self.site, self.entities)

    # ── what is read ─────────────────────────────────────────────────────────────────────────

    def form_of(self, section: Section) -> Form:
        """Return where time and quality of a message stand, and what decodes it."""
        words: Mapping[str, Quality] = QUALITY_WORDS
        if "quality_map" in section:
            words = self._quality_words(section)
        codec = self.codec_of(section)
        decode = decode_json if codec is None else guarded(codec.decode)
        return Form(self.path_of(section, "time"), self.path_of(section, "quality"), words, decode)

    def codec_of(self, section: Section) -> PayloadCodec | None:
        """Return the codec that a section names, or None for JSON and plain text."""
        name = section.text("codec")
        if not name or name == "json":
            return None
        try:
            return find_codec(name)
        except UnknownCodecError as error:
            mend = meant(name, codec_names())
            self.problems.error("codec", section.path("codec"), str(error), mend)
            return None

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

    def part_makers(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec]
    ) -> list[Callable[[EntitySpec], Part | None]]:
        """Return what makes each part of a message for an entity."""
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
        path, optional = self.path_of(section, "path"), section.flag("optional")
        found = self._point_type(section, name, kind, members)
        if found is None:
            section.any("scale"), section.any("offset"), section.any("unit"), section.any("map")
            return None
        spec, type_ = found
        if spec is not None and not spec.access.is_reported and not spec.is_request:
            message = f'"{kind.name}.{name}" is {spec.access.value}: no device reports it'
            self.problems.error("not-reported", section.where, message)
        convert = self._incoming(section, type_)
        if isinstance(path, Elsewhere):
            path = path.as_value(type_)

        def make(entity: EntitySpec) -> Part | None:
            point = self.site.point(f"{entity.id}.{name}")
            return None if point is None else Part(point, path, convert, optional)

        return make

    def _point_type(
        self, section: Section, name: str, kind: Kind, members: Sequence[EntitySpec]
    ) -> tuple[PointSpec | None, ValueType] | None:
        """Return the point's declaration (None for the status of a request, and for a relation) and its type."""
        spec = kind.point(name)
        if spec is not None:
            return spec, spec.type
        request = kind.point(name.removesuffix(".status"))
        if name.endswith(".status") and request is not None and request.is_request:
            return None, ValueType(Base.ENUM, members=request.statuses)
        if name in kind.relations:
            return None, set_of(kind.relations[name])
        point = self.site.point(f"{members[0].id}.{name}") if members else None
        if point is not None:
            return point.spec, point.spec.type
        names = [p.name for p in kind.points]
        names += [f"{p.name}.status" for p in kind.points if p.is_request]
        names += list(kind.relations)
        message = f'a {kind.name} has no point "{name}"'
        self.problems.error("unknown-point", section.where, message, meant(name, names))
        return None

    def _incoming(self, section: Section, type_: ValueType) -> Convert | None:
        table = self.map_of(section, type_, outward=False)
        scale = scaling(section, type_, self.problems)
        if table is not None:
            return translate(table)
        return None if scale == (1.0, 0.0) else scale_in(*scale)

    def map_of(self, section: Section, type_: ValueType, *, outward: bool) -> dict[str, Any] | None:
        """Return the device's words for values (or outwards the values' words for the device), or None without any."""
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

    # ── what is written ──────────────────────────────────────────────────────────────────────

    def commandable(
        self, section: Section, name: str, kind: Kind, *, held: bool
    ) -> PointSpec | None:
        """Return the declaration of a point that orders can be for, or None after a finding."""
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

    def outlet_of(
        self,
        section: Section,
        type_: ValueType,
        slots: Sequence[str],
        members: Sequence[EntitySpec],
        *,
        held: bool,
    ) -> Outlet | None:
        """Return how orders are written, or None after a finding."""
        codec = self.codec_of(section)
        qos = section.whole("qos", 1, 0, 2) if self.has_qos else 0
        usual = "" if not self.needs_payload else None
        payload = section.any("payload", usual if held else "{value}")
        convert = None if held else self._outgoing(section, type_)
        release = section.any("release")
        if payload is None:
            self.problems.error("missing-key", section.where, '"payload" is missing')
            return None
        entity = members[0] if members else None
        fine = [
            self.check_slots(section, key, item, slots, entity)
            for key, item in (("payload", payload), ("release", release))
        ]
        if not all(fine):
            return None
        encode = None if codec is None else codec.encode
        back = None if release is None else compile_payload(release, encode)
        return Outlet(compile_payload(payload, encode), back, convert, qos)

    def _outgoing(self, section: Section, type_: ValueType) -> Convert | None:
        table = self.map_of(section, type_, outward=True)
        factor, addend = scaling(section, type_, self.problems)
        digits = section.whole("digits", 0, 0, 12) if "digits" in section else None
        if table is not None:
            return translate(table)
        if (factor, addend, digits) == (1.0, 0.0, None):
            return None
        return scale_out(factor, addend, digits)

    def check_slots(
        self,
        section: Section,
        key: str,
        template: Any,
        slots: Sequence[str],
        entity: EntitySpec | None,
    ) -> bool:
        """Return whether each placeholder of a template stands for something; if not, after a finding."""
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

    def path_of(self, section: Section, key: str) -> Path | None:
        """Return a compiled path, or None without one."""
        text = section.text(key)
        if not text:
            return None
        try:
            return compile_path(text)
        except BadTemplate as error:
            mend = 'write a path like $.state.level or $["a name"][0]'
            self.problems.error("path", section.path(key), str(error), mend)
            return None


def grouped(
    sources: list[tuple[tuple[str, ...], EntitySpec, tuple[Part, ...]]],
    form: Form,
    id_path: Path | None,
    each: Path | None,
) -> dict[tuple[str, ...], Own | Shared]:
    """Return the sources of a template by the levels or words that tell them apart; messages with an id are shared."""
    if id_path is None:
        return {levels: Own(form, parts) for levels, _, parts in sources}
    shared: dict[tuple[str, ...], Own | Shared] = {}
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


class Attributes(Mapping[str, Any]):
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


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else text_of(key)


def _present(
    makers: list[Callable[[EntitySpec], Part | None] | None],
) -> list[Callable[[EntitySpec], Part | None]]:
    return [make for make in makers if make is not None]


# ── orders ───────────────────────────────────────────────────────────────────────────────────


class Values(dict[str, Any]):
    """The placeholders of one order: its own values first, then the attributes of the entity."""

    def __init__(self, values: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._attributes = attributes

    def get(self, name: str, default: Any = None) -> Any:
        """Return what a placeholder stands for, or None."""
        value = super().get(name)
        return self._attributes.get(name, default) if value is None else value


def values_of(
    order: Command | Request | CallOut, outlet: Outlet, attributes: Mapping[str, Any]
) -> Values:
    """Return what the placeholders of an order stand for.

    Raises:
        Garbage: The device has no word for its value.
    """
    values: dict[str, Any] = {
        "command": order.id,
        "deadline": round(order.deadline, 3),
        "because": order.because,
        "attempt": order.attempt,
    }
    match order:
        case Command():
            value = order.value
            if value is not None and outlet.convert is not None:
                value = outlet.convert(value)
            values |= {"point": order.point, "value": value, "ramp_s": order.ramp_s}
        case Request():
            values |= {"point": order.point, "action": order.action, "entity": order.entity}
            values |= _under("with", order.data)
        case _:
            values |= {"call": order.name} | _under("arguments", order.arguments)
    return Values(values, attributes)


def payload_of(order: Command | Request | CallOut, outlet: Outlet, values: Values) -> bytes:
    """Return the payload of an order; of a point that is given back, what `release` says.

    Raises:
        Garbage: It cannot be written.
    """
    is_release = isinstance(order, Command) and order.value is None
    return (outlet.release or outlet.render)(values) if is_release else outlet.render(values)


def _under(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values under their full placeholder names, `with.eta`, and all together, `with`."""
    return {f"{name}.{key}": value for key, value in values.items()} | {name: dict(values)}
