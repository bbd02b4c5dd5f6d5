"""Devices that describe themselves as those for Home Assistant do: what they say of their topics is bound to entities of the inventory.

Nothing is ever added to the inventory by a device: one that it does not have is proposed, and people decide.
Source: the discovery of Home Assistant's MQTT integration (topics `PREFIX/COMPONENT/[NODE/]OBJECT/config`, its short keys).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.adapter import Door, Site
from pilotage.adapter.options import Section, meant
from pilotage.adapter.payload_binding import Attributes, Form, Outlet, Own, Part
from pilotage.adapter.payloads import (
    BadTemplate,
    Convert,
    Garbage,
    Path,
    compile_path,
    compile_payload,
    decode_json,
    decode_plain,
    scale_in,
    scale_out,
    translate,
)
from pilotage.model.entities import EntitySpec, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.units import UnknownUnitError, conversion, parse_unit
from pilotage.model.values import Base

PREFIX: Final = "homeassistant"
NAMES: Final = ("object_id", "node_id", "unique_id", "device")
SHORT: Final[Mapping[str, str]] = {
    "stat_t": "state_topic",
    "cmd_t": "command_topic",
    "val_tpl": "value_template",
    "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement",
    "dev_cla": "device_class",
    "pl_on": "payload_on",
    "pl_off": "payload_off",
    "stat_on": "state_on",
    "stat_off": "state_off",
    "bri_stat_t": "brightness_state_topic",
    "bri_cmd_t": "brightness_command_topic",
    "bri_scl": "brightness_scale",
    "bri_val_tpl": "brightness_value_template",
    "dev": "device",
    "ids": "identifiers",
}
MOST: Final = 10_000
"""Devices that may describe themselves on one connection; a flood of others is refused."""

_VALUE: Final = re.compile(
    r"\{\{\s*value(?P<json>_json(?P<steps>(?:\.[A-Za-z_]\w*|\[(?:\d+|'[^']+'|\"[^\"]+\")\])+))?"
    r"(?:\s*\|\s*(?:float|int|round)(?:\(\d*\))?)*\s*\}\}"
)
_SLOT: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which devices are taken, and for what: a component, perhaps of one class, is a point of a kind."""

    component: str
    device_class: str
    kind: str
    point: str
    id: str
    spec: PointSpec


@dataclass(slots=True)
class Discovery:
    """What may be bound as devices describe themselves.

    Attributes:
        handles: The points that a device may turn out to report, by id.
        orders: Ids of those that can be commanded.
    """

    prefix: str
    rules: list[Rule] = field(default_factory=list)
    entities: dict[str, EntitySpec] = field(default_factory=dict)
    handles: dict[str, PointHandle] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    site: str = ""

    @property
    def points(self) -> list[PointHandle]:
        """Every point that may be reported."""
        return list(self.handles.values())

    @property
    def filters(self) -> tuple[str, str]:
        """The subscriptions that hear devices describe themselves."""
        return f"{self.prefix}/+/+/config", f"{self.prefix}/+/+/+/config"

    def is_about(self, topic: str) -> bool:
        """Return whether a topic is one on which devices describe themselves."""
        return topic.endswith("/config") and topic.startswith(f"{self.prefix}/")


@dataclass(frozen=True, slots=True)
class Described:
    """A device that is bound.

    Attributes:
        command: Topic and way of writing of orders; None when it takes none.
    """

    point: PointHandle
    state_topic: str
    source: Own
    command: tuple[str, Outlet, Attributes] | None


def read_discovery(options: Section, site: Site) -> Discovery | None:
    """Return what `discovery:` asks for; None without it."""
    raw = options.any("discovery")
    if raw is None or raw is False:
        return None
    section = options.section("discovery")
    found = Discovery(section.text("prefix", PREFIX), site=site.name)
    if not found.prefix or any(sign in found.prefix for sign in "+#\0"):
        message = f'"{found.prefix}" is no beginning of a topic'
        section.problems.error("wrong-value", section.path("prefix"), message)
    entries = section.sections("bind")
    if not entries:
        message = '"bind" is missing: which components are which points of which kind'
        section.problems.error("missing-key", section.where, message)
    for entry in entries:
        _read_rule(entry, site, found)
    section.end()
    return found


def _read_rule(section: Section, site: Site, found: Discovery) -> None:
    component = section.text("component", required=True)
    name, point = section.text("kind", required=True), section.text("point", required=True)
    id_ = section.text("id", "{object_id}")
    device_class = section.text("device_class")
    section.end()
    wrong = [slot for slot in _SLOT.findall(id_) if slot not in NAMES]
    if wrong or not _SLOT.findall(id_):
        message = f'"{id_}" does not say which entity it is'
        mend = f"use one of: {', '.join('{' + slot + '}' for slot in NAMES)}"
        section.problems.error("placeholder", section.path("id"), message, mend)
    kind = site.kind(name)
    if kind is None:
        if name:
            kinds = {entity.kind for entity in site.entities()}
            message = f'there is no kind "{name}"'
            section.problems.error(
                "unknown-kind", section.path("kind"), message, meant(name, kinds)
            )
        return
    spec = kind.point(point)
    if spec is None or spec.is_request:
        message = f'a {kind.name} has no point "{point}"'
        names = [p.name for p in kind.points if not p.is_request]
        section.problems.error("unknown-point", section.path("point"), message, meant(point, names))
        return
    found.rules.append(Rule(component, device_class, name, point, id_, spec))
    for entity in site.entities(name):
        handle = site.point(f"{entity.id}.{point}")
        if handle is not None:
            found.entities[entity.id] = entity
            found.handles[handle.id] = handle
            if spec.access.is_commandable:
                found.orders.append(handle.id)


class Discoverer:
    """Takes in what devices say of themselves, on one connection."""

    def __init__(self, discovery: Discovery, door: Door, name: str) -> None:
        self._discovery = discovery
        self._door = door
        self._name = name
        self._described: dict[str, Described] = {}
        self._proposed: set[str] = set()
        self.bind: Callable[[Described], None] = _nobody
        self.unbind: Callable[[Described], None] = _nobody

    def forget(self) -> None:
        """Begin anew: the broker tells all descriptions that it has kept when we are back."""
        self._described.clear()

    def hear(self, topic: str, payload: bytes) -> None:
        """Take a description in; an empty one means that the device is gone.

        Raises:
            Garbage: It cannot be understood, or the inventory does not have the entity.
        """
        before = self._described.pop(topic, None)
        if before is not None:
            self.unbind(before)
        if not payload:
            return
        if len(self._described) >= MOST:
            raise Garbage(f"more than {MOST} devices describe themselves")
        found = self._describe(topic, payload)
        if found is None:
            return
        claimed = next((t for t, d in self._described.items() if d.point.id == found.point.id), "")
        if claimed:
            raise Garbage(f"{found.point.id} is described on {claimed} already")
        self._described[topic] = found
        self.bind(found)

    def _describe(self, topic: str, payload: bytes) -> Described | None:
        levels = topic.removeprefix(f"{self._discovery.prefix}/").split("/")
        config = _long(decode_json(payload))
        rule = self._rule_for(levels[0], str(config.get("device_class", "")))
        if rule is None:
            return None
        id_ = _id_of(rule.id, levels, config)
        entity = self._discovery.entities.get(id_)
        handle = self._discovery.handles.get(f"{id_}.{rule.point}")
        if entity is None or handle is None or entity.kind != rule.kind:
            self._propose(rule, id_, config)
            return None
        shape = _Shape(rule, config)
        source = Own(Form(decode=shape.decode), (Part(handle, shape.path, shape.convert, False),))
        command = None
        if shape.command_topic and rule.spec.access.is_commandable:
            outlet = Outlet(compile_payload("{value}"), None, shape.back, 1)
            attributes = Attributes(entity, self._discovery.site)
            command = (shape.command_topic, outlet, attributes)
        return Described(handle, shape.state_topic, source, command)

    def _rule_for(self, component: str, device_class: str) -> Rule | None:
        for rule in self._discovery.rules:
            if rule.component == component and rule.device_class in ("", device_class):
                return rule
        return None

    def _propose(self, rule: Rule, id_: str, config: Mapping[str, Any]) -> None:
        """Say once what people may add to the inventory."""
        if id_ in self._proposed or len(self._proposed) >= MOST:
            return
        self._proposed.add(id_)
        name = str(config.get("name") or id_)
        line = ascii(f"{id_}: {{kind: {rule.kind}, name: {name}}}")[1:-1]
        why = f"the inventory has no such {rule.kind}; mend: when it shall be piloted, add {line}"
        self._door.refused(f"{self._name}: discovery of {ascii(id_)[1:-1]}", why)


class _Shape:
    """What a description says of topics, words and numbers, for one point."""

    def __init__(self, rule: Rule, config: Mapping[str, Any]) -> None:
        is_level = rule.component == "light" and rule.spec.type.base is Base.NUMBER
        before = "brightness_" if is_level else ""
        self.state_topic = _topic(config, f"{before}state_topic")
        self.command_topic = _topic(config, f"{before}command_topic")
        if not self.state_topic:
            raise Garbage(f'"{before}state_topic" is missing')
        template = str(config.get(f"{before}value_template", "") or "")
        path = _path(template)
        self.convert: Convert | None = None
        self.back: Convert | None = None
        if is_level:
            scale = config.get("brightness_scale", 255)
            if not isinstance(scale, (int, float)) or isinstance(scale, bool) or scale <= 0:
                raise Garbage('"brightness_scale" is no number above zero')
            self.convert = scale_in(100.0 / scale, 0.0)
            self.back = scale_out(100.0 / scale, 0.0, 0)
        elif rule.spec.type.base is Base.BOOLEAN:
            on, off = str(config.get("payload_on", "ON")), str(config.get("payload_off", "OFF"))
            is_on, is_off = str(config.get("state_on", on)), str(config.get("state_off", off))
            self.convert = translate({is_on: True, is_off: False})
            self.back = translate({"true": on, "false": off})
        elif rule.spec.type.base is Base.NUMBER and config.get("unit_of_measurement"):
            self.convert, self.back = _scaled(rule.spec, str(config["unit_of_measurement"]))
        self.decode = decode_json if path is not None else _text
        self.path: Path = path or _plain(rule.spec)


def _plain(spec: PointSpec) -> Path:
    """Return what reads a payload that is the value itself; words of a true or false are translated afterwards."""
    if spec.type.base is Base.BOOLEAN:
        return lambda document: document
    return lambda document: decode_plain(document.encode(), spec.type)


def _scaled(spec: PointSpec, unit: str) -> tuple[Convert | None, Convert | None]:
    try:
        by, plus = conversion(parse_unit(unit), spec.type.unit)
    except (UnknownUnitError, ValueError) as error:
        raise Garbage(f"unit_of_measurement: {error}") from None
    if (by, plus) == (1.0, 0.0):
        return None, None
    return scale_in(by, plus), scale_out(by, plus)


def _text(payload: bytes) -> str:
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise Garbage("no UTF-8 text") from None


def _path(template: str) -> Path | None:
    """Return the path in a value template; None when the payload is the value. Only look-ups are understood."""
    if not template:
        return None
    match = _VALUE.fullmatch(template.strip())
    if match is None:
        raise Garbage(
            f"value_template: only {{{{ value_json.name }}}} is understood: {template[:60]}"
        )
    if match["json"] is None:
        return None
    try:
        return compile_path("$" + match["steps"])
    except BadTemplate as error:
        raise Garbage(f"value_template: {error}") from None


def _long(config: Any) -> dict[str, Any]:
    """Return a description with long keys and whole topics: `~` stands for the base."""
    if not isinstance(config, dict):
        raise Garbage("no JSON object")
    whole = {SHORT.get(key, key): value for key, value in config.items()}
    base = whole.get("~")
    if isinstance(base, str):
        for key, value in whole.items():
            if key.endswith("_topic") and isinstance(value, str):
                begun = base + value[1:] if value.startswith("~") else value
                whole[key] = begun[:-1] + base if begun.endswith("~") else begun
    return whole


def _topic(config: Mapping[str, Any], key: str) -> str:
    topic = config.get(key, "")
    if not isinstance(topic, str) or any(sign in topic for sign in "+#\0") or len(topic) > 1000:
        raise Garbage(f'"{key}" is no topic')
    return topic


def _id_of(template: str, levels: list[str], config: Mapping[str, Any]) -> str:
    device = config.get("device")
    named = device.get("identifiers", device.get("ids", "")) if isinstance(device, dict) else ""
    values = {
        "object_id": levels[-2],
        "node_id": levels[1] if len(levels) == 4 else "",
        "unique_id": str(config.get("unique_id", "")),
        "device": str(named[0] if isinstance(named, list) and named else named),
    }
    return _SLOT.sub(lambda match: values.get(match[1], ""), template)


def _nobody(_described: Described) -> None:
    """Tell nobody."""
