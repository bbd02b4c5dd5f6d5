"""Every mistake in the settings, with its exact message."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.model.diagnostics import Severity, Span
from pilotage_opcua.binding import bind

NODE = "ns=2;s=City.{id}.Level"
READ = {"point": "level", "node": NODE}
CALL = {"call": "fleet.dispatch", "object": "i=85", "method": "ns=2;i=7"}
ASK = {"point": "priority", "object": "ns=2;s={id}", "method": "ns=2;s={id}.Ask"}
AT = "connections.street"
POINT = f"{AT}.points[0]"


def read(**keys: Any) -> dict[str, Any]:
    return {"points": [{"kind": "lamp", "read": {**READ, **keys}}]}


def write(**keys: Any) -> dict[str, Any]:
    return {"points": [{"kind": "lamp", "write": {**READ, **keys}}]}


def ask(**keys: Any) -> dict[str, Any]:
    return {"points": [{"kind": "signal_junction", "request": {**ASK, **keys}}]}


def call(**keys: Any) -> dict[str, Any]:
    return {"calls": [{**CALL, **keys}]}


ANY_MEND = "…"

MISTAKES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "unknown key": (
        {"timout": 1},
        "unknown-key",
        f'{AT}: "timout" is no option here',
        'write "timeout"',
    ),
    "no url": ({"url": None}, "missing-key", f'{AT}: "url" is missing', ""),
    "bad url": (
        {"url": "http://plc"},
        "url",
        f'{AT}.url: "http://plc" is no address',
        "write opc.tcp://HOST:4840",
    ),
    "user in url": (
        {"url": "opc.tcp://u:p@plc"},
        "url",
        f"{AT}.url: holds a user",
        'use "username" and "password"',
    ),
    "password alone": (
        {"password": "x"},
        "missing-key",
        f'{AT}: "password" without "username"',
        'add "username"',
    ),
    "unknown security": (
        {"security": "Basic128Rsa15"},
        "wrong-value",
        f'{AT}.security: there is no security "Basic128Rsa15" here',
        "use one of: Aes256Sha256RsaPss, Basic256Sha256, none",
    ),
    "unknown mode": (
        {"security": "Basic256Sha256", "mode": "Encrypt"},
        "wrong-value",
        f'{AT}.mode: there is no mode "Encrypt"',
        'write "SignAndEncrypt"',
    ),
    "publishing": (
        {"publishing": 0},
        "out-of-range",
        f"{AT}.publishing: 0 is not between 0.02 and 3600",
        "",
    ),
    "sampling": (
        {"sampling": -1},
        "out-of-range",
        f"{AT}.sampling: -1 is not between 0 and 3600",
        "",
    ),
    "silence": ({"silence": 1}, "out-of-range", f"{AT}.silence: 1 is not between 2 and 600", ""),
    "batch": ({"batch": 1.5}, "wrong-type", f"{AT}.batch: expected a whole number, found 1.5", ""),
    "text for number": (
        {"timeout": "3 s"},
        "wrong-type",
        f'{AT}.timeout: expected a number, found "3 s"',
        "",
    ),
    "points text": (
        {"points": "lamp"},
        "wrong-type",
        f'{AT}.points: expected a list, found "lamp"',
        "",
    ),
    "no whose": (
        {"points": [{"read": READ}]},
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
    "unknown kind": (
        {"points": [{"kind": "lam", "read": READ}]},
        "unknown-kind",
        f'{POINT}.kind: there is no kind "lam"',
        'write "lamp"',
    ),
    "unknown entity": (
        {"points": [{"entity": "lamp-11", "read": READ}]},
        "unknown-entity",
        f'{POINT}.entity: there is no entity "lamp-11"',
        'write "lamp-1"',
    ),
    "unknown point": (
        read(point="levle"),
        "unknown-point",
        f'{POINT}.read: a lamp has no point "levle"',
        'write "level"',
    ),
    "unknown point to write": (
        write(point="levle"),
        "unknown-point",
        f'{POINT}.write: a lamp has no point "levle"',
        'write "level"',
    ),
    "point and points": (
        read(points={"level": NODE}),
        "missing-key",
        f'{POINT}.read: expected either "point" or "points"',
        "",
    ),
    "unknown key of a point": (
        {"points": [{"kind": "lamp", "read": {"points": {"level": {"nod": NODE}}}}]},
        "unknown-key",
        f'{POINT}.read.points.level: "nod" is no option here',
        'write "node"',
    ),
    "no node": (read(node=None), "missing-key", f'{POINT}.read: "node" is missing', ""),
    "node id": (
        read(node="ns=2,s={id}"),
        "node",
        f'{POINT}.read.node: "ns=2,s=1" is neither a node id (ns=2;s=NAME, ns=2;i=NUMBER,'
        " nsu=URI;s=NAME) nor a path (/Objects/2:NAME)",
        "",
    ),
    "numeric node id": (
        read(node="ns=2;i=x{id}"),
        "node",
        f'{POINT}.read.node: "i=x1" in "ns=2;i=x1" is no whole number below 4294967296',
        "",
    ),
    "node id of an entity": (
        read(node="ns=2;i={id}"),
        "node",
        f'{POINT}.read.node: lamp-1: "i=lamp-1" in "ns=2;i=lamp-1" is no whole number below 4294967296',
        "",
    ),
    "guid": (
        read(node="g={id}"),
        "node",
        f'{POINT}.read.node: "g=1" in "g=1" is no GUID',
        "",
    ),
    "base64": (
        read(node="b=a{id}?"),
        "node",
        f'{POINT}.read.node: "b=a1?" in "b=a1?" is no base64',
        "",
    ),
    "namespace": (
        read(node="ns=70000;s={id}"),
        "node",
        f'{POINT}.read.node: the namespace 70000 in "ns=70000;s=1" is above 65535',
        "",
    ),
    "empty step": (
        read(node="/Objects//{id}"),
        "node",
        f'{POINT}.read.node: "" in "/Objects//{{id}}" is no step like 2:NAME',
        "",
    ),
    "open brace": (
        read(node="ns=2;s={id"),
        "node",
        f'{POINT}.read.node: a brace in "ns=2;s={{id" does not enclose a name',
        "",
    ),
    "placeholder": (
        read(node="ns=2;s={idd}"),
        "placeholder",
        f'{POINT}.read.node: "{{idd}}" has no value for "lamp-1"',
        "",
    ),
    "one node for all": (
        read(node="ns=2;s=Level"),
        "whose",
        f'{POINT}.read.node: "ns=2;s=Level" is the node of "lamp-1" and "lamp-2"',
        'write "{id}" or another placeholder in it',
    ),
    "two readers": (
        {"points": [{"kind": "lamp", "read": [READ, READ]}]},
        "two-readers",
        f'{POINT}.read[1]: "lamp-1.level" is read twice',
        "keep one of the two",
    ),
    "two writers": (
        {"points": [{"kind": "lamp", "write": [READ, READ]}]},
        "two-writers",
        f'{POINT}.write[1]: "lamp-1.level" is written twice',
        "keep one of the two",
    ),
    "two writers of a request": (
        {"points": [{"kind": "signal_junction", "request": [ASK, ASK]}]},
        "two-writers",
        f'{POINT}.request[1]: "J-12.priority" is written twice',
        "keep one of the two",
    ),
    "not commandable": (
        write(point="power"),
        "not-commandable",
        f'{POINT}.write: "lamp.power" is reported: nobody can set it',
        "",
    ),
    "request written": (
        {"points": [{"kind": "signal_junction", "write": {"point": "priority", "node": "i=1"}}]},
        "not-commandable",
        f'{POINT}.write: "signal_junction.priority" is a held request',
        'move it to "request"',
    ),
    "value requested": (
        {"points": [{"kind": "lamp", "request": {**ASK, "point": "level"}}]},
        "not-commandable",
        f'{POINT}.request: "lamp.level" is a value',
        'move it to "write"',
    ),
    "not reported": (
        read(point="goal"),
        "not-reported",
        f'{POINT}.read: "lamp.goal" is commandable: no device reports it',
        "",
    ),
    "source time": (
        read(source_time="sometimes"),
        "wrong-value",
        f'{POINT}.read.source_time: "sometimes" is none of changes, always, never',
        "",
    ),
    "slower than max_age": (
        read(sampling=50, publishing=20),
        "too-slow",
        f'{POINT}.read: a change of "lamp.level" is known after up to 70 s, and after 60 s without news it is stale',
        'write shorter "sampling" and "publishing"',
    ),
    "slower than the device": (
        read(point="power", sampling=30),
        "too-slow",
        f'{POINT}.read: a change of "lamp.power" is known after up to 30.5 s, and the device reports every 10 s',
        'write shorter "sampling" and "publishing"',
    ),
    "sampling of a write": (
        write(sampling=1),
        "unknown-key",
        f'{POINT}.write: "sampling" is for "read"',
        "",
    ),
    "scale 0": (
        read(scale=0),
        "out-of-range",
        f"{POINT}.read.scale: 0 would turn every value into the same one",
        "",
    ),
    "scale of a word": (
        read(point="state", scale=2),
        "wrong-type",
        f'{POINT}.read: "scale" is for numbers, and this point is one of off, on, fault',
        "",
    ),
    "unknown unit": (
        read(unit="furlong"),
        "unknown-unit",
        f'{POINT}.read.unit: "furlong" is no unit',
        "",
    ),
    "wrong unit": (
        read(point="power", unit="km"),
        "unit",
        f"{POINT}.read.unit: a length (km) is no power (W)",
        "",
    ),
    "map value": (
        read(point="state", map={1: "onn"}),
        "not-a-member",
        f'{POINT}.read.map: "onn" is not one of off, on, fault',
        'write "on"',
    ),
    "map of truth": (
        read(point="broken", map={1: "yes!"}),
        "not-a-member",
        f'{POINT}.read.map: "yes!" is neither true nor false',
        "",
    ),
    "map not whole": (
        write(point="state", map={"off": 0, "on": 1}),
        "not-a-member",
        f"{POINT}.write.map: says nothing of fault",
        "add the missing",
    ),
    "map text": (
        read(point="state", map="on"),
        "wrong-type",
        f'{POINT}.read.map: expected keys with values, found "on"',
        "",
    ),
    "nobody in the zone": (
        {"points": [{"kind": "lamp", "zone": "south", "read": READ}]},
        "no-entities",
        f'{POINT}: the inventory has no "lamp" in zone "south"',
        "",
    ),
    "call twice": (
        {"calls": [CALL, CALL]},
        "two-writers",
        f'{AT}.calls[1]: "fleet.dispatch" is bound twice',
        "keep one of the two",
    ),
    "call without method": (
        call(method=None),
        "missing-key",
        f'{AT}.calls[0]: "method" is missing',
        "",
    ),
    "placeholder in a call": (
        call(object="ns=2;s={id}"),
        "placeholder",
        f"{AT}.calls[0].object: the address of a call has no placeholders",
        "",
    ),
    "argument": (
        call(arguments=["{argument.vehicle}"]),
        "placeholder",
        f'{AT}.calls[0].arguments[0]: "{{argument.vehicle}}" stands for nothing here',
        'write "arguments"',
    ),
    "arguments": (
        call(arguments="{command}"),
        "wrong-type",
        f"{AT}.calls[0].arguments: expected a list, in the method's order",
        "",
    ),
    "map without output": (
        call(map={0: "accepted"}),
        "missing-key",
        f'{AT}.calls[0]: "map" is for the words of an output argument',
        'add "output: 0" for the first one',
    ),
    "output": (
        call(output=-1),
        "out-of-range",
        f"{AT}.calls[0].output: -1 is not between 0 and 100",
        "",
    ),
    "argument of a request": (
        ask(arguments=["{value}"]),
        "placeholder",
        f'{POINT}.request.arguments[0]: "{{value}}" stands for nothing here',
        ANY_MEND,
    ),
}
WARNINGS = {"slower than the device", "nobody in the zone"}


class TestMistakes:
    @pytest.mark.parametrize("name", MISTAKES)
    def test_is_found(self, name: str, make_settings: Any, city: Any) -> None:
        """Each mistake is one finding with its place, what was written, and the mend."""
        options, code, message, mend = MISTAKES[name]
        found = [
            f
            for f in bind(make_settings(**options), city)[1]
            if f.code != "missing-key" or code == f.code
        ]
        finding = found[0]
        assert (finding.code, finding.message) == (code, message)
        assert mend in (finding.mend, ANY_MEND)
        assert finding.at == Span("config.yaml", 4, 3)
        wanted = Severity.WARNING if name in WARNINGS else Severity.ERROR
        assert finding.severity is wanted

    def test_all_at_once(self, make_settings: Any, city: Any) -> None:
        """Two mistakes are two findings."""
        options = {**read(point="levle"), "timout": 3}
        assert [f.code for f in bind(make_settings(**options), city)[1]] == [
            "unknown-point",
            "unknown-key",
        ]


class TestPlan:
    def test_zone(self, make_settings: Any, city: Any) -> None:
        """A zone takes only its own entities."""
        points = [{"kind": "lamp", "zone": "centre", "read": READ}]
        plan, findings = bind(make_settings(points=points), city)
        assert findings == []
        assert list(plan.items) == ["lamp-1.level", "lamp-2.level"]
        assert plan.items["lamp-2.level"].address.identifier == "City.lamp-2.Level"

    def test_intervals(self, make_settings: Any, city: Any) -> None:
        """Intervals of a reading come before those of the connection; sampling follows publishing."""
        points = [
            {
                "kind": "lamp",
                "read": [READ, {"point": "power", "node": "ns=2;s={id}", "sampling": 2}],
            },
            {"kind": "lamp", "read": {"points": {"broken": "ns=3;s={id}"}, "publishing": 3}},
        ]
        plan, _ = bind(make_settings(points=points, publishing=1), city)
        found = {name: (i.sampling_s, i.publishing_s) for name, i in plan.items.items()}
        names = ("lamp-1.level", "lamp-1.power", "lamp-1.broken")
        assert [found[name] for name in names] == [(1, 1), (2, 1), (3, 3)]

    def test_request(self, make_settings: Any, city: Any) -> None:
        """A held request is a method of the entity's own object; its status is read as a point."""
        points = [
            {
                "kind": "signal_junction",
                "request": {**ASK, "arguments": ["{action}", "{entity}", "{with.eta}"]},
                "read": {"point": "priority.status", "node": "ns=2;s={id}.Status"},
            }
        ]
        plan, findings = bind(make_settings(points=points), city)
        assert findings == []
        method = plan.requests["J-12.priority"]
        values = {"action": "request", "entity": "bus-7", "with.eta": 12.0}
        assert [build(values) for build in method.arguments] == ["request", "bus-7", 12.0]
        assert list(plan.items) == ["J-12.priority.status"]
