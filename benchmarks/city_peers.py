"""The equipment of `benchmarks/city.py`, a process for each protocol: it speaks, obeys, and notes when it was told what.

`python -m benchmarks.city_peers mqtt|opcua|modbus PORT FILE LAMPS` takes a word a line: `begin` (say once what is), `dusk`, `flow
RATE SECONDS` (changes begin), `burst COUNT`, `rest` (changes end, readings go on), `count` and `note` (write FILE); it answers each
with a line that says how much it has noted so far.
A change that must have an answer is noted as *asked*, a command that arrives as *told*, both by the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import city_plan as plan
from benchmarks.w2_crowd import connect, packet, packets

SLOT_S: Final = 0.01
SLOTS_PER_S: Final = 100
STREAM_AT_ONCE: Final = 100
"""Lamps in a slot of `begin`: the broker and the engine are not to be flooded before anything is measured."""

BURST_SLOTS: Final = 100
PEOPLE_EVERY_S, PEOPLE_STAY_S = 1, 15
FIRE_EVERY_S, FIRE_LASTS_S = 1.0, 15.0
GUARD_EVERY_S, GUARD_LASTS_S = 2.0, 15.0
LOOPS_EVERY_S: Final = 5.0
BUS_STEP_M, BUS_TURN_M = 10, 395
NEAR_M, VEHICLE_CYCLE = 150, 8
AWAY_M: Final = 500.0
LAST_GREEN_S: Final = 3.0
"""At rest a bus that asks for green drives on for so long after it has asked, and is then far away."""
OTHER_READINGS: Final = 1_370
"""Readings a second of everything but the lamps; the lamps make up the rest of the rate."""


class Notes:
    """What was asked of the city, and what was told to its equipment."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.asked: list[tuple[str, str, float | str, float]] = []
        self.told: list[tuple[str, float | str, float]] = []
        self.readings = 0

    def ask(self, way: str, point: str, value: float | str) -> None:
        """Note that from now on a point must get a value, and which way the news takes."""
        self.asked.append((way, point, value, time.monotonic()))

    def tell(self, point: str, value: float | str) -> None:
        """Note that a point was told a value."""
        self.told.append((point, value, time.monotonic()))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.asked) + len(self.told)

    def write(self) -> None:
        """Write it all."""
        found = {"asked": self.asked, "told": self.told, "readings": self.readings}
        self._file.write_text(json.dumps(found))


def words() -> queue.Queue[list[str]]:
    """Return what comes in at standard input."""
    found: queue.Queue[list[str]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            found.put(line.split())
        found.put(["end"])

    threading.Thread(target=read, daemon=True).start()
    return found


def say(count: int) -> None:
    """Answer the benchmark how much is noted."""
    print(count, flush=True)


# ── MQTT: lamps, streets, buses, vehicles, cameras ───────────────────────────────────────────────


def publish(topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH packet of QoS 0."""
    name = topic.encode()
    return packet(0x30, len(name).to_bytes(2, "big") + name + payload)


class Spread:
    """Some things that speak in turn, each once in a period."""

    def __init__(self, count: int, every_s: int) -> None:
        self._slots: list[list[int]] = [[] for _ in range(every_s * SLOTS_PER_S)]
        for number in range(count):
            self._slots[number * len(self._slots) // count].append(number)

    def at(self, slot: int) -> list[int]:
        """Return who speaks in a slot."""
        return self._slots[slot % len(self._slots)]


class Street:
    """Everything behind the broker."""

    def __init__(self, port: int, notes: Notes, lamps: int) -> None:
        self._notes = notes
        self._lamps = lamps
        self._dice = random.Random(1)
        self._sensors = connect(port, "sensors")
        self._devices = connect(port, "devices")
        self._order = threading.Lock()  # a lamp's reports leave in the order in which they are true
        self._level = dict.fromkeys((f"lamp-{n}" for n in range(lamps - 1)), plan.FULL)
        self._level[plan.SPARE_LAMP] = plan.FULL
        self._names = list(self._level)
        self._preset = dict.fromkeys((f"camera-{n}" for n in range(plan.CAMERAS)), "home")
        self._light = plan.LIGHT_LX
        self._walkers: dict[int, int] = {}
        self._next_street = self._next_lamp = 0
        self._bus_steps = [20 - number * 80 // plan.JUNCTIONS for number in range(plan.BUSES)]
        self._asking: dict[int, float] = {}  # bus and since when
        self._bollard: dict[int, str] = {}
        self._visits = [3 - number % VEHICLE_CYCLE for number in range(plan.VEHICLES)]
        self._turns = {
            self.bus: Spread(plan.BUSES, 1),
            self.vehicle: Spread(plan.VEHICLES, 5),
            self.camera: Spread(plan.CAMERAS, 30),
            self.flow: Spread(plan.SEGMENTS, 60),
            self.people: Spread(plan.SEGMENTS, 60),
            self.light: Spread(plan.COMMUNES, 60),
        }
        for id_, topic in enumerate((b"lamp/+/set", b"camera/+/set"), 1):
            body = id_.to_bytes(2, "big") + len(topic).to_bytes(2, "big") + topic + b"\x00"
            self._devices.sendall(packet(0x82, body))
        threading.Thread(target=self._obey, daemon=True).start()

    def _obey(self) -> None:
        """Do what is commanded and say so."""
        for found in packets(self._devices):
            with self._order:
                answers = [self._answer(body) for kind, body in found if kind & 0xF0 == 0x30]
                if answers:
                    self._devices.sendall(b"".join(answers))

    def _answer(self, body: bytes) -> bytes:
        end = 2 + int.from_bytes(body[:2], "big")
        name, payload = body[2:end].split(b"/")[1].decode(), body[end:]
        if name in self._preset:
            self._preset[name] = preset = payload.decode().strip('"')
            self._notes.tell(f"{name}.preset", preset)
            return self.camera(int(name.rpartition("-")[2]))
        self._level[name] = level = float(payload)
        self._notes.tell(f"{name}.level", level)
        return self.lamp(name)

    # ── what is said ─────────────────────────────────────────────────────────────────────────

    def lamp(self, name: str) -> bytes:
        """A lamp's level and power."""
        self._notes.readings += 2
        level = self._level[name]
        text = b'{"level": %g, "power": %g}' % (level, level / 2 + self._dice.randrange(10) / 10)
        return publish(f"lamp/{name}/state", text)

    def camera(self, number: int) -> bytes:
        """What a camera looks at."""
        self._notes.readings += 2
        name = f"camera-{number}"
        text = b'{"online": true, "preset": "%s"}' % self._preset[name].encode()
        return publish(f"camera/{name}/state", text)

    def flow(self, number: int) -> bytes:
        """How many vehicles drive through a street."""
        self._notes.readings += 1
        return publish(f"street/seg-{number}/flow", b"%d" % self._dice.randrange(10, 50))

    def people(self, number: int) -> bytes:
        """Whether somebody walks in a street."""
        self._notes.readings += 1
        some = b"true" if number in self._walkers else b"false"
        return publish(f"street/seg-{number}/people", some)

    def light(self, number: int) -> bytes:
        """The light of the sky over a commune."""
        self._notes.readings += 1
        return publish(f"street/seg-{number}/light", b"%g" % self._light)

    def bus(self, number: int) -> bytes:
        """Where a bus is: it goes to and fro past its junction, or where there is none."""
        self._notes.readings += 3
        step = self._bus_steps[number]
        watched = number < plan.JUNCTIONS
        at = self._bus_at(step)
        where = plan.junction_place(number) if watched else plan.far_place(200 + number)
        lat, lon = plan.place(where, east_m=at)
        text = b'{"at": [%.7f, %.7f], "speed": 10, "delay": %d}' % (lat, lon, 120)
        if watched and step > 0:
            self._ask_for_green(number, at, self._bus_at(step - 1))
        return publish(f"bus/bus-{number}", text)

    @staticmethod
    def _bus_at(step: int) -> float:
        """Return how far east of its junction a bus is after some steps."""
        length = 2 * BUS_TURN_M // BUS_STEP_M
        turn, along = divmod(max(0, step), length)
        east = along * BUS_STEP_M - BUS_TURN_M
        return float(-east if turn % 2 else east)

    def _ask_for_green(self, number: int, at: float, before: float) -> None:
        wants = abs(at) < NEAR_M and abs(at) < abs(before)
        if wants and number not in self._asking:
            self._asking[number] = time.monotonic()
            self._notes.ask("bus", f"junction-{number}.priority", f"bus-{number}")
        elif not wants and self._asking.pop(number, None) is not None:
            self._notes.ask("bus", f"junction-{number}.priority", "")

    def vehicle(self, number: int) -> bytes:
        """Where a vehicle is: at its bollard, or far from it."""
        self._notes.readings += 3
        visits = number < plan.BOLLARDS
        where = plan.bollard_place(number) if visits else plan.far_place(400 + number)
        turn = self._visits[number]
        is_there = visits and turn >= 0 and turn % VEHICLE_CYCLE >= VEHICLE_CYCLE // 2
        lat, lon = plan.place(where, east_m=20.0 if is_there else AWAY_M)
        word = "down" if is_there else "up"
        if visits and word != self._bollard.get(number, "up"):
            self._bollard[number] = word
            self._notes.ask("vehicle", f"bollard-{number}.position", word)
        text = b'{"at": [%.7f, %.7f], "speed": 0, "free": true}' % (lat, lon)
        return publish(f"vehicle/vehicle-{number}", text)

    # ── how it goes on ───────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Say of everything once what it is, the lamps at last."""
        for maker, count in (
            (self.light, plan.COMMUNES),
            (self.flow, plan.SEGMENTS),
            (self.people, plan.SEGMENTS),
            (self.camera, plan.CAMERAS),
            (self.bus, plan.BUSES),
            (self.vehicle, plan.VEHICLES),
        ):
            self._sensors.sendall(b"".join(maker(number) for number in range(count)))
        for start in range(0, len(self._names), STREAM_AT_ONCE):
            self._speak_of(self._names[start : start + STREAM_AT_ONCE])
            time.sleep(SLOT_S)

    def _speak_of(self, lamps: list[str]) -> None:
        with self._order:
            self._devices.sendall(b"".join(self.lamp(name) for name in lamps))

    def dusk(self) -> None:
        """It becomes dark: every lamp is to be dimmed."""
        self._light = plan.DARK_LX
        self._sensors.sendall(b"".join(self.light(n) for n in range(plan.COMMUNES)))
        for name in self._names:
            if name != plan.SPARE_LAMP:
                self._notes.ask("dusk", f"{name}.level", plan.DIMMED)

    def slot(self, number: int, *, changes: bool) -> bytes:
        """Return what sensors say in a slot."""
        said = []
        if number % (PEOPLE_EVERY_S * SLOTS_PER_S) == 0:
            second = number // SLOTS_PER_S
            said += [self._walk_on(n) for n, end in list(self._walkers.items()) if second >= end]
            if changes:
                said.append(self._walk(second))
        for maker, spread in self._turns.items():
            for one in spread.at(number):
                if maker == self.bus:
                    self._drive(one, changes=changes)
                elif changes and maker == self.vehicle:
                    self._visits[one] += 1
                said.append(maker(one))
        return b"".join(said)

    def _walk(self, second: int) -> bytes:
        street = self._next_street
        self._next_street = (street + 7) % plan.SEGMENTS
        self._walkers[street] = second + PEOPLE_STAY_S
        return self._walkers_changed(street, plan.FULL)

    def _walk_on(self, street: int) -> bytes:
        del self._walkers[street]
        return self._walkers_changed(street, plan.DIMMED)

    def _walkers_changed(self, street: int, level: float) -> bytes:
        for lamp in plan.lamps_of(street, self._lamps):
            self._notes.ask("people", f"lamp-{lamp}.level", level)
        return self.people(street)

    def lamps(self, count: int) -> None:
        """Let the next lamps speak."""
        start = self._next_lamp
        self._next_lamp = (start + count) % len(self._names)
        self._speak_of((self._names + self._names[:count])[start : start + count])

    def _drive(self, number: int, *, changes: bool) -> None:
        """A bus drives on; at rest only one that asks for green, and that one soon leaves."""
        asks_since = self._asking.get(number)
        if changes or (asks_since is not None and time.monotonic() - asks_since < LAST_GREEN_S):
            self._bus_steps[number] += 1
        elif asks_since is not None:
            self._bus_steps[number] = 0
            del self._asking[number]
            self._notes.ask("bus", f"junction-{number}.priority", "")

    def run(self, orders: queue.Queue[list[str]]) -> None:
        """Speak until told to end."""
        rate, changes, burst, per_slot = 0.0, False, 0, 0
        owed, number, began = 0.0, 0, time.monotonic()
        while True:
            with_order = next(_waiting(orders), None)
            match with_order:
                case ["end"]:
                    return
                case ["begin"]:
                    self.begin()
                case ["dusk"]:
                    self.dusk()
                case ["flow", some, *_]:
                    rate, changes = float(some), True
                    began = time.monotonic() - number * SLOT_S
                case ["burst", some]:
                    burst = int(some) // 2
                    per_slot = burst // BURST_SLOTS + 1
                case ["rest"]:
                    changes = False
                case ["note"]:
                    self._notes.write()
            if with_order is not None:
                say(self._notes.count)
            if not rate:
                time.sleep(SLOT_S)
                continue
            number += 1
            self._sensors.sendall(self.slot(number, changes=changes))
            owed += max(0.0, rate - OTHER_READINGS) / 2 / SLOTS_PER_S
            now = min(burst, per_slot)
            burst -= now
            if owed + now >= 1:
                self.lamps(int(owed) + now)
                owed -= int(owed)
            time.sleep(max(0.0, began + number * SLOT_S - time.monotonic()))


def _waiting(orders: queue.Queue[list[str]]) -> Iterator[list[str]]:
    while not orders.empty():
        yield orders.get()


# ── OPC UA: junctions and their loops ────────────────────────────────────────────────────────────


class Signals:
    """The junctions behind one server."""

    def __init__(self, notes: Notes) -> None:
        from asyncua import Server

        self._notes = notes
        self._dice = random.Random(2)
        self._server = Server()
        self._nodes: dict[str, Any] = {}
        self._peak: set[int] = set()

    async def start(self, port: int) -> None:
        """Listen."""
        import logging

        from asyncua import ua
        from asyncua.common.callback import CallbackType
        from asyncua.common.methods import uamethod

        logging.disable(logging.CRITICAL)
        server = self._server
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace("urn:bench:city")
        number, text = ua.VariantType.Double, ua.VariantType.String

        async def add(parent: Any, name: str, value: Any, type_: Any) -> Any:
            node_id = ua.NodeId(name, index)
            node = await parent.add_variable(node_id, f"{index}:{name}", value, type_)
            self._nodes[name] = node.nodeid
            return node

        for n in range(plan.JUNCTIONS):
            name = f"junction-{n}"
            parent = await server.nodes.objects.add_object(
                ua.NodeId(name, index), f"{index}:{name}"
            )
            await add(parent, f"{name}.Cross", 20.0, number)
            await (await add(parent, f"{name}.Plan", 1.0, number)).set_writable()
            await add(parent, f"{name}.Status", "completed", text)
            await add(parent, f"{name}.HeldBy", "nobody", text)
            asked = uamethod(self._asked(name))
            ask = ua.NodeId(f"{name}.Ask", index)
            await parent.add_method(ask, f"{index}:Ask", asked, [text] * 2, [])
            for loop in range(plan.DETECTORS):
                await add(parent, f"loop-{n}-{loop}.Flow", plan.QUIET_FLOW, number)
                await add(parent, f"loop-{n}-{loop}.Occupancy", 10.0, number)

        async def written(event: Any, _dispatcher: Any = None) -> None:
            for item in event.request_params.NodesToWrite:
                name, _, what = str(item.NodeId.Identifier).rpartition(".")
                if what == "Plan" and event.is_external:
                    self._notes.tell(f"{name}.plan", float(item.Value.Value.Value))

        server.subscribe_server_callback(CallbackType.PostWrite, written)
        await server.start()

    def _asked(self, name: str) -> Callable[..., Any]:
        async def asked(_parent: Any, action: str, bus: str) -> None:
            is_on = action == "request"
            self._notes.tell(f"{name}.priority", bus if is_on else "")
            await self._write(f"{name}.Status", "activated" if is_on else "completed")

        return asked

    async def _write(self, name: str, value: Any) -> None:
        from asyncua import ua

        self._notes.readings += 1
        type_ = ua.VariantType.String if isinstance(value, str) else ua.VariantType.Double
        await self._server.write_attribute_value(
            self._nodes[name], ua.DataValue(ua.Variant(value, type_))
        )

    async def _peak_at(self, junction: int) -> None:
        """The loops of a junction say one after the other that it is the peak; the last of them decides."""
        self._peak.add(junction)
        for loop in range(plan.DETECTORS):
            if loop == plan.DETECTORS - 1:
                self._notes.ask("loops", f"junction-{junction}.plan", plan.PEAK_PLAN)
            await self._write(f"loop-{junction}-{loop}.Flow", plan.PEAK_FLOW)

    async def _speak(self, loop: int) -> None:
        junction, number = divmod(loop, plan.DETECTORS)
        flow = plan.PEAK_FLOW if junction in self._peak else plan.QUIET_FLOW
        await self._write(f"loop-{junction}-{number}.Flow", flow + self._dice.randrange(50))
        await self._write(f"loop-{junction}-{number}.Occupancy", 5.0 + self._dice.randrange(20))
        if number == 0:
            await self._write(f"junction-{junction}.Cross", 10.0 + self._dice.randrange(30))

    async def run(self, orders: queue.Queue[list[str]]) -> None:
        """Speak until told to end; each junction has its peak at a moment of its own."""
        speaks, changes, seconds = False, False, 1.0
        began, done, loops = 0.0, 0, plan.JUNCTIONS * plan.DETECTORS
        while True:
            for order in _waiting(orders):
                match order:
                    case ["end"]:
                        return
                    case ["flow", _, some]:
                        speaks = changes = True
                        seconds, began, done = float(some), time.monotonic(), 0
                    case ["rest"]:
                        changes = False
                    case ["note"]:
                        self._notes.write()
                say(self._notes.count)
            passed = time.monotonic() - began
            if speaks:
                wanted = int(passed / LOOPS_EVERY_S * loops)
                for loop in range(done, wanted):
                    await self._speak(loop % loops)
                done = wanted
            if changes:
                due = min(plan.JUNCTIONS, int(passed / seconds * plan.JUNCTIONS))
                for junction in range(len(self._peak), due):
                    await self._peak_at(junction)
            await asyncio.sleep(SLOT_S)


async def opcua(port: int, notes: Notes) -> None:
    """Be the junctions."""
    signals = Signals(notes)
    await signals.start(port)
    say(0)
    await signals.run(words())


# ── Modbus: panels, gates, rooms, bollards ───────────────────────────────────────────────────────


class Cabinets:
    """A unit for each building and each bollard, behind one gateway."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._dice = random.Random(3)
        self._inputs = [[0, 0, 1, 210, 500, 1] for _ in range(plan.BUILDINGS)]
        self._holdings = [[0, 0, 0, 190] for _ in range(plan.BUILDINGS)]
        self._bollards = [[0] for _ in range(plan.BOLLARDS)]
        self._fires: dict[int, float] = {}
        self._alarms: dict[int, float] = {}
        self._next_fire = self._next_alarm = 0
        self._fire_at = self._alarm_at = 0.0

    async def start(self, port: int) -> None:
        """Listen."""
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        none = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]

        def unit(id_: int, act: Any, holdings: int, inputs: int) -> Any:
            def table(count: int) -> Any:
                return [SimData(0, values=[0] * count, datatype=DataType.REGISTERS)]

            tables = (none, none, table(holdings), table(inputs))
            return SimDevice(id=id_, simdata=tables, action=act)

        devices = [unit(n + 1, self._building(n), 4, 6) for n in range(plan.BUILDINGS)]
        devices += [
            unit(plan.FIRST_BOLLARD_UNIT + n, self._bollard(n), 1, 1) for n in range(plan.BOLLARDS)
        ]
        server: Any = ModbusTcpServer(devices, address=("127.0.0.1", port))
        await server.serve_forever(background=True)

    def _building(self, number: int) -> Any:
        def wrote(at: int, value: int) -> None:
            if at == plan.GATE:
                word = {code: word for word, code in plan.GATE_WORDS.items()}[value]
                self._notes.tell(f"gate-{number}.lock", word)

        return self._actor(self._inputs[number], self._holdings[number], wrote)

    def _bollard(self, number: int) -> Any:
        def wrote(_at: int, value: int) -> None:
            word = {code: word for word, code in plan.BOLLARD_WORDS.items()}[value]
            self._notes.tell(f"bollard-{number}.position", word)

        return self._actor([0], self._bollards[number], wrote)

    def _actor(
        self, inputs: list[int], holdings: list[int], wrote: Callable[[int, int], None]
    ) -> Any:
        async def act(
            code: int, start: int, address: int, count: int, shown: list[int], values: Any
        ) -> None:
            if values is not None:
                for offset, value in enumerate(values):
                    holdings[address + offset] = value
                    wrote(address + offset, value)
                return
            self._notes.readings += count
            table = inputs if code == 4 else holdings
            for at in range(address, address + count):
                shown[at - start] = table[at]

        return act

    def change(self, now: float) -> None:
        """Begin and end what begins and ends now."""
        for number in [n for n, end in self._fires.items() if now >= end]:
            del self._fires[number]
            self._fire(number, 0, "locked")
        for number in [n for n, end in self._alarms.items() if now >= end]:
            del self._alarms[number]
            self._alarm(number, 0, "home")
        if now >= self._fire_at:
            number, self._next_fire = self._next_fire, (self._next_fire + 7) % plan.BUILDINGS
            self._fire_at = max(self._fire_at + FIRE_EVERY_S, now)
            self._fires[number] = now + FIRE_LASTS_S
            self._fire(number, 1, "free")
        if now >= self._alarm_at:
            number, self._next_alarm = self._next_alarm, (self._next_alarm + 11) % plan.BUILDINGS
            self._alarm_at = max(self._alarm_at + GUARD_EVERY_S, now)
            self._alarms[number] = now + GUARD_LASTS_S
            self._alarm(number, 1, "alarm")
        number = self._dice.randrange(plan.BUILDINGS)
        self._inputs[number][plan.TEMPERATURE] = 200 + self._dice.randrange(20)
        self._inputs[number][plan.CO2] = 450 + self._dice.randrange(300)

    def _fire(self, number: int, code: int, word: str) -> None:
        self._inputs[number][plan.FIRE] = code
        self._notes.ask("fire", f"gate-{number}.lock", word)

    def _alarm(self, number: int, code: int, word: str) -> None:
        self._inputs[number][plan.GUARD] = code
        self._notes.ask("guard", f"camera-{number}.preset", word)

    async def run(self, orders: queue.Queue[list[str]]) -> None:
        """Change until told to end."""
        changes = False
        while True:
            for order in _waiting(orders):
                match order:
                    case ["end"]:
                        return
                    case ["flow", *_]:
                        changes, self._fire_at = True, time.monotonic()
                        self._alarm_at = self._fire_at
                    case ["rest"]:
                        changes = False
                    case ["note"]:
                        self._notes.write()
                say(self._notes.count)
            if changes:
                self.change(time.monotonic())
            await asyncio.sleep(SLOT_S)


async def modbus(port: int, notes: Notes) -> None:
    """Be the panels and bollards."""
    cabinets = Cabinets(notes)
    await cabinets.start(port)
    say(0)
    await cabinets.run(words())


def main() -> None:
    """Be the equipment of one protocol."""
    kind, port, file, lamps = sys.argv[1:]
    notes = Notes(Path(file))
    match kind:
        case "opcua":
            asyncio.run(opcua(int(port), notes))
        case "modbus":
            asyncio.run(modbus(int(port), notes))
        case _:
            street = Street(int(port), notes, int(lamps))
            say(0)
            street.run(words())


if __name__ == "__main__":
    main()
