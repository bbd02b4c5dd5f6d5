"""Every mistake in the settings, with its exact message."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.adapter import ConnectionSettings
from pilotage.model.diagnostics import Span
from pilotage_mqtt.binding import bind

LEVEL = {"topic": "city/lamp/{id}/state", "point": "level", "path": "$.level"}
SET = {"topic": "city/lamp/{id}/set", "point": "level", "payload": "{value}"}
ASK = {"topic": "city/signal/{id}/ask", "point": "priority", "payload": {"bus": "{entity}"}}


def read(**keys: Any) -> dict[str, Any]:
    return {"points": [{"kind": "lamp", "read": {**LEVEL, **keys}}]}


def write(**keys: Any) -> dict[str, Any]:
    return {"points": [{"kind": "lamp", "write": {**SET, **keys}}]}


def bollard(direction: str, **keys: Any) -> dict[str, Any]:
    base = {"topic": "b/{id}", "point": "state", "payload": "{value}"}
    if direction == "read":
        del base["payload"]
    return {"points": [{"kind": "bollard", direction: {**base, **keys}}]}


POINT = "connections.street.points[0]"

MISTAKES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "unknown key": (
        {"prot": 1},
        "unknown-key",
        'connections.street: "prot" is no option here',
        'write "port"',
    ),
    "port as text": (
        {"port": "1883"},
        "wrong-type",
        'connections.street.port: expected a number, found "1883"',
        "",
    ),
    "port range": (
        {"port": 0},
        "out-of-range",
        "connections.street.port: 0 is not between 1 and 65535",
        "",
    ),
    "half a port": (
        {"port": 1.5},
        "wrong-type",
        "connections.street.port: expected a whole number, found 1.5",
        "",
    ),
    "no host": ({"host": None}, "missing-key", 'connections.street: "host" is missing', ""),
    "empty host": ({"host": ""}, "missing-key", "connections.street.host: is empty", ""),
    "version": (
        {"version": 4},
        "wrong-value",
        'connections.street.version: there is no MQTT "4" here',
        "write 5 or 3.1.1",
    ),
    "qos": ({"qos": 3}, "out-of-range", "connections.street.qos: 3 is not between 0 and 2", ""),
    "password alone": (
        {"password": "x"},
        "missing-key",
        'connections.street: "password" without "username"',
        'add "username"',
    ),
    "in the clear": (
        {"host": "broker.example"},
        "insecure",
        "connections.street.host: without TLS everybody on the way to broker.example can read it, and give orders",
        'add "tls", or "plain: true" for a network that nobody else can reach',
    ),
    "tls file": (
        {"tls": {"ca": "/no/ca.pem"}},
        "no-such-file",
        'connections.street.tls.ca: there is no file "/no/ca.pem"',
        "",
    ),
    "tls key alone": (
        {"tls": {"key": "/dev/null"}},
        "no-such-file",
        'connections.street.tls.key: there is no file "/dev/null"',
        "",
    ),
    "tls text": (
        {"tls": "yes"},
        "wrong-type",
        'connections.street.tls: expected keys with values, found "yes"',
        "",
    ),
    "points text": (
        {"points": "lamp"},
        "wrong-type",
        'connections.street.points: expected a list, found "lamp"',
        "",
    ),
    "points of text": (
        {"points": ["lamp"]},
        "wrong-type",
        f'{POINT}: expected keys with values, found "lamp"',
        "",
    ),
    "no whose": (
        {"points": [{"read": LEVEL}]},
        "missing-key",
        f'{POINT}: expected either "kind" or "entity"',
        "",
    ),
    "both whose": (
        {"points": [{"kind": "lamp", "entity": "lamp-1", "read": LEVEL}]},
        "missing-key",
        f'{POINT}: expected either "kind" or "entity"',
        "",
    ),
    "binds nothing": (
        {"points": [{"kind": "lamp"}]},
        "missing-key",
        f"{POINT}: binds nothing",
        'add "read", "write" or "request"',
    ),
    "kind": (
        {"points": [{"kind": "lmap", "read": LEVEL}]},
        "unknown-kind",
        f'{POINT}.kind: there is no kind "lmap"',
        'write "lamp"',
    ),
    "entity": (
        {"points": [{"entity": "lamp-11", "read": LEVEL}]},
        "unknown-entity",
        f'{POINT}.entity: there is no entity "lamp-11"',
        'write "lamp-1"',
    ),
    "zone": (
        {"points": [{"kind": "lamp", "zone": "south", "read": LEVEL}]},
        "no-entities",
        f'{POINT}: the inventory has no "lamp" in zone "south"',
        "",
    ),
    "point": (
        read(point="levle"),
        "unknown-point",
        f'{POINT}.read: a lamp has no point "levle"',
        'write "level"',
    ),
    "no point": (
        {"points": [{"kind": "lamp", "read": {"topic": "a/{id}"}}]},
        "missing-key",
        f'{POINT}.read: expected either "point" or "points"',
        "",
    ),
    "fixed point": (
        read(point="cabinet"),
        "not-reported",
        f'{POINT}.read: "lamp.cabinet" is fixed: no device reports it',
        "",
    ),
    "no topic": (read(topic=None), "missing-key", f'{POINT}.read: "topic" is missing', ""),
    "topic": (
        read(topic="a/#/{id}"),
        "template",
        f'{POINT}.read.topic: "#" in "a/#/{{id}}" must stand alone at the end',
        "",
    ),
    "topic brace": (
        read(topic="a/{id"),
        "template",
        f'{POINT}.read.topic: a brace in "a/{{id" does not enclose a name',
        "",
    ),
    "topic name": (
        read(topic="a/{nr}"),
        "placeholder",
        f'{POINT}.read.topic: "{{nr}}" has no value for "lamp-1"',
        "",
    ),
    "topic without id": (
        read(topic="a/b"),
        "whose",
        f'{POINT}.read.topic: "a/b" does not say whose a message is',
        'write "{id}" in the topic, or add "id: $.…" for the id in the payload',
    ),
    "each alone": (
        read(each="$.all"),
        "missing-key",
        f'{POINT}.read: "each" needs "id": the path that says whose each item is',
        "",
    ),
    "path": (
        read(path="level"),
        "path",
        f'{POINT}.read.path: "level" does not begin with "$"',
        'write a path like $.state.level or $["a name"][0]',
    ),
    "time path": (
        read(time="$."),
        "path",
        f'{POINT}.read.time: "." in "$." is no step like .name, [0] or ["a name"]',
        'write a path like $.state.level or $["a name"][0]',
    ),
    "scale zero": (
        read(scale=0),
        "out-of-range",
        f"{POINT}.read.scale: 0 would turn every value into the same one",
        "",
    ),
    "scale of a text": (
        bollard("read", scale=2),
        "wrong-type",
        f'{POINT}.read: "scale" is for numbers, and this point is one of up, down, moving',
        "",
    ),
    "unit": (read(unit="%%"), "unknown-unit", f'{POINT}.read.unit: "%%" is no unit', ""),
    "other unit": (
        read(unit="W"),
        "unit",
        f"{POINT}.read.unit: a power (W) is no plain number (%)",
        "",
    ),
    "read map": (
        bollard("read", map={"1": "upp"}),
        "not-a-member",
        f'{POINT}.read.map: "upp" is not one of up, down, moving',
        'write "up"',
    ),
    "map text": (
        bollard("read", map="up"),
        "wrong-type",
        f'{POINT}.read.map: expected keys with values, found "up"',
        "",
    ),
    "boolean map": (
        {
            "points": [
                {
                    "kind": "lamp",
                    "read": {"topic": "l/{id}", "point": "broken", "map": {"x": "yes"}},
                }
            ]
        },
        "not-a-member",
        f'{POINT}.read.map: "yes" is neither true nor false',
        "",
    ),
    "quality map": (
        read(quality="$.q", quality_map={"0": "fine"}),
        "wrong-value",
        f'{POINT}.read.quality_map.0: "fine" is no quality',
        "use one of: bad, good, missing, stale, uncertain",
    ),
    "write map": (
        bollard("write", map={"up": 1, "down": 2}),
        "not-a-member",
        f"{POINT}.write.map: says nothing of moving",
        "add the missing",
    ),
    "write point": (
        write(point="power"),
        "not-commandable",
        f'{POINT}.write.point: "lamp.power" is reported: nobody can set it',
        "",
    ),
    "write unknown": (
        write(point="lvl"),
        "unknown-point",
        f'{POINT}.write.point: a lamp has no point "lvl"',
        'write "level"',
    ),
    "write wildcard": (
        write(topic="a/{id}/+"),
        "template",
        f'{POINT}.write.topic: "a/{{id}}/+" is a topic to write to: it cannot have "+" or "#"',
        "",
    ),
    "placeholder": (
        write(payload={"v": "{valeu}"}),
        "placeholder",
        f'{POINT}.write.payload: "{{valeu}}" stands for nothing here',
        'write "value"',
    ),
    "write of a request": (
        {"points": [{"kind": "signal_junction", "write": ASK}]},
        "not-commandable",
        f'{POINT}.write.point: "signal_junction.priority" is a held request',
        'move it to "request"',
    ),
    "request of a value": (
        {"points": [{"kind": "lamp", "request": {**SET, "payload": "{action}"}}]},
        "not-commandable",
        f'{POINT}.request.point: "lamp.level" is a value',
        'move it to "write"',
    ),
    "request payload": (
        {
            "points": [
                {"kind": "signal_junction", "request": {"topic": "a/{id}", "point": "priority"}}
            ]
        },
        "missing-key",
        f'{POINT}.request: "payload" is missing',
        "",
    ),
    "two writers": (
        {"points": [{"kind": "lamp", "write": [SET, SET]}]},
        "two-writers",
        f'{POINT}.write[1]: "lamp-1.level" is written twice',
        "keep one of the two",
    ),
    "call name": (
        {"calls": [{"topic": "a", "payload": "x"}]},
        "missing-key",
        'connections.street.calls[0]: "call" is missing',
        "",
    ),
    "call twice": (
        {"calls": [{"call": "f.x", "topic": "a", "payload": "x"}] * 2},
        "two-writers",
        'connections.street.calls[1]: "f.x" is bound twice',
        "keep one of the two",
    ),
    "call topic": (
        {"calls": [{"call": "f.x", "topic": "a/{id}", "payload": "x"}]},
        "template",
        "connections.street.calls[0].topic: the topic of a call has no placeholders",
        "",
    ),
    "call payload": (
        {"calls": [{"call": "f.x", "topic": "a", "payload": "{with.x}"}]},
        "placeholder",
        'connections.street.calls[0].payload: "{with.x}" stands for nothing here',
        "use one of: arguments, attempt, because, call, command, deadline",
    ),
    "share in 3.1.1": (
        {"version": "3.1.1", "share": "engines"},
        "wrong-value",
        "connections.street.share: shared subscriptions are of MQTT 5",
        "write version: 5",
    ),
    "share": (
        {"share": "a/b"},
        "wrong-value",
        'connections.street.share: "a/b" has a sign that no name of a group may have',
        "",
    ),
    "presence": (
        {"presence": {"topic": "city/+"}},
        "template",
        'connections.street.presence.topic: "city/+" is a topic to write to: it cannot have "+" or "#"',
        "",
    ),
    "available alike": (
        {
            "points": {
                "kind": "lamp",
                "read": LEVEL,
                "available": {"topic": "a/{id}", "online": "x", "offline": "x"},
            }
        },
        "wrong-value",
        'connections.street.points.available: "online" and "offline" are both "x"',
        "",
    ),
    "codec": (
        {"points": {"kind": "lamp", "read": {**LEVEL, "codec": "msgpak"}}},
        "codec",
        'connections.street.points.read.codec: there is no codec "msgpak"',
        'write "msgpack"',
    ),
    "property in 3.1.1": (
        {"version": "3.1.1", "points": {"kind": "lamp", "read": {**LEVEL, "time": "@ts"}}},
        "path",
        'connections.street.points.read.time: "@ts" is a user property, which only MQTT 5 has',
        "write version: 5",
    ),
    "discovery of nothing": (
        {"discovery": {}},
        "missing-key",
        'connections.street.discovery: "bind" is missing: which components are which points of which kind',
        "",
    ),
    "discovery whose": (
        {
            "discovery": {
                "bind": {"component": "light", "kind": "lamp", "point": "level", "id": "x"}
            }
        },
        "placeholder",
        'connections.street.discovery.bind.id: "x" does not say which entity it is',
        "use one of: {object_id}, {node_id}, {unique_id}, {device}",
    ),
    "discovery point": (
        {"discovery": {"bind": {"component": "light", "kind": "lamp", "point": "levl"}}},
        "unknown-point",
        'connections.street.discovery.bind.point: a lamp has no point "levl"',
        'write "level"',
    ),
    "reply call": (
        {
            "version": "3.1.1",
            "calls": [{"call": "f.x", "topic": "a", "payload": "x", "reply": {"topic": "b"}}],
        },
        "missing-key",
        'connections.street.calls[0].reply: "call" is missing: the path of the id that was sent as "{command}"',
        "",
    ),
    "reply key": (
        {
            "calls": [
                {
                    "call": "f.x",
                    "topic": "a",
                    "payload": "x",
                    "reply": {"topic": "b", "call": "$.id", "stat": "$.s"},
                }
            ]
        },
        "unknown-key",
        'connections.street.calls[0].reply: "stat" is no option here',
        'write "status"',
    ),
}


class TestMistakes:
    @pytest.mark.parametrize("name", MISTAKES)
    def test_finding(self, name: str, make_settings: Any, city: Any) -> None:
        """A mistake gives exactly one finding, at the place of the connection, with its mend."""
        options, code, message, mend = MISTAKES[name]
        plan, findings = bind(make_settings(**options), city)
        if name == "tls key alone":
            findings = findings[:1]
        (finding,) = findings
        assert (finding.code, finding.message, finding.mend) == (code, message, mend)
        assert finding.at == Span("config.yaml", 4, 3)
        assert plan.broker.port >= 1

    @pytest.mark.parametrize(
        "options",
        [{"host": "10.1.2.3", "plain": True}, {"host": "10.1.2.3", "tls": True}, {"host": "::1"}],
    )
    def test_a_broker_elsewhere(self, options: Any, make_settings: Any, city: Any) -> None:
        """Beyond this machine it is TLS, or said in so many words."""
        assert bind(make_settings(**options), city)[1] == []

    def test_all_at_once(self, make_settings: Any, city: Any) -> None:
        """Several mistakes are all reported, in order."""
        options = {
            "port": -1,
            "points": [{"kind": "lmap", "read": LEVEL}, {"kind": "lamp", "wirte": SET}],
        }
        codes = [finding.code for finding in bind(make_settings(**options), city)[1]]
        assert codes == ["out-of-range", "unknown-kind", "unknown-key", "missing-key"]

    def test_place_unknown(self, city: Any) -> None:
        """Settings that came from no file still have a place."""
        findings = bind(ConnectionSettings("x", "mqtt", {"host": 1}), city)[1]
        assert findings[0].at.file == "config.yaml"

    @pytest.mark.parametrize(
        "junk", [None, 1, "x", [], {}, [None], [[]], {"a": {}}, True, float("nan")]
    )
    @pytest.mark.parametrize(
        "key", ["host", "port", "tls", "points", "calls", "version", "username", "max_payload"]
    )
    def test_any_type(self, key: str, junk: object, make_settings: Any, city: Any) -> None:
        """Whatever stands in an option ends in findings, never in an exception."""
        bind(make_settings(**{key: junk}), city)

    @pytest.mark.parametrize("junk", [None, 1, "x", [], {}, [None], {"a": {}}, True, {1: 2}])
    @pytest.mark.parametrize(
        "key",
        [
            "topic",
            "point",
            "points",
            "path",
            "map",
            "scale",
            "unit",
            "time",
            "id",
            "each",
            "quality_map",
            "qos",
        ],
    )
    def test_any_type_in_a_read(
        self, key: str, junk: object, make_settings: Any, city: Any
    ) -> None:
        """The same holds inside a binding."""
        bind(make_settings(**read(**{key: junk})), city)
        bind(make_settings(**write(**{key: junk, "payload": junk})), city)


class TestPlan:
    def test_one_subscription_per_template(self, make_settings: Any, city: Any) -> None:
        """All lamps share one subscription, and each topic leads to its lamp at once."""
        plan, findings = bind(make_settings(**read()), city)
        assert not findings
        assert plan.subscriptions == {"city/lamp/+/state": 0}
        assert sorted(plan.sources) == [f"city/lamp/lamp-{n}/state" for n in (1, 2, 3)]
        assert [p.id for p in plan.points] == [f"lamp-{n}.level" for n in (1, 2, 3)]

    def test_attributes_in_topics(self, make_settings: Any, city: Any) -> None:
        """A placeholder may be any attribute; one that is the same for all stays as it is."""
        plan, findings = bind(make_settings(**read(topic="{site}/{cabinet}/{zone}/{id}")), city)
        assert not findings
        assert plan.subscriptions == {"testville/+/+/+": 0}
        assert "testville/C2/north/lamp-3" in plan.sources

    def test_zone(self, make_settings: Any, city: Any) -> None:
        """A binding for one zone leaves the other entities out."""
        options = {"points": [{"kind": "lamp", "zone": "north", "read": LEVEL, "write": SET}]}
        plan, _ = bind(make_settings(**options), city)
        assert plan.subscriptions == {"city/lamp/lamp-3/state": 0}
        assert list(plan.writes) == ["lamp-3.level"]

    def test_secret_is_not_shown(self, make_settings: Any, city: Any) -> None:
        """The password is in no representation of the settings."""
        plan, _ = bind(make_settings(username="u", password="canary"), city)
        assert "canary" not in repr(plan.broker)
