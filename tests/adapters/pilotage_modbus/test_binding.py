"""What a configuration becomes, and every mistake in it with its exact message."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.model.diagnostics import Span
from pilotage_modbus.binding import bind
from pilotage_modbus.codec import Layout, Table


def one(**point: Any) -> dict[str, Any]:
    """Return a binding of one point of one lamp."""
    return {"points": [{"entity": "lamp-1", "unit_id": 1, "points": {"level": point}}]}


def of(name: str, **point: Any) -> dict[str, Any]:
    return {"points": [{"entity": "lamp-1", "unit_id": 1, "points": {name: point}}]}


def lamp(**points: Any) -> dict[str, Any]:
    return {"points": [{"entity": "lamp-1", "unit_id": 1, "points": points}]}


def entry(**keys: Any) -> dict[str, Any]:
    return {"points": [{"unit_id": 1, "points": {"level": {"holding": 1}}, **keys}]}


P = "connections.street.points[0]"
L = f"{P}.points.level"

MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown key": ({"prot": 1}, "unknown-key", 'connections.street: "prot" is no option here'),
    "port as text": (
        {"port": "502"},
        "wrong-type",
        'connections.street.port: expected a number, found "502"',
    ),
    "port range": (
        {"port": 0},
        "out-of-range",
        "connections.street.port: 0 is not between 1 and 65535",
    ),
    "no host": ({"host": None}, "missing-key", 'connections.street: "host" is missing'),
    "framing": (
        {"framing": "ascii"},
        "wrong-value",
        'connections.street.framing: "ascii" is not known here',
    ),
    "no file": (
        {"tls": {"ca": "no/such.pem"}},
        "no-such-file",
        'connections.street.tls.ca: there is no file "no/such.pem"',
    ),
    "half a certificate": (
        {"tls": {"key": __file__}},
        "missing-key",
        'connections.street.tls: "certificate" and "key" are needed together',
    ),
    "serial and host": (
        {"serial": {"port": "/dev/ttyS0"}},
        "wrong-value",
        'connections.street.serial: "serial" is a line of its own: no host, no tls, always RTU frames',
    ),
    "timeout": (
        {"timeout": "soon"},
        "wrong-type",
        'connections.street.timeout: expected a time like 2 s or 500 ms, found "soon"',
    ),
    "poll too fast": (
        {"poll": "1 ms"},
        "out-of-range",
        "connections.street.poll: 1 ms is not between 0.02 s and 86400 s",
    ),
    "too many registers": (
        {"max_registers": 126},
        "out-of-range",
        "connections.street.max_registers: 126 is not between 4 and 125",
    ),
    "points is a text": (
        {"points": "x"},
        "wrong-type",
        'connections.street.points: expected a list, found "x"',
    ),
    "neither kind nor entity": (
        entry(),
        "missing-key",
        f'{P}: expected either "kind" or "entity"',
    ),
    "unknown kind": (entry(kind="lamb"), "unknown-kind", f'{P}.kind: there is no kind "lamb"'),
    "unknown entity": (
        entry(entity="lamp-9"),
        "unknown-entity",
        f'{P}.entity: there is no entity "lamp-9"',
    ),
    "nothing in the zone": (
        entry(kind="lamp", zone="south"),
        "no-entities",
        f'{P}: the inventory has no "lamp" in zone "south"',
    ),
    "no unit": (
        entry(entity="lamp-1", unit_id=None),
        "missing-key",
        f'{P}: "unit_id" is missing: a number, or a template like "{{unit}}"',
    ),
    "unit range": (
        entry(entity="lamp-1", unit_id=256),
        "out-of-range",
        f"{P}.unit_id: 256 is not between 0 and 255",
    ),
    "unit range of RTU": (
        {"framing": "rtu", **entry(entity="lamp-1", unit_id=248)},
        "out-of-range",
        f"{P}.unit_id: 248 is not between 1 and 247",
    ),
    "unit is no template": (
        entry(entity="lamp-1", unit_id="one"),
        "template",
        f'{P}.unit_id: expected a number or a template like "{{unit}}", found "one"',
    ),
    "template of nothing": (
        entry(entity="lamp-1", unit_id="{address}"),
        "placeholder",
        f'{P}.unit_id: "{{address}}" has no value for "lamp-1"',
    ),
    "template of a text": (
        entry(entity="lamp-1", unit_id="{id}"),
        "placeholder",
        f'{P}.unit_id: "{{id}}" is "lamp-1", no whole number, for "lamp-1"',
    ),
    "template of a fraction": (
        entry(entity="lamp-3", base="{slot}"),
        "placeholder",
        f'{P}.base: "{{slot}}" is "2.5", no whole number, for "lamp-3"',
    ),
    "no points": (
        {"points": [{"entity": "lamp-1", "unit_id": 1}]},
        "missing-key",
        f'{P}: "points" is missing: which point stands in which register',
    ),
    "point is a number": (
        {"points": [{"entity": "lamp-1", "unit_id": 1, "points": {"level": 40}}]},
        "wrong-type",
        f"{L}: expected keys with values, found 40",
    ),
    "unknown point": (
        of("leval", holding=1),
        "unknown-point",
        f'{P}.points.leval: a lamp has no point "leval"',
    ),
    "fixed point": (
        of("unit", holding=1),
        "not-reported",
        f'{P}.points.unit: "lamp.unit" is fixed: no device reports it',
    ),
    "held request": (
        of("call", holding=1),
        "not-commandable",
        f'{P}.points.call: "lamp.call" is a held request: registers hold values only',
    ),
    "no table": (
        one(type="int16"),
        "missing-key",
        f"{L}: expected one of holding, input, coil, discrete, found none of them",
    ),
    "two tables": (
        one(holding=1, coil=2),
        "missing-key",
        f"{L}: expected one of holding, input, coil, discrete, found 2 of them",
    ),
    "address range": (
        one(holding=65_536),
        "out-of-range",
        f"{L}.holding: 65536 is not between 0 and 65535",
    ),
    "negative address": (one(holding=-1), "out-of-range", f"{L}.holding: -1 is not between 0 and 65535"),
    "address is a text": (
        one(holding="40"),
        "wrong-type",
        f'{L}.holding: expected a number, found "40"',
    ),
    "end beyond the table": (
        one(holding=65_535, type="float32"),
        "out-of-range",
        f'{L}: "lamp-1.level" would stand at 65535, beyond the last address (65535)',
    ),
    "base beyond the table": (
        {
            "points": [
                {"entity": "lamp-2", "unit_id": 1, "base": "{slot}", "step": 65_535,
                 "points": {"level": {"holding": 7}}}
            ]
        },
        "out-of-range",
        f'{L}: "lamp-2.level" would stand at 65542, beyond the last address (65535)',
    ),
    "reference number": (
        one(holding=40_041),
        "reference-number",
        f"{L}.holding: 40041 looks like a reference number; addresses count from 0",
    ),
    "unknown type": (
        one(holding=1, type="word"),
        "wrong-value",
        f'{L}.type: "word" is no type of registers',
    ),
    "type of a coil": (
        of("relay", coil=1, type="uint16"),
        "wrong-type",
        f'{P}.points.relay: a coil is one bit: no "type", "mask" or "bit"',
    ),
    "word order": (
        one(holding=1, word_order="middle"),
        "wrong-value",
        f'{L}.word_order: "middle" is not known here',
    ),
    "bit of a float": (
        one(holding=1, type="float32", bit=3),
        "wrong-type",
        f"{L}: bits are counted in unsigned numbers, and this is a float32",
    ),
    "bit beyond the register": (
        one(holding=1, bit=16),
        "out-of-range",
        f"{L}: a uint16 has the bits 0 to 15",
    ),
    "mask of a text": (
        one(holding=1, mask="0xF0"),
        "wrong-type",
        f'{L}.mask: expected a number, found "0xF0"',
    ),
    "bits of two registers": (
        one(holding=1, type="uint32", mask=0x0001_0000),
        "not-commandable",
        f"{L}: bits of more than one register cannot be set without the others",
    ),
    "scale 0": (
        one(holding=1, scale=0),
        "out-of-range",
        f"{L}.scale: 0 would turn every value into the same one",
    ),
    "scale of a truth": (
        of("relay", holding=1, scale=2),
        "wrong-type",
        f'{P}.points.relay: "scale" is for numbers, and this point is true or false',
    ),
    "unknown unit": (one(holding=1, unit="percent"), "unknown-unit", f"{L}.unit: "),
    "wrong unit": (one(holding=1, unit="kW"), "unit", f"{L}.unit: a power (kW) is no plain number (%)"),
    "float for a truth": (
        of("broken", input=1, type="float32"),
        "wrong-type",
        f"{P}.points.broken: this point is true or false, and a float32 is not",
    ),
    "word without a map": (
        of("state", holding=1),
        "wrong-type",
        f"{P}.points.state: this point is one of up, down, moving",
    ),
    "text": (of("note", input=1), "wrong-type", f"{P}.points.note: registers hold no text"),
    "map of another word": (
        of("state", holding=1, map={0: "left"}),
        "not-a-member",
        f'{P}.points.state.map: "left" is not one of up, down, moving',
    ),
    "map of a word to a truth": (
        of("broken", input=1, map={0: "no"}),
        "not-a-member",
        f'{P}.points.broken.map: "no" is neither true nor false',
    ),
    "map from a word": (
        of("state", holding=1, map={"zero": "up"}),
        "wrong-value",
        f'{P}.points.state.map: "zero" is no whole number',
    ),
    "invalid": (
        one(holding=1, invalid="none"),
        "wrong-type",
        f"{L}.invalid: expected the numbers that mean no value",
    ),
    "release": (
        one(holding=1, release=70_000),
        "out-of-range",
        f"{L}.release: 70000 does not fit in a uint16: 0 to 65535",
    ),
    "write a reported point": (
        of("power", input=1, write={"holding": 2}),
        "not-commandable",
        f'{P}.points.power.write: "power" is reported: nobody can set it',
    ),
    "write an input": (
        one(holding=1, write={"input": 2}),
        "not-commandable",
        f'{L}.write: "input" can only be read',
    ),
    "command an input": (
        of("limit", input=1),
        "not-commandable",
        f'{P}.points.limit: "input" can only be read',
    ),
    "read twice": (
        {
            "points": [
                {"entity": "lamp-1", "unit_id": 1, "points": {"power": {"input": 1}}},
                {"kind": "lamp", "zone": "centre", "unit_id": "{unit}", "points": {"power": {"input": 2}}},
            ]
        },
        "two-sources",
        'connections.street.points[1].points.power: "lamp-1.power" is read twice',
    ),
    "overlap": (
        lamp(power={"holding": 10, "type": "float32"}, temperature={"holding": 11}),
        "overlap",
        f'{P}.points.temperature: "lamp-1.temperature" and "lamp-1.power" overlap at holding 11 of unit 1',
    ),
    "overlapping bits": (
        lamp(broken={"holding": 10, "bit": 3}, power={"holding": 10, "mask": 0xF8}),
        "overlap",
        f'{P}.points.power: "lamp-1.power" and "lamp-1.broken" overlap at holding 10 of unit 1',
    ),
    "template forgotten": (
        {"points": [{"kind": "lamp", "unit_id": 1, "points": {"power": {"input": 1}}}]},
        "whose",
        f'{P}.points.power: "lamp-2.power" and "lamp-1.power" both stand at input 1 of unit 1',
    ),
    "a map without one of them": (
        entry(kind="lamp", unit_id={"lamp-1": 1, "lamp-2": 2}),
        "missing-key",
        f'{P}.unit_id: has no number for "lamp-3"',
    ),
    "a map with a stranger": (
        entry(kind="lamp", unit_id={"lamp-1": 1, "lamp-2": 2, "lamp-3": 3, "lamp-4": 4}),
        "unknown-entity",
        f'{P}.unit_id: there is no entity "lamp-4"',
    ),
    "a map beyond the limits": (
        entry(entity="lamp-1", unit_id={"lamp-1": 256}),
        "out-of-range",
        f"{P}.unit_id.lamp-1: 256 is not between 0 and 255",
    ),
    "two writers": (
        lamp(level={"holding": 10}, limit={"holding": 10}),
        "two-writers",
        f'{P}.points.limit: "lamp-1.limit" and "lamp-1.level" both write holding 10 of unit 1',
    ),
    "written twice": (
        {
            "points": [
                {"entity": "lamp-1", "unit_id": 1, "points": {"limit": {"holding": 1}}},
                {"entity": "lamp-1", "unit_id": 1, "points": {"limit": {"holding": 2}}},
            ]
        },
        "two-writers",
        'connections.street.points[1].points.limit: "lamp-1.limit" is written twice',
    ),
}  # fmt: skip

WARNINGS = {"nothing in the zone", "reference number"}


class TestMistakes:
    @pytest.mark.parametrize("name", sorted(MISTAKES))
    def test_found(self, name: str, make_settings: Any, city: Any) -> None:
        """Each mistake is found once, at its place, with its mend or its limits."""
        options, code, message = MISTAKES[name]
        _, findings = bind(make_settings(**options), city)
        about = [f for f in findings if f.code == code and f.message.startswith(message)]
        assert len(about) == 1, [f"{f.code} {f.message}" for f in findings]
        assert about[0].at == Span("config.yaml", 4, 3)
        assert about[0].is_error is (name not in WARNINGS)

    def test_no_library_for_a_serial_line(
        self, make_settings: Any, city: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A serial line says what it needs."""
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        options = {"host": None, "serial": {"port": "/dev/ttyS0"}}
        _, findings = bind(make_settings(**options), city)
        assert [(f.code, f.mend) for f in findings] == [("no-library", "install pilotage[serial]")]

    def test_all_at_once(self, make_settings: Any, city: Any) -> None:
        """One run tells every mistake."""
        options = {"prot": 1, "timeout": -1, **lamp(leval={}, power={"holding": 1, "type": "x"})}
        _, findings = bind(make_settings(**options), city)
        assert {f.code for f in findings} >= {
            "unknown-key",
            "out-of-range",
            "unknown-point",
            "wrong-value",
        }


class TestPlan:
    def plan(self, make_settings: Any, city: Any, **options: Any) -> Any:
        plan, findings = bind(make_settings(**options), city)
        assert [f"{f.code} {f.message}" for f in findings] == []
        return plan

    def test_unit_from_the_entity(self, make_settings: Any, city: Any) -> None:
        """A template finds each entity's own unit."""
        plan = self.plan(make_settings, city, **entry(kind="lamp", unit_id="{unit}"))
        assert [(p.point.id, p.unit) for p in plan.parts] == [
            ("lamp-1.level", 1), ("lamp-2.level", 2), ("lamp-3.level", 3),
        ]  # fmt: skip

    def test_unit_of_the_cabinet(self, make_settings: Any, city: Any) -> None:
        """A template follows a relation, and the base says where an entity's registers begin."""
        plan = self.plan(
            make_settings,
            city,
            **entry(
                kind="lamp",
                zone="centre",
                unit_id="{cabinet.unit}",
                base="{slot}",
                step=10,
                points={"level": {"holding": 3}, "power": {"input": 4}},
            ),
        )
        assert {(p.point.id, p.unit, p.table, p.address) for p in plan.parts} == {
            ("lamp-1.level", 7, Table.HOLDING, 3),
            ("lamp-2.level", 7, Table.HOLDING, 13),
            ("lamp-1.power", 7, Table.INPUT, 4),
            ("lamp-2.power", 7, Table.INPUT, 14),
        }
        assert sorted(plan.writes) == ["lamp-1.level", "lamp-2.level"]

    def test_orders_of_a_binding(self, make_settings: Any, city: Any) -> None:
        """Word and byte order stand once, and a point may differ."""
        plan = self.plan(
            make_settings,
            city,
            **entry(
                entity="lamp-1",
                word_order="little",
                byte_order="little",
                points={
                    "level": {"holding": 1, "type": "uint32"},
                    "power": {"holding": 4, "type": "int32", "word_order": "big"},
                },
            ),
        )
        layouts = {p.point.id: p.layout for p in plan.parts}
        assert layouts["lamp-1.level"] == Layout("uint32", True, True)
        assert layouts["lamp-1.power"] == Layout("int32", False, True)

    @pytest.mark.parametrize("how", [{"bit": 4}, {"type": "bit 4"}, {"mask": 16}])
    def test_bit(self, make_settings: Any, city: Any, how: dict[str, Any]) -> None:
        """Three ways to name one bit."""
        plan = self.plan(make_settings, city, **of("broken", input=9, **how))
        assert plan.parts[0].layout == Layout("uint16", mask=16)

    def test_bits_share_a_register(self, make_settings: Any, city: Any) -> None:
        """Different bits of one register are no overlap and no two writers."""
        plan = self.plan(
            make_settings,
            city,
            **lamp(relay={"holding": 1, "bit": 0}, level={"holding": 1, "mask": 0xFF00}),
        )
        assert [(b.start, b.count, len(b.parts)) for b in plan.blocks] == [(1, 1, 2)]

    def test_shared(self, make_settings: Any, city: Any) -> None:
        """One register may be the power of many, when that is meant."""
        point = {"power": {"input": 1, "shared": True}}
        plan = self.plan(make_settings, city, **entry(kind="lamp", points=point))
        assert (len(plan.parts), len(plan.blocks)) == (3, 1)

    def test_unit_of_measure(self, make_settings: Any, city: Any) -> None:
        """The device's unit is turned into the point's, both ways."""
        plan = self.plan(make_settings, city, **of("limit", holding=1, type="int16", unit="K"))
        # 25 °C are 298.15 K, which a whole register holds as 298.
        assert plan.writes["lamp-1.limit"].registers(25.0) == [298]
        plan = self.plan(make_settings, city, **of("power", input=1, unit="kW", scale=0.01))
        assert plan.parts[0].convert(123) == 1230.0

    def test_times(self, make_settings: Any, city: Any) -> None:
        """Times are numbers of seconds, or have their unit."""
        plan = self.plan(make_settings, city, poll="500 ms", timeout=2, **entry(entity="lamp-1"))
        assert (plan.parts[0].every_s, plan.parts[0].timeout_s) == (0.5, 2.0)
        plan = self.plan(make_settings, city, **entry(entity="lamp-1", poll="2 min"))
        assert plan.parts[0].every_s == 120.0

    def test_not_written(self, make_settings: Any, city: Any) -> None:
        """What is read from inputs, or marked so, is not written."""
        plan = self.plan(
            make_settings, city, **lamp(level={"input": 1}, relay={"coil": 1, "write": False})
        )
        assert (plan.writes, len(plan.parts)) == ({}, 2)

    def test_ports(self, make_settings: Any, city: Any) -> None:
        """502 is the port of Modbus, 802 that of Modbus in TLS."""
        assert self.plan(make_settings, city, **entry(entity="lamp-1")).line.port == 502
        assert self.plan(make_settings, city, tls=True, **entry(entity="lamp-1")).line.port == 802
