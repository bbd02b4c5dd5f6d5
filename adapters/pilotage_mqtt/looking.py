"""What a broker carries, listened to for a while: announcements in the form of Home Assistant, and plain topics.

Nothing is published. `listen` has the network, `propose` is pure.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pilotage.adapter.discovery import Discovery, Found, Likeness, entity_id, likeness
from pilotage.model.entities import Kind
from pilotage_mqtt.binding import Broker
from pilotage_mqtt.discovery import SHORT

MOST_TOPICS: Final = 20_000
SHOWN: Final = 60
_ORDERS: Final = frozenset({"set", "cmd", "command", "commands", "get"})
_TEMPLATE: Final = re.compile(r"\{\{\s*value_json((?:\.\w+|\['[^']+'\])+)")
_COMPONENTS: Final = {"light": "lamp", "cover": "bollard"}


async def listen(broker: Broker, seconds: float) -> dict[str, bytes]:
    """Return the last payload of each topic that was heard; retained ones come at once.

    Raises:
        ConnectionError: The broker cannot be reached or refuses us.
    """
    heard: dict[str, bytes] = {}
    refused: list[str] = []
    loop, up = asyncio.get_running_loop(), asyncio.Event()
    five = broker.version == "5"
    version = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{broker.client_id}-discover", protocol=version
    )
    if broker.username:
        client.username_pw_set(broker.username, str.__str__(broker.password) or None)
    if broker.tls is not None:
        tls = broker.tls
        client.tls_set(tls.ca or None, tls.certificate or None, tls.key or None)

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            refused.append(str(reason))
        else:
            client.subscribe("#", 0)
        loop.call_soon_threadsafe(up.set)

    def message(_client: Any, _data: Any, said: paho.MQTTMessage) -> None:
        if len(said.payload) <= broker.max_payload and (
            said.topic in heard or len(heard) < MOST_TOPICS
        ):
            heard[said.topic] = bytes(said.payload)

    client.on_connect, client.on_message = connected, message
    try:
        await asyncio.to_thread(client.connect, broker.host, broker.port, broker.keepalive_s)
        client.loop_start()
        async with asyncio.timeout(broker.connect_s):
            await up.wait()
        if refused:
            raise ConnectionError(
                f"{broker.host}:{broker.port} refuses the connection: {refused[0]}"
            )
        await asyncio.sleep(seconds)
    except TimeoutError as error:
        raise ConnectionError(f"{broker.host}:{broker.port} does not answer") from error
    except OSError as error:
        raise ConnectionError(f"cannot connect to {broker.host}:{broker.port}: {error}") from error
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
    return dict(heard)


def propose(heard: Mapping[str, bytes], kinds: Mapping[str, Kind]) -> Discovery:
    """Return what the topics look like, in order of id."""
    announced, topics = _announced(heard, kinds)
    rest = {topic: payload for topic, payload in heard.items() if topic not in topics}
    plain = _plain(rest, kinds)
    known = {thing.id for thing in announced.found}
    found = [*announced.found, *(thing for thing in plain.found if thing.id not in known)]
    return Discovery(
        sorted(found, key=lambda thing: thing.id),
        [*announced.bindings, *plain.bindings],
        [*announced.notes, *plain.notes],
    )


# ── announcements ────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Device:
    id: str
    name: str
    component: str
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)


def _announced(heard: Mapping[str, bytes], kinds: Mapping[str, Kind]) -> tuple[Discovery, set[str]]:
    devices: dict[str, _Device] = {}
    topics: set[str] = set()
    for topic, payload in sorted(heard.items()):
        said = _announcement(topic, payload)
        if said is not None:
            topics |= {topic, *(said[k] for k in ("state_topic", "command_topic") if said.get(k))}
            _add(devices, topic, said)
    found, bindings, notes = [], [], []
    for device in devices.values():
        like = likeness(device.parts, [_COMPONENTS.get(device.component, device.component)], kinds)
        seen = f"announced as {device.component} with {', '.join(device.parts)}"
        found.append(Found(device.id, like.kind.name if like else "", device.name, seen))
        if like is None:
            notes.append(f"{device.id}: no kind has {', '.join(device.parts)}")
        else:
            bindings.append(_device_binding(device, like))
    return Discovery(found, bindings, notes), topics


def _announcement(topic: str, payload: bytes) -> dict[str, Any] | None:
    """Return an announcement with long names and whole topics, None when it is none."""
    levels = topic.split("/")
    said = _json(payload) if len(levels) >= 4 and levels[-1] == "config" else None
    if not isinstance(said, dict):
        return None
    long: dict[str, Any] = {SHORT.get(str(k), str(k)): value for k, value in said.items()}
    base = str(long.get("~", ""))
    for key in ("state_topic", "command_topic"):
        if isinstance(long.get(key), str):
            long[key] = long[key].replace("~", base)
    return long if isinstance(long.get("state_topic"), str) else None


def _add(devices: dict[str, _Device], topic: str, said: Mapping[str, Any]) -> None:
    levels = topic.split("/")
    component, own = levels[1], levels[-2]
    device = said.get("device")
    details = {SHORT.get(k, k): v for k, v in device.items()} if isinstance(device, dict) else {}
    ids = details.get("identifiers")
    first = ids[0] if isinstance(ids, list) and ids else ids
    id_ = entity_id(str(first or said.get("unique_id") or own))
    name = str(details.get("name") or said.get("name") or "")
    made = devices.setdefault(id_, _Device(id_, name, component))
    path = _path(str(said.get("value_template", "")))
    last = path.rpartition(".")[2] if path else ""
    part = last or str(said.get("device_class") or said["state_topic"].rpartition("/")[2])
    made.parts[part] = {**said, "path": path}


def _path(template: str) -> str:
    """Return the path that a template takes from JSON: `{{ value_json.a.b }}` is `$.a.b`; empty for the whole payload."""
    found = _TEMPLATE.search(template)
    return "" if found is None else "$" + re.sub(r"\['([^']+)'\]", r".\1", found[1])


def _device_binding(device: _Device, like: Likeness) -> dict[str, Any]:
    reads, writes = [], []
    for part, point in like.points.items():
        said = device.parts[part]
        read = {"topic": said["state_topic"], "point": point}
        unit = said.get("unit_of_measurement")
        reads.append(
            {
                **read,
                **({"path": said["path"]} if said["path"] else {}),
                **({"unit": unit} if unit else {}),
            }
        )
        spec = like.kind.point(point)
        if said.get("command_topic") and spec is not None and spec.access.is_commandable:
            writes.append({"topic": said["command_topic"], "point": point})
    binding: dict[str, Any] = {"entity": device.id, "read": reads}
    return {**binding, "write": writes} if writes else binding


# ── plain topics ─────────────────────────────────────────────────────────────────────────────


def _plain(heard: Mapping[str, bytes], kinds: Mapping[str, Kind]) -> Discovery:
    whole, single, notes = _sorted_out(heard)
    found: dict[str, Found] = {}
    bindings: list[dict[str, Any]] = []
    for template, fields, ids in [*_templates(whole), *_of_single(single)]:
        paths = {name.rpartition(".")[2]: name for name in fields}
        like = likeness(paths, template.split("/"), kinds)
        if like is None:
            notes.append(
                f"{template} ({len(ids)} times): no kind has {', '.join(fields) or 'that'}"
            )
        for id_, topic in ids.items():
            if not id_:
                continue
            seen = f"{topic}: {_shown(heard[topic])}"
            known = found.get(id_)
            if known is None or (like is not None and not known.kind):
                found[id_] = Found(id_, like.kind.name if like else "", "", seen)
        if like is not None:
            points = {point: f"$.{paths[name]}" for name, point in like.points.items()}
            read = {"topic": template, "points": points}
            if not next(iter(fields.values())):
                read = {"topic": template, "point": next(iter(points))}
            bindings.append({"kind": like.kind.name, "read": read})
    return Discovery(list(found.values()), bindings, notes)


def _sorted_out(
    heard: Mapping[str, bytes],
) -> tuple[dict[str, dict[str, bool]], dict[str, str], list[str]]:
    """Return topics with JSON objects and their fields, topics with one value and its name, and what is neither."""
    whole: dict[str, dict[str, bool]] = {}
    single: dict[str, str] = {}
    notes: list[str] = []
    for topic, payload in sorted(heard.items()):
        levels = topic.split("/")
        value = _json(payload)
        if topic.startswith("$"):
            continue
        if levels[-1] in _ORDERS:
            notes.append(f"{topic} carries orders: {_shown(payload)}")
        elif isinstance(value, dict) and (fields := dict.fromkeys(_fields(value), True)):
            whole[topic] = fields
        elif len(levels) > 1 and value is not None and not isinstance(value, (dict, list)):
            single[topic] = levels[-1]
        else:
            notes.append(f"{topic}: {_shown(payload)}")
    return whole, single, notes


_Group = tuple[str, dict[str, bool], dict[str, str]]
"""A template, its fields, and the topic by id."""


def _templates(whole: Mapping[str, dict[str, bool]]) -> Iterator[_Group]:
    """Yield topics of one form: as many levels, the same fields, and one level that differs."""
    alike: dict[tuple[int, tuple[str, ...]], list[str]] = defaultdict(list)
    for topic, fields in whole.items():
        alike[topic.count("/"), tuple(sorted(fields))].append(topic)
    for (_, names), topics in alike.items():
        level, groups = _grouped(topics)
        for group in groups:
            ids = {entity_id(topic.split("/")[level]): topic for topic in group}
            yield _template(group[0], level), dict.fromkeys(names, True), ids


def _grouped(topics: Sequence[str]) -> tuple[int, list[list[str]]]:
    """Return the level that tells things apart, the one that leaves the fewest groups, and these groups."""
    count = topics[0].count("/") + 1
    usual = max(count - 2, 0)
    best: tuple[int, list[list[str]]] | None = None
    for level in sorted(range(count), key=lambda each: abs(each - usual)):
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for topic in topics:
            groups[_without(topic, level)].append(topic)
        if best is None or len(groups) < len(best[1]):
            best = level, list(groups.values())
    assert best is not None
    return best


def _of_single(single: Mapping[str, str]) -> Iterator[_Group]:
    """Yield topics that carry one value each: the last level names it, the one before names the thing."""
    alike: dict[str, dict[str, str]] = defaultdict(dict)
    for topic in single:
        level = max(topic.count("/") - 1, 0)
        alike[_template(topic, level)][entity_id(topic.split("/")[level])] = topic
    for template, ids in alike.items():
        yield template, {template.rpartition("/")[2]: False}, ids


def _template(topic: str, level: int) -> str:
    levels = topic.split("/")
    levels[level] = "{id}"
    return "/".join(levels)


def _without(topic: str, level: int) -> tuple[str, ...]:
    levels = topic.split("/")
    return (*levels[:level], *levels[level + 1 :])


def _fields(value: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _fields(each, f"{before}{key}.")
        elif not isinstance(each, list):
            yield f"{before}{key}"


def _json(payload: bytes) -> Any:
    """Return what a payload says: JSON, else its text; None when it is neither."""
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text or None


def _shown(payload: bytes) -> str:
    text = " ".join(payload[: 2 * SHOWN].decode("utf-8", "replace").split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
