"""Configuration to points: which topic carries which point of which entity, both ways.

Every mistake becomes a finding; a plan with findings that are errors is never opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Final

from pilotage.adapter import ConnectionSettings, Site
from pilotage.adapter.options import Problems, Section
from pilotage.adapter.payload_binding import (
    CALL_SLOTS,
    REQUEST_SLOTS,
    WRITE_SLOTS,
    Attributes,
    Outlet,
    Own,
    PayloadBinder,
    Shared,
    attribute,
    grouped,
)
from pilotage.adapter.payloads import (
    BadTemplate,
    Convert,
    Path,
    Render,
    compile_payload,
    translate,
)
from pilotage.adapter.selection import is_taken
from pilotage.model.addresses import is_loopback
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.messages import PointHandle
from pilotage.model.values import TEXT
from pilotage_mqtt import topics
from pilotage_mqtt.attendance import Availability
from pilotage_mqtt.discovery import Discovery, read_discovery
from pilotage_mqtt.packet import Packet

_NO_LEVEL_TEXT: Final = re.compile(r"[/+#\0]")

# ── what a binding becomes ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for an encrypted connection; an empty name is the system's own, or none."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """Where the engine says that it is there: retained words, the last will among them, and a heartbeat.

    Attributes:
        heartbeat_s: Between two beats on `TOPIC/heartbeat`; 0 for none.
    """

    topic: str
    online: str
    offline: str
    heartbeat_s: float


@dataclass(frozen=True, slots=True)
class Broker:
    """How to reach the broker.

    Attributes:
        version: `5` or `3.1.1`.
        keepalive_s: A broker that says nothing for up to twice this time is lost.
        session_expiry_s: How long the broker keeps what it has for us while we are away.
        ack_s: Longest wait for the broker's acknowledgement of an order.
        in_flight: Orders that may wait for an acknowledgement at the same time.
        receive_maximum: Messages with QoS 1 or 2 that the broker may send before we have taken the first of them.
        share: Group of engines that share the messages between them; empty for none.
        presence: Where we say that we are there.
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
    receive_maximum: int
    share: str
    presence: Presence | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A payload that answers a call."""

    call: Path
    status: Path | None
    detail: Path | None
    convert: Convert | None
    is_json = True
    points: tuple[PointHandle, ...] = ()


Source = Own | Shared | Reply | Availability
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
class Target:
    """A point that can be ordered: where to, and what the placeholders stand for.

    Attributes:
        content_type, properties: Of MQTT 5: what the payload is, and user properties.
        reply_to: Of MQTT 5, for calls: where the answer is awaited.
    """

    topic: str
    outlet: Outlet
    attributes: Mapping[str, Any]
    content_type: str = ""
    properties: tuple[tuple[str, Render], ...] = ()
    reply_to: str = ""


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
    own: dict[str, int] = field(default_factory=dict)
    attended: bool = False
    packet: Packet = field(default_factory=Packet)
    discovery: Discovery | None = None

    @property
    def subscriptions(self) -> dict[str, int]:
        """As few subscriptions as hear everything, with their QoS.

        What is shared with other engines is heard by one of them: answers and who is there (`own`) are not.
        """
        if not self.broker.share:
            return topics.fewest({**self.filters, **_highest(self.own, self.filters)})
        shared = topics.fewest(self.filters)
        named = {f"$share/{self.broker.share}/{wanted}": qos for wanted, qos in shared.items()}
        return named | topics.fewest(self.own)

    @property
    def points(self) -> list[PointHandle]:
        """Every point that this connection reports, once, in order of id."""
        every = [source for listed in self.sources.values() for source in listed]
        for pattern in self.patterns:
            every.extend(source for listed in pattern.sources.values() for source in listed)
        found = {point.id: point for source in every for point in source.points}
        if self.discovery is not None:
            found |= {point.id: point for point in self.discovery.points}
        return [found[name] for name in sorted(found)]


def bind(settings: ConnectionSettings, site: Site) -> tuple[Plan, list[Finding]]:
    """Return the plan of a connection, and everything that is wrong with its settings."""
    problems = Problems(settings)
    options = Section(settings.options, f"connections.{settings.name}", problems)
    plan = Plan(_broker(options, settings, site))
    plan.known = frozenset(entity.id for entity in site.entities())
    plan.discovery = read_discovery(options, site)
    if plan.discovery is not None:
        plan.own |= dict.fromkeys(plan.discovery.filters, 1)
    binder = _Binder(plan, site, problems)
    for section in options.sections("points"):
        binder.points(section)
    for section in options.sections("calls"):
        binder.call(section)
    options.end()
    return plan, problems.found


# ── the broker ───────────────────────────────────────────────────────────────────────────────


def _broker(options: Section, settings: ConnectionSettings, site: Site) -> Broker:
    tls, host = _tls(options), options.text("host", required=True)
    is_plain = options.flag("plain")
    if tls is None and host and not is_loopback(host) and not is_plain:
        message = f"without TLS everybody on the way to {host} can read it, and give orders"
        mend = 'add "tls", or "plain: true" for a network that nobody else can reach'
        options.problems.error("insecure", options.path("host"), message, mend)
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
        host=host,
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
        receive_maximum=options.whole("receive_maximum", 1000, 1, 65_535),
        share=_share(options, version),
        presence=_presence(options, settings, site),
    )


def _share(options: Section, version: str) -> str:
    name = options.text("share")
    if name and any(sign in name for sign in "/+#\0"):
        message = f'"{name}" has a sign that no name of a group may have'
        options.problems.error("wrong-value", options.path("share"), message)
        return ""
    if name and version != "5":
        message = "shared subscriptions are of MQTT 5"
        options.problems.error("wrong-value", options.path("share"), message, "write version: 5")
    return name


def _presence(options: Section, settings: ConnectionSettings, site: Site) -> Presence | None:
    raw = options.any("presence")
    if raw is None or raw is False:
        return None
    usual = f"pilotage/{site.name}/{settings.name}/state"
    if raw is True:
        return Presence(usual, "online", "offline", 10.0)
    section = options.section("presence")
    found = Presence(
        section.text("topic", usual),
        section.text("online", "online"),
        section.text("offline", "offline"),
        section.seconds("heartbeat", 10.0, 0.0, 3600.0),
    )
    section.end()
    try:
        if topics.parse(found.topic, wildcards=False).slots:
            raise BadTemplate("the topic of a presence has no placeholders")
    except BadTemplate as error:
        options.problems.error("template", section.path("topic"), str(error))
    return found


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


class _Binder(PayloadBinder):
    """Reads the bindings of one connection into its plan."""

    def __init__(self, plan: Plan, site: Site, problems: Problems) -> None:
        super().__init__(site, problems)
        self.plan = plan

    def points(self, section: Section) -> None:
        """Bind one entry under `points:`."""
        kind, members = self.members_of(section)
        reads, writes = section.sections("read"), section.sections("write")
        requests = section.sections("request")
        available = section.section("available") if "available" in section else None
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
        if available is not None:
            self._available(available, kind, members, reads)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def _read(self, section: Section, kind: Kind, members: Sequence[EntitySpec]) -> None:
        template = self._template(section, wildcards=True)
        form = self.form_of(section)
        id_path, each = self.path_of(section, "id"), self.path_of(section, "each")
        parts = self.part_makers(section, kind, members)
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
        self._keep(template, wanted, grouped(sources, form, id_path, each))

    def _keep(
        self, template: topics.Template, wanted: str, sources: Mapping[tuple[str, ...], Source]
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

    def path_of(self, section: Section, key: str) -> Path | None:
        """Return a compiled path; `@name` is a user property of the message."""
        text = section.text(key)
        if not text.startswith("@"):
            return super().path_of(section, key)
        if self.plan.broker.version != "5":
            message = f'"{text}" is a user property, which only MQTT 5 has'
            self.problems.error("path", section.path(key), message, "write version: 5")
            return None
        return self.plan.packet.path(text[1:])

    def _available(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec], reads: Sequence[Section]
    ) -> None:
        """Bind where the devices say whether they are there."""
        template = self._template(section, wildcards=False)
        path = super().path_of(section, "path")
        online, offline = section.text("online", "online"), section.text("offline", "offline")
        qos = section.whole("qos", max(1, self.plan.broker.qos), 0, 2)
        section.end()
        if online == offline:
            message = f'"online" and "offline" are both "{online}"'
            self.problems.error("wrong-value", section.where, message)
        filled = None if template is None else self._filled(section, template, members)
        if template is None or not filled:
            return
        names = [name for read in reads for name in _names_of(read)]
        wanted = topics.filter_for(filled)
        self.plan.own[wanted] = max(qos, self.plan.own.get(wanted, 0))
        self.plan.attended = True
        for levels, entity in zip(filled, members, strict=True):
            found = (self.site.point(f"{entity.id}.{name}") for name in names)
            points = tuple(point for point in found if point is not None)
            source = Availability(entity.id, points, path, online, offline)
            self.plan.sources.setdefault("/".join(levels), []).append(source)

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    def _order(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec], *, held: bool
    ) -> None:
        template = self._template(section, wildcards=False)
        name = section.text("point", required=True)
        spec = self.commandable(section, name, kind, held=held) if name else None
        type_ = spec.type if spec is not None and not held else TEXT
        slots = REQUEST_SLOTS if held else WRITE_SLOTS
        outlet = self.outlet_of(section, type_, slots, members, held=held)
        content_type, properties = self._five(section, slots, members)
        section.end()
        if template is None or spec is None or outlet is None:
            return
        filled = self._filled(section, template, members)
        table = self.plan.requests if held else self.plan.writes
        for levels, entity in zip(filled or (), members, strict=False):
            point = f"{entity.id}.{name}"
            if is_taken(section, point, table):
                break
            attributes = Attributes(entity, self.site.name)
            table[point] = Target("/".join(levels), outlet, attributes, content_type, properties)

    def _five(
        self, section: Section, slots: Sequence[str], members: Sequence[EntitySpec]
    ) -> tuple[str, tuple[tuple[str, Render], ...]]:
        """Return content type and user properties of an order, which MQTT 5 has."""
        is_text = isinstance(section.any("payload", ""), str) or section.text("codec") != ""
        content_type = section.text("content_type", "" if is_text else "application/json")
        properties = section.section("properties")
        used = [key for key in ("content_type", "properties") if key in section]
        if used and self.plan.broker.version != "5":
            message = f'"{used[0]}" is of MQTT 5'
            self.problems.error("wrong-value", section.path(used[0]), message, "write version: 5")
        made = []
        entity = members[0] if members else None
        for name in properties.raw:
            text = properties.text(name)
            if self.check_slots(properties, name, text, slots, entity):
                made.append((name, compile_payload(text)))
        return content_type, tuple(made)

    def call(self, section: Section) -> None:
        """Bind one entry under `calls:`."""
        name = section.text("call", required=True)
        template = self._template(section, wildcards=False)
        outlet = self.outlet_of(section, TEXT, CALL_SLOTS, (), held=True)
        content_type, properties = self._five(section, CALL_SLOTS, ())
        reply_to = self._reply(section.section("reply")) if "reply" in section else ""
        section.end()
        if template is None or outlet is None or not name:
            return
        if template.slots:
            message = "the topic of a call has no placeholders"
            self.problems.error("template", section.path("topic"), message)
        elif not is_taken(section, name, self.plan.calls, "bound"):
            self.plan.calls[name] = Target(
                template.text, outlet, {}, content_type, properties, reply_to
            )

    def _reply(self, section: Section) -> str:
        """Bind where answers come; return the topic when it is one."""
        template = self._template(section, wildcards=True)
        call, status = self.path_of(section, "call"), self.path_of(section, "status")
        detail = self.path_of(section, "detail")
        table = self.map_of(section, TEXT, outward=False)
        qos = section.whole("qos", max(1, self.plan.broker.qos), 0, 2)
        section.end()
        if call is None and self.plan.broker.version == "5":
            call = self.plan.packet.correlation
        if call is None:
            message = '"call" is missing: the path of the id that was sent as "{command}"'
            self.problems.error("missing-key", section.where, message)
            return ""
        if template is None:
            return ""
        if template.slots:
            message = "the topic of a reply has no placeholders"
            self.problems.error("template", section.path("topic"), message)
            return ""
        reply = Reply(call, status, detail, None if table is None else translate(table))
        self.plan.own[template.text] = max(qos, self.plan.own.get(template.text, 0))
        self._keep(template, template.text, {template.levels: reply})
        return "" if template.has_wildcard else template.text

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

    def _filled(
        self, section: Section, template: topics.Template, members: Sequence[EntitySpec]
    ) -> list[tuple[str, ...]] | None:
        """Return the topic of each entity, level by level; None when a placeholder has no value."""
        values = {
            name: [attribute(entity, name, self.site.name) for entity in members]
            for name in template.slots
        }
        if all(_is_level_text(value) for column in values.values() for value in column):
            return template.fill(values, len(members))
        wrong, entity, said = next(
            (name, entity, column[number])
            for number, entity in enumerate(members)
            for name, column in values.items()
            if not _is_level_text(column[number])
        )
        what = "has no value" if said is None else f'is "{said}", no part of a topic,'
        message = f'"{{{wrong}}}" {what} for "{entity.id}"'
        self.problems.error("placeholder", section.path("topic"), message)
        return None


def _is_level_text(value: str | None) -> bool:
    return bool(value) and _NO_LEVEL_TEXT.search(str(value)) is None


def _names_of(read: Section) -> list[str]:
    """Return the points that a `read` names."""
    several = read.raw.get("points")
    if isinstance(several, Mapping):
        return [str(name) for name in several]
    name = read.raw.get("point")
    return [name] if isinstance(name, str) else []


def _highest(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {wanted: max(qos, others.get(wanted, 0)) for wanted, qos in some.items()}
