"""Configuration to points: which register of which unit carries which point of which entity, both ways.

Every mistake becomes a finding; a plan with findings that are errors is never opened.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Final

from pilotage.adapter import ConnectionSettings, Site
from pilotage.adapter.options import Problems, Section, meant, scaling
from pilotage.adapter.selection import select
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.values import Base, ValueType
from pilotage_modbus.blocks import MAX_BITS, MAX_REGISTERS, Block, Part, coalesce
from pilotage_modbus.codec import (
    BIT,
    MAX_ADDRESS,
    NUMBER_TYPES,
    Convert,
    Garbage,
    Layout,
    Table,
    scale_in,
    scale_out,
    translate_in,
    translate_out,
    truth_in,
    truth_out,
)
from pilotage_modbus.guard import Guard, read_register

TABLES: Final = tuple(table.value for table in Table)
ORDERS: Final = ("big", "little")
LARGEST: Final = 1e12

_SLOT: Final = re.compile(r"\{([^{}]+)\}")
_BIT: Final = re.compile(r"bit ?(\d{1,2})")
_REFERENCES: Final = {Table.HOLDING: 40_001, Table.INPUT: 30_001}


# ── what a binding becomes ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for an encrypted connection; an empty name is the system's own, or none."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Serial:
    """A serial line."""

    port: str
    baudrate: int
    bytesize: int
    parity: str
    stopbits: int


@dataclass(frozen=True, slots=True)
class Line:
    """How to reach the units, and how to treat them.

    Attributes:
        is_rtu: RTU frames, on a serial line or inside TCP, instead of Modbus/TCP frames.
        retries: How often a read is tried again that was not answered; a write never is.
        quiet_s: Silence after an answer that did not come: a late one must not pass for the next.
        longest_pause_s: Between two tries of a unit that does not answer.
        bit_write: `mask` sets bits of a register in the device (function 22), `modify` reads and writes the whole.
    """

    host: str
    port: int
    is_rtu: bool
    tls: Tls | None
    serial: Serial | None
    connect_s: float
    retries: int
    quiet_s: float
    longest_pause_s: float
    bit_write: str
    write_multiple: bool

    @property
    def address(self) -> str:
        """Where it leads, for people."""
        return self.serial.port if self.serial else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """A point that can be ordered, and where it is written.

    Attributes:
        release: What is written for "no value"; None when nothing can be.
    """

    point: PointHandle
    unit: int
    table: Table
    address: int
    layout: Layout
    convert: Convert | None
    release: float | None
    timeout_s: float

    def registers(self, value: Any) -> list[int]:
        """Return what is written for a value of the point, checked against its range.

        Raises:
            Garbage: It has no place there.
        """
        if value is None:
            if self.release is None:
                raise Garbage('there is nothing to write for "no value" (mend: add "release")')
            return self.layout.encode(self.release)
        spec = self.point.spec
        if isinstance(value, float | int) and not isinstance(value, bool):
            low, high = spec.low, spec.high
            # Written so that NaN is refused too.
            if not (low is None or value >= low) or not (high is None or value <= high):
                raise Garbage(f"{value:g} is outside {spec.name}: {low} to {high}")
        return self.layout.encode(value if self.convert is None else self.convert(value))


@dataclass(slots=True)
class Plan:
    """One connection, ready to run."""

    line: Line
    parts: list[Part] = field(default_factory=list)
    writes: dict[str, Target] = field(default_factory=dict)
    gap: int = 0
    max_registers: int = MAX_REGISTERS
    max_bits: int = MAX_BITS
    guards: list[Guard] = field(default_factory=list)
    heartbeat_s: float = 1.0

    @property
    def blocks(self) -> list[Block]:
        """As few requests as read everything."""
        return coalesce(self.parts, self.gap, self.max_registers, self.max_bits)

    @property
    def points(self) -> list[PointHandle]:
        """Every point that this connection reports, once, in order of id."""
        found = {part.point.id: part.point for part in self.parts}
        return [found[name] for name in sorted(found)]


def bind(settings: ConnectionSettings, site: Site) -> tuple[Plan, list[Finding]]:
    """Return the plan of a connection, and everything that is wrong with its settings."""
    problems = Problems(settings)
    options = Section(settings.options, f"connections.{settings.name}", problems)
    plan = Plan(_line(options))
    plan.gap = options.whole("gap", 8, 0, MAX_REGISTERS)
    plan.max_registers = options.whole("max_registers", MAX_REGISTERS, 4, MAX_REGISTERS)
    plan.max_bits = options.whole("max_bits", MAX_BITS, 1, MAX_BITS)
    defaults = _Pace(
        options.seconds("poll", 1.0, 0.02, 86_400.0), options.seconds("timeout", 1.0, 0.01, 60.0)
    )
    binder = _Binder(plan, site, problems, defaults)
    for section in options.sections("points"):
        binder.bind(section)
    plan.heartbeat_s = options.seconds("heartbeat_every", 1.0, 0.05, 3600.0)
    for section in options.sections("guards"):
        _guard(section, plan, problems)
    options.end()
    return plan, problems.found


def _guard(section: Section, plan: Plan, problems: Problems) -> None:
    """Read what a device does without us, and where that is written."""
    id_ = section.text("point", required=True)
    heartbeat = section.whole("heartbeat", 0, 0, 65_535)
    value, after = read_register(section, "value"), read_register(section, "after")
    if "heartbeat" not in section:
        problems.error(
            "missing-key", section.where, 'a guard needs "heartbeat"', "add the register's number"
        )
    section.end()
    target = plan.writes.get(id_)
    if target is None:
        message = f'"{id_}" is not ordered over this connection'
        problems.error("unknown-point", section.path("point"), message, "bind it under points")
        return
    on_loss = target.point.spec.on_loss
    if on_loss is None:
        message = f"nobody says what {id_} does when the engine is gone"
        problems.error(
            "missing-key", section.where, message, "add on_loss to the entity in the inventory"
        )
        return
    try:
        words = tuple(target.registers(on_loss.value))
    except Garbage as error:
        problems.error("out-of-range", section.where, f"on_loss of {id_}: {error}", "mend on_loss")
        return
    plan.guards.append(
        Guard(id_, target.unit, heartbeat, value, after, words, on_loss, target.timeout_s)
    )


# ── the line ─────────────────────────────────────────────────────────────────────────────────


def _line(options: Section) -> Line:
    tls, serial = _tls(options), _serial(options)
    framing = options.choice("framing", "rtu" if serial else "tcp", ("tcp", "rtu"))
    host = options.text("host", required=serial is None)
    if serial is not None and (host or tls or framing == "tcp"):
        message = '"serial" is a line of its own: no host, no tls, always RTU frames'
        options.problems.error(
            "wrong-value", options.path("serial"), message, "keep one of the two"
        )
    is_rtu = framing == "rtu"
    return Line(
        host=host,
        port=options.whole("port", 502 if tls is None else 802, 1, 65_535),
        is_rtu=is_rtu,
        tls=tls,
        serial=serial,
        connect_s=options.seconds("connect_timeout", 3.0, 0.1, 60.0),
        retries=options.whole("retries", 1, 0, 10),
        quiet_s=options.seconds("quiet", 1.0 if is_rtu else 0.0, 0.0, 60.0),
        longest_pause_s=options.seconds("longest_pause", 30.0, 0.1, 3600.0),
        bit_write=options.choice("bit_write", "mask", ("mask", "modify")),
        write_multiple=options.flag("write_multiple"),
    )


def _tls(options: Section) -> Tls | None:
    raw = options.any("tls")
    if raw is None or raw is False:
        return None
    if raw is True:
        return Tls()
    section = options.section("tls")
    tls = Tls(
        section.text("ca"),
        section.text("certificate"),
        section.text("key"),
        section.text("server_name"),
    )
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


def _serial(options: Section) -> Serial | None:
    if options.any("serial") is None:
        return None
    section = options.section("serial")
    serial = Serial(
        section.text("port", required=True),
        section.whole("baudrate", 19_200, 300, 4_000_000),
        section.whole("bytesize", 8, 7, 8),
        section.choice("parity", "E", ("E", "O", "N")),
        section.whole("stopbits", 1, 1, 2),
    )
    section.end()
    if importlib.util.find_spec("serial") is None:
        message = "a serial line needs the library pyserial, which is not installed"
        options.problems.error("no-library", section.where, message, "install pilotage[serial]")
    return serial


# ── points ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Pace:
    every_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class _Place:
    """One point of a kind in its table, before an entity says of which unit."""

    table: Table
    address: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class _Home:
    """Where one entity's registers begin."""

    entity: EntitySpec
    unit: int
    base: int


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody's use of registers, to find out who else uses them."""

    owner: str
    name: str
    start: int
    layout: Layout
    where: str

    @property
    def end(self) -> int:
        return self.start + self.layout.width

    def clashes(self, other: _Claim) -> bool:
        """True when both use the same bits in a way that cannot be meant."""
        if self.start >= other.end or other.start >= self.end:
            return False
        same_word = self.start == other.start and self.layout.width == other.layout.width
        if same_word and self.layout.mask and other.layout.mask:
            return bool(self.layout.mask & other.layout.mask)
        return True


class _Binder:
    """Reads the bindings of one connection into its plan."""

    def __init__(self, plan: Plan, site: Site, problems: Problems, pace: _Pace) -> None:
        self.plan = plan
        self.site = site
        self.problems = problems
        self.pace = pace
        self.entities = {entity.id: entity for entity in site.entities()}
        self._claims: dict[tuple[bool, int, Table, int], list[_Claim]] = {}
        self._read: set[str] = set()
        self._told: set[str] = set()
        self._checked: set[str] = set()

    def bind(self, section: Section) -> None:
        """Bind one entry under `points:`."""
        kind, members = select(section, self.site, self.entities)
        homes = self._homes(section, members)
        pace = _Pace(
            section.seconds("poll", self.pace.every_s, 0.02, 86_400.0),
            section.seconds("timeout", self.pace.timeout_s, 0.01, 60.0),
        )
        layout = Layout(
            little_words=section.choice("word_order", "big", ORDERS) == "little",
            little_bytes=section.choice("byte_order", "big", ORDERS) == "little",
        )
        points = section.section("points")
        section.end()
        if points.is_mapping and not points.raw:
            message = '"points" is missing: which point stands in which register'
            self.problems.error("missing-key", section.where, message)
        for name, raw in points.raw.items():
            part = Section(raw, points.path(name), self.problems)
            if part.is_mapping:
                self._point(part, name, kind, homes, layout, pace)

    # ── which unit, and from which address on ────────────────────────────────────────────────

    def _homes(self, section: Section, members: Sequence[EntitySpec]) -> list[_Home]:
        if section.any("unit_id") is None:
            message = '"unit_id" is missing: a number, or a template like "{unit}"'
            self.problems.error("missing-key", section.where, message)
        # On a serial line 0 is a broadcast that nobody answers, and 248 to 255 are reserved.
        low, high = (1, 247) if self.plan.line.is_rtu else (0, 255)
        step = section.whole("step", 1, 1, MAX_ADDRESS)
        homes = []
        for entity in members:
            unit = self._number(section, "unit_id", entity, low, high, 1)
            base = self._number(section, "base", entity, 0, MAX_ADDRESS, 0)
            if unit is None or base is None:
                break
            homes.append(_Home(entity, unit, base * step))
        section.any("base")
        return homes

    def _number(
        self, section: Section, key: str, entity: EntitySpec, low: int, high: int, default: int
    ) -> int | None:
        """Return a whole number that is written as such, listed by entity, or that a template finds at the entity."""
        raw = section.any(key)
        if isinstance(raw, Mapping):
            return self._listed(section, key, entity, low, high)
        slot = _SLOT.fullmatch(raw.strip()) if isinstance(raw, str) else None
        if slot is None:
            if isinstance(raw, str):
                message = f'expected a number or a template like "{{unit}}", found "{raw}"'
                self.problems.error("template", section.path(key), message)
                return None
            return section.whole(key, default, low, high)
        value = self._attribute(entity, slot[1])
        try:
            number = float(value)
            if number != int(number):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            said = "has no value" if value is None else f'is "{value}", no whole number,'
            message = f'"{raw}" {said} for "{entity.id}"'
            self.problems.error("placeholder", section.path(key), message)
            return None
        if not low <= number <= high:
            message = f'{number:g} of "{entity.id}" is not between {low} and {high}'
            self.problems.error("out-of-range", section.path(key), message)
            return None
        return int(number)

    def _listed(
        self, section: Section, key: str, entity: EntitySpec, low: int, high: int
    ) -> int | None:
        """Return an entity's number of a map `{CAB-1: 1, CAB-2: 2}`."""
        inner = section.section(key)
        is_new = inner.where not in self._checked
        self._checked.add(inner.where)
        for name in inner.raw if is_new else ():
            if name not in self.entities:
                message = f'there is no entity "{name}"'
                mend = meant(name, self.entities)
                self.problems.error("unknown-entity", section.path(key), message, mend)
        if entity.id not in inner:
            message = f'has no number for "{entity.id}"'
            self.problems.error("missing-key", section.path(key), message)
            return None
        before = len(self.problems.found)
        number = inner.whole(entity.id, 0, low, high)
        return number if len(self.problems.found) == before else None

    def _attribute(self, entity: EntitySpec, name: str) -> Any:
        """Return what a placeholder stands for: `{unit}`, or `{cabinet.unit}` of the one that it belongs to."""
        if name in entity.values:
            return entity.values[name]
        first, _, rest = name.partition(".")
        related = entity.relations.get(first, ())
        if rest and (len(related) == 1 or first in entity.values):
            other = self.entities.get(str(related[0] if related else entity.values[first]))
            return None if other is None else self._attribute(other, rest)
        return entity.id if name == "id" else None

    # ── one point ────────────────────────────────────────────────────────────────────────────

    def _point(
        self,
        section: Section,
        name: str,
        kind: Kind | None,
        homes: Sequence[_Home],
        orders: Layout,
        pace: _Pace,
    ) -> None:
        spec = None if kind is None else self._spec(section, name, kind)
        place = self._place(section, orders, None)
        type_ = spec.type if spec is not None else None
        words = self._map(section, type_)
        factor, addend = scaling(section, type_, self.problems, has_map="map" in section)
        shared = section.flag("shared")
        invalid = self._invalid(section)
        release = section.any("release")
        target = self._write_place(section, spec, place, orders)
        section.end()
        if kind is None or spec is None or place is None:
            return
        if not self._fits(section, spec.type, place, words):
            return
        if spec.access.is_reported:
            convert = _incoming(spec.type, words, factor, addend, place.layout)
            for home in homes:
                self._add_part(section, home, name, place, convert, pace, invalid, shared=shared)
        if target is not None and spec.access.is_commandable:
            outward = _outgoing(spec.type, words, factor, addend)
            for home in homes:
                self._add_target(section, home, name, target, outward, release, pace)

    def _spec(self, section: Section, name: str, kind: Kind) -> PointSpec | None:
        spec = kind.point(name)
        if spec is None:
            names = [p.name for p in kind.points]
            message = f'a {kind.name} has no point "{name}"'
            self.problems.error("unknown-point", section.where, message, meant(name, names))
        elif spec.is_request:
            message = f'"{kind.name}.{name}" is a held request: registers hold values only'
            self.problems.error("not-commandable", section.where, message)
        elif not (spec.access.is_reported or spec.access.is_commandable):
            message = f'"{kind.name}.{name}" is {spec.access.value}: no device reports it'
            self.problems.error("not-reported", section.where, message)
        else:
            return spec
        return None

    def _place(self, section: Section, orders: Layout, like: _Place | None) -> _Place | None:
        """Return where a point stands; a place to write takes over what it does not say itself."""
        named = [table for table in Table if table.value in section]
        if len(named) != 1:
            message = f"expected one of {', '.join(TABLES)}, found {len(named) or 'none'} of them"
            self.problems.error("missing-key", section.where, message, 'write "holding: 40"')
        for table in Table:
            section.any(table.value)
        layout = self._layout(section, orders, like, named[0] if named else Table.HOLDING)
        if len(named) != 1:
            return None
        table = named[0]
        address = section.whole(table.value, 0, 0, MAX_ADDRESS)
        reference = _REFERENCES.get(table, MAX_ADDRESS)
        if reference <= address < reference + 9_999:
            message = f"{address} looks like a reference number; addresses count from 0"
            mend = f"write {address - reference} if the manual of the device says {address}"
            self.problems.warning("reference-number", section.path(table.value), message, mend)
        return _Place(table, address, layout)

    def _layout(
        self, section: Section, orders: Layout, like: _Place | None, table: Table
    ) -> Layout:
        before = like.layout if like is not None else orders
        little_words = self._order(section, "word_order", before.little_words)
        little_bytes = self._order(section, "byte_order", before.little_bytes)
        type_ = section.any("type", BIT if table.has_bits else None)
        bit, mask = section.any("bit"), section.whole("mask", 0, 1, 2**64 - 1)
        if isinstance(type_, str) and (found := _BIT.fullmatch(type_)):
            type_, bit = "uint16", int(found[1])
        if type_ is None:
            type_ = before.type if like is not None and before.type != BIT else "uint16"
            mask = mask or (before.mask if like is not None else 0)
        if table.has_bits:
            if type_ != BIT or mask or bit is not None:
                message = f'a {table.value} is one bit: no "type", "mask" or "bit"'
                self.problems.error("wrong-type", section.where, message)
            return Layout(BIT)
        if type_ not in NUMBER_TYPES:
            message = f'"{type_}" is no type of registers'
            mend = meant(str(type_), NUMBER_TYPES)
            self.problems.error("wrong-value", section.path("type"), message, mend)
            return Layout()
        layout = Layout(type_, little_words, little_bytes)
        if bit is not None:
            mask = 1 << section.whole("bit", 0, 0, 63) if "bit" in section else 1 << int(bit)
        if not mask:
            return layout
        if not type_.startswith("uint"):
            message = f"bits are counted in unsigned numbers, and this is a {type_}"
            self.problems.error("wrong-type", section.where, message, 'write "type: uint16"')
            return layout
        if mask >= 1 << (16 * layout.width):
            message = f"a {type_} has the bits 0 to {16 * layout.width - 1}"
            self.problems.error("out-of-range", section.where, message)
            return layout
        return Layout(type_, little_words, little_bytes, mask)

    def _order(self, section: Section, key: str, default: bool) -> bool:
        return section.choice(key, ORDERS[default], ORDERS) == "little"

    def _write_place(
        self, section: Section, spec: PointSpec | None, place: _Place | None, orders: Layout
    ) -> _Place | None:
        """Return where orders go: to where the point is read, unless `write` says otherwise."""
        raw = section.any("write")
        if raw is False or spec is None:
            return None
        if raw is None or raw is True:
            is_writable = place is not None and place.table.is_writable
            if place is not None and not is_writable and (raw or not spec.access.is_reported):
                self._not_writable(section, place.table)
            return self._writable(section, place) if is_writable else None
        inner = section.section("write")
        if not spec.access.is_commandable:
            message = f'"{spec.name}" is {spec.access.value}: nobody can set it'
            self.problems.error("not-commandable", inner.where, message)
        if not inner.is_mapping:
            return None
        target = self._place(inner, orders, place)
        inner.end()
        if target is not None and not target.table.is_writable:
            self._not_writable(inner, target.table)
            return None
        return self._writable(inner, target)

    def _not_writable(self, section: Section, table: Table) -> None:
        message = f'"{table.value}" can only be read'
        mend = 'add "write: {holding: …}" or "write: {coil: …}"'
        self.problems.error("not-commandable", section.where, message, mend)

    def _writable(self, section: Section, place: _Place | None) -> _Place | None:
        if place is not None and place.layout.mask and place.layout.width > 1:
            message = "bits of more than one register cannot be set without the others"
            self.problems.error("not-commandable", section.where, message, 'add "write: false"')
            return None
        return place

    def _fits(
        self, section: Section, type_: ValueType, place: _Place, words: Mapping[int, Any] | None
    ) -> bool:
        """True when the point can hold what stands there."""
        message = ""
        if type_.base is Base.ENUM and words is None:
            message, mend = f"this point is {type_}", 'add "map: {0: …, 1: …}"'
        elif type_.base not in (Base.NUMBER, Base.BOOLEAN, Base.ENUM) and words is None:
            message, mend = f"registers hold no {type_}", "map numbers to it, or bind another point"
        elif type_.base is Base.BOOLEAN and place.layout.is_float:
            message, mend = f"this point is {type_}, and a {place.layout.type} is not", "use a bit"
        if message:
            self.problems.error("wrong-type", section.where, message, mend)
        return not message

    def _map(self, section: Section, type_: ValueType | None) -> dict[int, Any] | None:
        raw = section.any("map")
        if raw is None:
            return None
        table = section.section("map")
        words: dict[int, Any] = {}
        for key, value in table.raw.items():
            try:
                words[_whole(key)] = value
            except ValueError:
                message = f'"{key}" is no whole number'
                self.problems.error("wrong-value", table.where, message, "write {0: down, 1: up}")
            if type_ is not None:
                self._check_member(table.where, type_, value)
        return words

    def _check_member(self, where: str, type_: ValueType, member: Any) -> None:
        match type_.base:
            case Base.ENUM if member not in type_.members:
                message, mend = f'"{member}" is not {type_}', meant(str(member), type_.members)
            case Base.BOOLEAN if not isinstance(member, bool):
                message, mend = f'"{member}" is neither true nor false', ""
            case Base.NUMBER if isinstance(member, bool) or not isinstance(member, (int, float)):
                message, mend = f'"{member}" is no number', ""
            case _:
                return
        self.problems.error("not-a-member", where, message, mend)

    def _invalid(self, section: Section) -> frozenset[float]:
        raw = section.any("invalid", ())
        values = raw if isinstance(raw, (list, tuple)) else [raw]
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
            message = "expected the numbers that mean no value"
            self.problems.error("wrong-type", section.path("invalid"), message, "write [0x8000]")
            return frozenset()
        return frozenset(values)

    # ── into the plan ────────────────────────────────────────────────────────────────────────

    def _add_part(
        self,
        section: Section,
        home: _Home,
        name: str,
        place: _Place,
        convert: Convert | None,
        pace: _Pace,
        invalid: frozenset[float],
        *,
        shared: bool,
    ) -> None:
        id_ = f"{home.entity.id}.{name}"
        address, point = home.base + place.address, self.site.point(id_)
        if point is None or not self._in_range(section, id_, address, place.layout):
            return
        if id_ in self._read:
            self._tell(
                "two-sources", section.where, f'"{id_}" is read twice', "keep one of the two"
            )
            return
        self._read.add(id_)
        claim = _Claim(home.entity.id, name, address, place.layout, section.where)
        self._claim(False, home.unit, place.table, claim, shared=shared)
        timeout = pace.timeout_s
        self.plan.parts.append(
            Part(
                point,
                home.unit,
                place.table,
                address,
                place.layout,
                convert,
                pace.every_s,
                timeout,
                invalid,
            )
        )

    def _add_target(
        self,
        section: Section,
        home: _Home,
        name: str,
        place: _Place,
        convert: Convert,
        release: Any,
        pace: _Pace,
    ) -> None:
        id_ = f"{home.entity.id}.{name}"
        address, point = home.base + place.address, self.site.point(id_)
        if point is None or not self._in_range(section, id_, address, place.layout):
            return
        if id_ in self.plan.writes:
            message = f'"{id_}" is written twice'
            self._tell("two-writers", section.where, message, "keep one of the two")
            return
        if not self._check_release(section, release, place.layout):
            release = None
        claim = _Claim(home.entity.id, name, address, place.layout, section.where)
        self._claim(True, home.unit, place.table, claim, shared=False)
        self.plan.writes[id_] = Target(
            point, home.unit, place.table, address, place.layout, convert, release, pace.timeout_s
        )

    def _check_release(self, section: Section, release: Any, layout: Layout) -> bool:
        if release is None:
            return True
        try:
            layout.encode(release)
        except Garbage as error:
            self._tell("out-of-range", section.path("release"), str(error), "")
            return False
        return True

    def _in_range(self, section: Section, id_: str, address: int, layout: Layout) -> bool:
        if address + layout.width - 1 <= MAX_ADDRESS:
            return True
        message = f'"{id_}" would stand at {address}, beyond the last address ({MAX_ADDRESS})'
        self._tell("out-of-range", section.where, message, "")
        return False

    def _claim(
        self, writing: bool, unit: int, table: Table, claim: _Claim, *, shared: bool
    ) -> None:
        """Note who uses registers, and tell when somebody else does already."""
        for other in self._others(writing, unit, table, claim):
            if not claim.clashes(other):
                continue
            whose = f'"{claim.owner}.{claim.name}" and "{other.owner}.{other.name}"'
            at = f"{table.value} {claim.start} of unit {unit}"
            is_same = (claim.start, claim.layout) == (other.start, other.layout)
            if writing:
                mend = "one register has one writer; see unit_id, base and the address"
                self._tell("two-writers", claim.where, f"{whose} both write {at}", mend)
            elif not is_same:
                mend = "see the addresses and types; a 32-bit number takes two registers"
                self._tell("overlap", claim.where, f"{whose} overlap at {at}", mend)
            elif claim.owner != other.owner and not shared:
                mend = 'write a template in unit_id or base, or "shared: true" if that is meant'
                self._tell("whose", claim.where, f"{whose} both stand at {at}", mend)
            break
        for word in range(claim.start, claim.end):
            self._claims.setdefault((writing, unit, table, word), []).append(claim)

    def _others(self, writing: bool, unit: int, table: Table, claim: _Claim) -> Iterator[_Claim]:
        for word in range(claim.start, claim.end):
            yield from self._claims.get((writing, unit, table, word), ())

    def _tell(self, code: str, where: str, message: str, mend: str) -> None:
        """Tell a mistake once per place, not once per lamp."""
        if f"{code} {where}" not in self._told:
            self._told.add(f"{code} {where}")
            self.problems.error(code, where, message, mend)


def _incoming(
    type_: ValueType, words: Mapping[int, Any] | None, factor: float, addend: float, layout: Layout
) -> Convert | None:
    if words is not None:
        return translate_in(words)
    if type_.base is Base.BOOLEAN:
        return truth_in
    if (factor, addend) == (1.0, 0.0):
        return None if layout.is_float else float
    return scale_in(factor, addend)


def _outgoing(
    type_: ValueType, words: Mapping[int, Any] | None, factor: float, addend: float
) -> Convert:
    if words is not None:
        return translate_out(words)
    return truth_out if type_.base is Base.BOOLEAN else scale_out(factor, addend)


def _whole(key: str) -> int:
    """Return the number that a key of a map stands for; `true` and `false` are those of a coil."""
    truth = {"true": 1, "false": 0}.get(key.lower())
    return int(key, 0) if truth is None else truth
