"""Configuration to points: which node carries which point of which entity, both ways.

Every mistake becomes a finding; a plan with findings that are errors is never opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.adapter import ConnectionSettings, Site
from pilotage.adapter.options import Problems, Section, meant, scaling
from pilotage.adapter.payload_binding import attribute
from pilotage.adapter.selection import is_taken, select
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.values import Base, ValueType
from pilotage_opcua.codec import (
    Address,
    AddressTemplate,
    BadAddress,
    Build,
    Convert,
    compile_argument,
    incoming,
    outgoing,
    parse_address,
    slots_of,
    text_of,
)
from pilotage_opcua.security import Security, read_security

ORDER_SLOTS: Final = ("command", "deadline", "because", "attempt")
REQUEST_SLOTS: Final = (*ORDER_SLOTS, "point", "action", "entity", "with")
CALL_SLOTS: Final = (*ORDER_SLOTS, "call", "arguments")
STAMPS: Final = ("changes", "always", "never")
"""When the server's source time counts: for changes (a read confirms the value now), always, or never."""

_URL: Final = re.compile(r"opc\.tcp://(?P<user>[^/@]*@)?[^/@:\s]+(:\d{1,5})?(/\S*)?")


# ── what a binding becomes ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach the server, and what is asked of it; times in seconds.

    Attributes:
        silence_s: A server from which nothing is heard for so long is lost.
        timeout_s: Longest wait for an answer.
        refresh_s: Every value is read again after so long without news, sooner when its `max_age` wants it.
        batch: Most items in one request.
        queue: Values that the server keeps for one item between two publications.
        in_flight: Orders that may wait for an answer at the same time.
    """

    url: str
    security: Security
    username: str
    password: str = field(repr=False)
    timeout_s: float
    silence_s: float
    refresh_s: float
    batch: int
    queue: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Item:
    """A node that is watched, and the point that it carries."""

    point: PointHandle
    address: Address
    convert: Convert
    sampling_s: float
    publishing_s: float
    stamps: str


@dataclass(frozen=True, slots=True)
class Write:
    """A node that is written; `release` is what gives the point back to the device."""

    address: Address
    convert: Convert
    release: Any


@dataclass(frozen=True, slots=True)
class Method:
    """A method that is called.

    Attributes:
        arguments: What makes each input argument, in order.
        output: Index of the output argument that holds the status; None when the call's own status says it.
        detail: Index of the output argument that says why; None for none.
        words: Status by what the server says.
        good, bad: Status when the server does not say one.
        attributes: What placeholders stand for besides the order's own values.
    """

    object: Address
    method: Address
    arguments: tuple[Build, ...]
    output: int | None
    detail: int | None
    words: Mapping[str, str] | None
    good: str
    bad: str
    attributes: Mapping[str, str]


@dataclass(slots=True)
class Plan:
    """One connection, ready to run; orders by the id of their point or the name of their call."""

    server: Server
    items: dict[str, Item] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    requests: dict[str, Method] = field(default_factory=dict)
    calls: dict[str, Method] = field(default_factory=dict)

    @property
    def points(self) -> list[PointHandle]:
        """Every point that this connection reports, in order of id."""
        return [self.items[name].point for name in sorted(self.items)]

    @property
    def addresses(self) -> list[Address]:
        """Every node that an order needs and every one that is watched, once."""
        found = {item.address: None for item in self.items.values()}
        found |= {write.address: None for write in self.writes.values()}
        for method in (*self.requests.values(), *self.calls.values()):
            found |= {method.object: None, method.method: None}
        return list(found)


def bind(settings: ConnectionSettings, site: Site) -> tuple[Plan, list[Finding]]:
    """Return the plan of a connection, and everything that is wrong with its settings."""
    problems = Problems(settings)
    options = Section(settings.options, f"connections.{settings.name}", problems)
    plan = Plan(_server(options))
    intervals = _Intervals.read(options, 0.5)
    binder = _Binder(plan, site, problems, intervals)
    for section in options.sections("points"):
        binder.points(section)
    for section in options.sections("calls"):
        binder.call(section)
    options.end()
    return plan, problems.found


# ── the server ───────────────────────────────────────────────────────────────────────────────


def _server(options: Section) -> Server:
    url = options.text("url", required=True)
    match = _URL.fullmatch(url)
    if url and match is None:
        options.problems.error(
            "url", options.path("url"), f'"{url}" is no address', "write opc.tcp://HOST:4840"
        )
    elif match is not None and match["user"]:
        options.problems.error(
            "url", options.path("url"), "holds a user", 'use "username" and "password"'
        )
    username, password = options.text("username"), options.text("password")
    if password and not username:
        message = '"password" without "username"'
        options.problems.error("missing-key", options.where, message, 'add "username"')
    security = read_security(options)
    if password and security.policy == "none":
        message = "without security the password can be read on its way"
        mend = 'write "security: Aes256Sha256RsaPss" with certificates'
        options.problems.warning("insecure", options.path("security"), message, mend)
    return Server(
        url=url,
        security=security,
        username=username,
        password=password,
        timeout_s=options.number("timeout", 5.0, 0.5, 60.0),
        silence_s=options.number("silence", 3.0, 2.0, 600.0),
        refresh_s=options.number("refresh", 60.0, 0.25, 86_400.0),
        batch=options.whole("batch", 500, 1, 10_000),
        queue=options.whole("queue", 1, 1, 10_000),
        in_flight=options.whole("in_flight", 20, 1, 80),
    )


@dataclass(frozen=True, slots=True)
class _Intervals:
    """How often a value is sampled at the server and published to us, in seconds."""

    sampling_s: float
    publishing_s: float

    @classmethod
    def read(
        cls, section: Section, publishing_s: float, sampling_s: float | None = None
    ) -> _Intervals:
        """Return the intervals of a section; those that it does not name are the given ones."""
        publishing = section.number("publishing", publishing_s, 0.02, 3600.0)
        default = publishing if sampling_s is None or "publishing" in section else sampling_s
        return cls(section.number("sampling", default, 0.0, 3600.0), publishing)

    @property
    def slowest_s(self) -> float:
        """Time after which a change is known for sure."""
        return self.sampling_s + self.publishing_s


# ── points ───────────────────────────────────────────────────────────────────────────────────


class _Binder:
    """Reads the bindings of one connection into its plan."""

    def __init__(self, plan: Plan, site: Site, problems: Problems, intervals: _Intervals) -> None:
        self.plan = plan
        self.site = site
        self.problems = problems
        self.intervals = intervals
        self.entities = {entity.id: entity for entity in site.entities()}

    def points(self, section: Section) -> None:
        """Bind one entry under `points:`."""
        kind, members = select(section, self.site, self.entities)
        reads, writes = section.sections("read"), section.sections("write")
        requests = section.sections("request")
        section.end()
        if not (reads or writes or requests):
            mend = 'add "read", "write" or "request"'
            self.problems.error("missing-key", section.where, "binds nothing", mend)
        if kind is None:
            return
        for part in reads:
            self._several(part, kind, members, self._read)
        for part in writes:
            self._several(part, kind, members, self._write)
        for part in requests:
            self._request(part, kind, members)

    def _several(
        self,
        section: Section,
        kind: Kind,
        members: Sequence[EntitySpec],
        bind_one: Callable[[Section, str, Kind, Sequence[EntitySpec]], None],
    ) -> None:
        """Bind `point: level` with its `node`, or `points: {level: NODE, power: {node: NODE, unit: kW}}`."""
        name, several = section.any("point"), section.any("points")
        if (name is None) == (several is None):
            message = 'expected either "point" or "points"'
            self.problems.error("missing-key", section.where, message)
            return
        if several is None:
            bind_one(section, section.text("point"), kind, members)
            section.end()
            return
        shared = {k: section.any(k) for k in ("sampling", "publishing", "source_time")}
        shared = {key: value for key, value in shared.items() if value is not None}
        for key, raw in section.section("points").raw.items():
            where = f"{section.path('points')}.{key}"
            own = {"node": raw} if isinstance(raw, str) else raw
            inner = Section(own, where, self.problems)
            if inner.is_mapping:
                inner.raw = {**shared, **inner.raw}
                bind_one(inner, key, kind, members)
                inner.end()
        section.end()

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def _read(self, section: Section, name: str, kind: Kind, members: Sequence[EntitySpec]) -> None:
        template = self._template(section, "node")
        stamps = section.text("source_time", "changes")
        if stamps not in STAMPS:
            message = f'"{stamps}" is none of {", ".join(STAMPS)}'
            self.problems.error("wrong-value", section.path("source_time"), message)
        intervals = _Intervals.read(section, self.intervals.publishing_s, self.intervals.sampling_s)
        found = self._point_type(section, name, kind, members)
        if found is None:
            self._skip_conversion(section)
            return
        spec, type_ = found
        if spec is not None and not spec.access.is_reported and not spec.is_request:
            message = f'"{kind.name}.{name}" is {spec.access.value}: no device reports it'
            self.problems.error("not-reported", section.where, message)
            self._skip_conversion(section)
            return
        if spec is not None:
            self._check_speed(section, f"{kind.name}.{name}", spec, intervals)
        table = self._map(section, type_, outward=False)
        convert = incoming(type_, *scaling(section, type_, self.problems), table)
        for entity, address in self._filled(section, "node", template, members):
            point = self.site.point(f"{entity.id}.{name}")
            if point is None:
                continue
            if point.id in self.plan.items:
                message = f'"{point.id}" is read twice'
                self.problems.error("two-readers", section.where, message, "keep one of the two")
                return
            self.plan.items[point.id] = Item(
                point, address, convert, intervals.sampling_s, intervals.publishing_s, stamps
            )

    def _skip_conversion(self, section: Section) -> None:
        for key in ("scale", "offset", "unit", "map", "release"):
            section.any(key)

    def _check_speed(
        self, section: Section, name: str, spec: PointSpec, intervals: _Intervals
    ) -> None:
        slowest = intervals.slowest_s
        mend = 'write shorter "sampling" and "publishing"'
        if spec.max_age_s is not None and slowest > spec.max_age_s:
            message = (
                f'a change of "{name}" is known after up to {slowest:g} s, and after'
                f" {spec.max_age_s:g} s without news it is stale"
            )
            self.problems.error("too-slow", section.where, message, mend)
        elif spec.every_s is not None and slowest > spec.every_s:
            message = (
                f'a change of "{name}" is known after up to {slowest:g} s, and the device reports'
                f" every {spec.every_s:g} s"
            )
            self.problems.warning("too-slow", section.where, message, mend)

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

    def _map(self, section: Section, type_: ValueType, *, outward: bool) -> dict[str, Any] | None:
        if section.any("map") is None:
            return None
        raw = section.any("map")
        if not isinstance(raw, Mapping):
            section.section("map")
            return None
        words = {text_of(key): value for key, value in raw.items()}
        for key, value in words.items():
            self._check_member(section, type_, key if outward else value)
        missing = [member for member in type_.members if member not in words]
        if outward and type_.base is Base.ENUM and missing:
            message = f"says nothing of {', '.join(missing)}"
            self.problems.error("not-a-member", section.path("map"), message, "add the missing")
        return words

    def _check_member(self, section: Section, type_: ValueType, member: Any) -> None:
        where = section.path("map")
        if type_.base is Base.ENUM and member not in type_.members:
            message = f'"{member}" is not {type_}'
            mend = meant(str(member), type_.members)
            self.problems.error("not-a-member", where, message, mend)
        if type_.base is Base.BOOLEAN and text_of(member) not in ("true", "false"):
            message = f'"{member}" is neither true nor false'
            self.problems.error("not-a-member", where, message)

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    def _write(
        self, section: Section, name: str, kind: Kind, members: Sequence[EntitySpec]
    ) -> None:
        template = self._template(section, "node")
        for key in ("sampling", "publishing", "source_time"):
            if key in section:
                message = f'"{key}" is for "read"'
                self.problems.error("unknown-key", section.where, message)
                section.any(key)
        spec = self._commandable(section, name, kind, held=False)
        if spec is None:
            self._skip_conversion(section)
            return
        release = section.any("release")
        table = self._map(section, spec.type, outward=True)
        convert = outgoing(*scaling(section, spec.type, self.problems), table)
        for entity, address in self._filled(section, "node", template, members):
            point = f"{entity.id}.{name}"
            if is_taken(section, point, self.plan.writes):
                return
            self.plan.writes[point] = Write(address, convert, release)

    def _commandable(
        self, section: Section, name: str, kind: Kind, *, held: bool
    ) -> PointSpec | None:
        spec, where = kind.point(name), section.where
        if spec is None:
            names = [p.name for p in kind.points if p.access.is_commandable]
            message = f'a {kind.name} has no point "{name}"'
            self.problems.error("unknown-point", where, message, meant(name, names))
        elif spec.is_request is not held:
            what = "a held request" if spec.is_request else "a value"
            mend = f'move it to "{"request" if spec.is_request else "write"}"'
            message = f'"{kind.name}.{name}" is {what}'
            self.problems.error("not-commandable", where, message, mend)
        elif not spec.access.is_commandable and not held:
            message = f'"{kind.name}.{name}" is {spec.access.value}: nobody can set it'
            self.problems.error("not-commandable", where, message)
        else:
            return spec
        return None

    def _request(self, section: Section, kind: Kind, members: Sequence[EntitySpec]) -> None:
        name = section.text("point", required=True)
        owner, method = self._template(section, "object"), self._template(section, "method")
        arguments = self._arguments(section, REQUEST_SLOTS, members)
        section.end()
        spec = self._commandable(section, name, kind, held=True) if name else None
        if spec is None:
            return
        filled = zip(
            self._filled(section, "object", owner, members),
            self._filled(section, "method", method, members),
            strict=False,
        )
        for (entity, object_), (_, method_) in filled:
            point = f"{entity.id}.{name}"
            if is_taken(section, point, self.plan.requests):
                return
            values = self._attributes(entity)
            self.plan.requests[point] = Method(
                object_, method_, arguments, None, None, None, "", "", values
            )

    def call(self, section: Section) -> None:
        """Bind one entry under `calls:`."""
        name = section.text("call", required=True)
        owner, method = self._template(section, "object"), self._template(section, "method")
        arguments = self._arguments(section, CALL_SLOTS, ())
        output, detail = self._index(section, "output"), self._index(section, "detail")
        words = section.section("map").raw if "map" in section else None
        good, bad = section.text("good", "accepted"), section.text("bad", "refused")
        section.end()
        if words is not None and output is None:
            message = '"map" is for the words of an output argument'
            mend = 'add "output: 0" for the first one'
            self.problems.error("missing-key", section.where, message, mend)
        for key, template in (("object", owner), ("method", method)):
            if template is not None and template.slots:
                message = "the address of a call has no placeholders"
                self.problems.error("placeholder", section.path(key), message)
                return
        if owner is None or method is None or not name:
            return
        if is_taken(section, name, self.plan.calls, "bound"):
            return
        said = None if words is None else {text_of(k): text_of(v) for k, v in words.items()}
        self.plan.calls[name] = Method(
            owner.fill({}), method.fill({}), arguments, output, detail, said, good, bad, {}
        )

    def _index(self, section: Section, key: str) -> int | None:
        return section.whole(key, 0, 0, 100) if key in section else None

    def _arguments(
        self, section: Section, slots: Sequence[str], members: Sequence[EntitySpec]
    ) -> tuple[Build, ...]:
        raw = section.any("arguments", [])
        if not isinstance(raw, (list, tuple)):
            section.problems.error(
                "wrong-type", section.path("arguments"), "expected a list, in the method's order"
            )
            return ()
        entity = members[0] if members else None
        for number, item in enumerate(raw):
            self._check_slots(f"{section.path('arguments')}[{number}]", item, slots, entity)
        return tuple(compile_argument(item) for item in raw)

    def _check_slots(
        self, where: str, template: Any, slots: Sequence[str], entity: EntitySpec | None
    ) -> None:
        try:
            names = slots_of(template)
        except BadAddress as error:
            self.problems.error("placeholder", where, str(error))
            return
        for name in names:
            first = name.split(".", 1)[0]
            known = name in slots or (first in ("with", "arguments") and first in slots)
            if not known and (entity is None or attribute(entity, name, self.site.name) is None):
                message = f'"{{{name}}}" stands for nothing here'
                self.problems.error("placeholder", where, message, meant(name, slots))

    # ── shared ───────────────────────────────────────────────────────────────────────────────

    def _template(self, section: Section, key: str) -> AddressTemplate | None:
        text = section.text(key, required=True)
        if not text:
            return None
        try:
            return parse_address(text)
        except BadAddress as error:
            self.problems.error("node", section.path(key), str(error))
            return None

    def _filled(
        self,
        section: Section,
        key: str,
        template: AddressTemplate | None,
        members: Sequence[EntitySpec],
    ) -> list[tuple[EntitySpec, Address]]:
        """Return the address of each entity; none at all when one of them cannot be made."""
        filled: dict[Address, EntitySpec] = {}
        found: list[tuple[EntitySpec, Address]] = []
        for entity in members if template is not None else ():
            assert template is not None
            values = {name: attribute(entity, name, self.site.name) for name in template.slots}
            missing = next((name for name, value in values.items() if not value), None)
            if missing is not None:
                message = f'"{{{missing}}}" has no value for "{entity.id}"'
                self.problems.error("placeholder", section.path(key), message)
                return []
            try:
                address = template.fill({name: str(value) for name, value in values.items()})
            except BadAddress as error:
                self.problems.error("node", section.path(key), f"{entity.id}: {error}")
                return []
            if key == "node" and address in filled:
                message = (
                    f'"{address.text}" is the node of "{filled[address].id}" and "{entity.id}"'
                )
                mend = 'write "{id}" or another placeholder in it'
                self.problems.error("whose", section.path(key), message, mend)
                return []
            filled[address] = entity
            found.append((entity, address))
        return found

    def _attributes(self, entity: EntitySpec) -> Mapping[str, str]:
        names = ("id", "kind", "zone", "name", "site", *entity.values, *entity.relations)
        found = {name: attribute(entity, name, self.site.name) for name in names}
        return {name: value for name, value in found.items() if value is not None}
