"""The city of `benchmarks/city.py` on paper: what stands where, how it is connected, and by which rules it lives.

As large as Dijon, with the kinds of the project's own domains. Places are chosen so that what each change must bring about is
known without asking the engine: each watched bus has a junction of its own, each visiting vehicle a bollard.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

COMMUNES: Final = 23
LAMPS: Final = 34_000
"""Unless fewer are asked for."""
SEGMENTS: Final = 500
JUNCTIONS: Final = 113
DETECTORS: Final = 4
"""Of each junction."""
BUSES: Final = 180
VEHICLES: Final = 205
CAMERAS: Final = 269
BUILDINGS: Final = 180
BOLLARDS: Final = 26
SPARE_LAMP: Final = "lamp-spare"
"""Belongs to no segment; an operator plays with it."""

FULL, DIMMED = 100.0, 30.0
DARK_LX, LIGHT_LX = 5.0, 800.0
PEAK_PLAN: Final = 3.0
QUIET_FLOW, PEAK_FLOW = 100.0, 310.0
"""Of a loop, at most 50 above it: three loops at their peak are no peak yet, four are."""

LATITUDE, LONGITUDE = 47.32, 5.04
_M_LATITUDE: Final = 1.0 / 111_195.0
_M_LONGITUDE: Final = _M_LATITUDE / 0.678  # cos 47.32°
_STEP_M: Final = 2_000.0
_COLUMNS: Final = 20

RULES: Final = """\
version: 1

derive:
  twilight:
    title: Light of the sky over the city
    value: avg(lighting_segment.illuminance)
  quiet_flow:
    title: Flow over a quarter of an hour
    for_each: {segment: {kind: lighting_segment}}
    value: avg(segment.traffic.flow, 15 min)
    coverage: 80 %
  approach_flow:
    title: Flow on all approaches
    for_each: {junction: {kind: signal_junction}}
    value: sum(junction.detectors.flow)
    coverage: 75 %
  approach_flow_15min:
    for_each: {junction: {kind: signal_junction}}
    value: avg(junction.approach_flow, 15 min)
    coverage: 80 %

rules:
  dim-quiet-streets:
    title: Dim quiet streets to 30 % at night
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: twilight < 20 lx and segment.traffic.flow < 60 veh/h
    until: segment.traffic.flow > 80 veh/h or twilight > 50 lx
    if_unknown: release
    hold:
      - {set: segment.lights.level, to: 30 %, priority: saving}

  light-up-for-pedestrians:
    title: Full light while somebody walks there
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: segment.pedestrian_detected
    if_unknown: hold
    respond_within: 2 s
    hold:
      - {set: segment.lights.level, to: 100 %, priority: people}

  bus-priority:
    title: Green for late buses
    owner: mobility
    for_each:
      junction: {kind: signal_junction, where: junction.bus_priority_allowed}
      bus: {kind: bus, within: 150 m, of: junction}
    while: bus.delay > 60 s and approaching(bus, junction)
    unless:
      - junction.held_by in ["emergency", "police"]
      - known(junction.cross_occupancy) and junction.cross_occupancy > 85 %
    at_most: 60 s
    if_unknown: release
    hold:
      - request: junction.priority
        for: bus
        priority: service

  peak-plan:
    title: Signal plan for the peak
    owner: mobility
    for_each: {junction: {kind: signal_junction}}
    while: junction.approach_flow > 1200 veh/h
    until: junction.approach_flow < 900 veh/h
    if_unknown: hold
    hold_at_most: 30 min
    hold:
      - {set: junction.plan, to: 3, priority: service}

  way-for-the-works:
    title: A bollard goes down for the vehicles of the works
    owner: roads
    for_each:
      bollard: {kind: bollard}
      vehicle: {kind: vehicle, within: 60 m, of: bollard}
    while: vehicle.free
    hold:
      - {set: bollard.position, to: down, priority: service}

  gates-free-in-a-fire:
    title: Gates free in a fire
    owner: safety
    for_each: {panel: {kind: fire_panel}}
    while: panel.alarm
    if_unknown: act
    unknown_after: 60 s
    hold:
      - each: {gate: panel.gates}
        set: gate.lock
        to: free
        priority: life_safety

  cameras-to-the-alarm:
    title: Cameras turn to an intrusion
    owner: security
    for_each: {zone: {kind: intrusion_zone, where: zone.armed}}
    while: zone.alarm == "triggered"
    hold:
      - each: {cam: {kind: camera, within: 100 m, of: zone}}
        set: cam.preset
        to: alarm
        priority: security

  air-for-people:
    title: Ventilation by CO₂
    owner: buildings
    for_each: {zone: {kind: building_zone}}
    while: zone.co2 > 1000 ppm
    until: zone.co2 < 800 ppm
    for: 2 min
    if_unknown: release
    hold:
      - {set: zone.ventilation, to: high, priority: people}

  side-street-queue:
    title: Queue in the side street
    owner: mobility
    for_each: {junction: {kind: signal_junction}}
    when: p95(junction.cross_occupancy, 10 min) > 85 %
    cooldown: {after: 30 min, per: junction}
    do:
      - notify: {to: [traffic-desk], text: "Queue at {junction.name}"}

alarms:
  lamp-failed:
    title: Failed lamp
    owner: lighting
    for_each: {lamp: {kind: lamp}}
    raise_while: lamp.lamp_fail
    on_delay: 1 min
    severity: low
  busy-quiet-street:
    title: A quiet street that is busy
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    raise_while: segment.quiet_flow > 1500 veh/h
    severity: low
  junction-overrun:
    title: More traffic than the junction carries
    owner: mobility
    for_each: {junction: {kind: signal_junction}}
    raise_while: junction.approach_flow_15min > 5000 veh/h
    severity: medium
  vehicle-stands-on-the-loop:
    title: Vehicle standing on the loop
    owner: security
    for_each: {bollard: {kind: bollard}}
    raise_while: bollard.loop_occupied
    on_delay: 60 s
    severity: medium

invariants:
  no-raise-on-a-vehicle:
    title: No bollard rises on an occupied loop
    owner: security
    for_each: {bollard: {kind: bollard}}
    never: >-
      wanted(bollard.position) == "up" and bollard.position != "up"
      and not (known(bollard.loop_occupied) and not bollard.loop_occupied)
    otherwise: {set: bollard.position, to: down}
"""


def place(number: int, east_m: float = 0.0, north_m: float = 0.0) -> list[float]:
    """Return latitude and longitude of a place on a grid so wide that nothing of one is near another, and moved by some metres."""
    row, column = divmod(number, _COLUMNS)
    north = (row - 15) * _STEP_M + north_m
    east = (column - 10) * _STEP_M + east_m
    return [
        round(LATITUDE + north * _M_LATITUDE, 7),
        round(LONGITUDE + east * _M_LONGITUDE, 7),
    ]


LAMP_TABLE: Final = {
    "file": "lamps.csv",
    "kind": "lamp",
    "id": "lamp-{number}",
    "zone": "{commune}",
    "member_of": {"relation": "lamps", "entity": "{segment}"},
}


def commune(number: int) -> str:
    """Return in which commune the so-and-so-many-th of something stands."""
    return f"commune-{number % COMMUNES:02}"


def junction_place(number: int) -> int:
    """Return the place of a junction."""
    return number


def building_place(number: int) -> int:
    """Return the place of a building, its panels and its first camera."""
    return JUNCTIONS + number


def bollard_place(number: int) -> int:
    """Return the place of a bollard."""
    return JUNCTIONS + BUILDINGS + number


def far_place(number: int) -> int:
    """Return a place where nothing stands."""
    return JUNCTIONS + BUILDINGS + BOLLARDS + number


def lamps_of(segment: int, lamps: int) -> list[int]:
    """Return the lamps of a segment, of so many in all: each lamp but the spare one belongs to one."""
    return list(range(segment, lamps - 1, SEGMENTS))


def lamp_table(lamps: int) -> str:
    """Return the table of so many lamps, without the spare one."""
    rows = [f"{n};{commune(n % SEGMENTS)};seg-{n % SEGMENTS}" for n in range(lamps - 1)]
    return "\n".join(["number;commune;segment", *rows, ""])


def inventory() -> dict[str, dict[str, Any]]:
    """Return what stands in the city beside the lamps."""
    things: dict[str, dict[str, Any]] = {SPARE_LAMP: {"kind": "lamp", "zone": commune(0)}}
    for n in range(SEGMENTS):
        things[f"seg-{n}"] = {
            "kind": "lighting_segment",
            "zone": commune(n),
            "dimmable": True,
            "location": place(far_place(n % 100), east_m=5.0 * n),
        }
    for n in range(JUNCTIONS):
        loops = [f"loop-{n}-{loop}" for loop in range(DETECTORS)]
        things[f"junction-{n}"] = {
            "kind": "signal_junction",
            "zone": commune(n),
            "bus_priority_allowed": True,
            "position": place(junction_place(n)),
            "detectors": loops,
        }
        for loop in loops:
            things[loop] = {"kind": "detector", "zone": commune(n), "junction": f"junction-{n}"}
    for n in range(BUSES):
        things[f"bus-{n}"] = {"kind": "bus", "zone": commune(n)}
    for n in range(VEHICLES):
        things[f"vehicle-{n}"] = {"kind": "vehicle", "zone": commune(n), "trade": "roads"}
    for n in range(CAMERAS):
        where = building_place(n) if n < BUILDINGS else far_place(n)
        things[f"camera-{n}"] = {
            "kind": "camera",
            "zone": commune(n),
            "position": place(where, north_m=40.0),
        }
    for n in range(BUILDINGS):
        at, zone = place(building_place(n)), commune(n)
        house = f"building-{n}"
        things[house] = {"kind": "building", "zone": zone, "use": "office", "location": at}
        things[f"rooms-{n}"] = {"kind": "building_zone", "zone": zone, "building": house}
        things[f"guard-{n}"] = {
            "kind": "intrusion_zone",
            "zone": zone,
            "building": house,
            "location": at,
        }
        things[f"fire-{n}"] = {
            "kind": "fire_panel",
            "zone": zone,
            "building": house,
            "gates": [f"gate-{n}"],
        }
        things[f"gate-{n}"] = {
            "kind": "gate",
            "zone": zone,
            "building": house,
            "location": at,
        }
    for n in range(BOLLARDS):
        things[f"bollard-{n}"] = {
            "kind": "bollard",
            "zone": commune(n),
            "place": place(bollard_place(n)),
            "on_loss": {"position": "down"},
        }
    return things


def street(port: int, orders_per_s: int) -> dict[str, Any]:
    """Return the connection to everything that speaks MQTT.

    What it carries is declared: dusk waits its turn in the core, and a deadline begins when an order leaves.
    """
    return {
        "adapter": "mqtt",
        "host": "127.0.0.1",
        "port": port,
        "in_flight": 100,
        "keepalive": 60,
        "max_rate": orders_per_s,
        "max_burst": orders_per_s // 5,
        "points": [
            {
                "kind": "lamp",
                "read": {
                    "topic": "lamp/{id}/state",
                    "points": {"level": "$.level", "power": "$.power"},
                },
                "write": {"topic": "lamp/{id}/set", "point": "level", "qos": 0},
            },
            {
                "kind": "lighting_segment",
                "read": [
                    {"topic": "street/{id}/flow", "point": "traffic.flow"},
                    {"topic": "street/{id}/people", "point": "pedestrian_detected"},
                    {"topic": "street/{id}/light", "point": "illuminance"},
                ],
            },
            {
                "kind": "bus",
                "read": {
                    "topic": "bus/{id}",
                    "points": {"position": "$.at", "speed": "$.speed", "delay": "$.delay"},
                },
            },
            {
                "kind": "vehicle",
                "read": {
                    "topic": "vehicle/{id}",
                    "points": {"position": "$.at", "speed": "$.speed", "free": "$.free"},
                },
            },
            {
                "kind": "camera",
                "read": {
                    "topic": "camera/{id}/state",
                    "points": {"online": "$.online", "preset": "$.preset"},
                },
                "write": {"topic": "camera/{id}/set", "point": "preset", "qos": 0},
            },
        ],
    }


def signals(port: int) -> dict[str, Any]:
    """Return the connection to the junctions, one OPC UA server."""
    return {
        "adapter": "opcua",
        "url": f"opc.tcp://127.0.0.1:{port}",
        "security": "none",
        "publishing": 0.1,
        "points": [
            {
                "kind": "signal_junction",
                "read": {
                    "points": {
                        "cross_occupancy": "ns=2;s={id}.Cross",
                        "plan": "ns=2;s={id}.Plan",
                        "held_by": "ns=2;s={id}.HeldBy",
                        "priority.status": "ns=2;s={id}.Status",
                    }
                },
                "write": {"point": "plan", "node": "ns=2;s={id}.Plan"},
                "request": {
                    "point": "priority",
                    "object": "ns=2;s={id}",
                    "method": "ns=2;s={id}.Ask",
                    "arguments": ["{action}", "{entity}"],
                },
            },
            {
                "kind": "detector",
                "read": {
                    "points": {"flow": "ns=2;s={id}.Flow", "occupancy": "ns=2;s={id}.Occupancy"}
                },
            },
        ],
    }


GATE_WORDS: Final = {"locked": 0, "free": 1}
CLIMATES: Final = ("comfort", "eco", "frost_protection", "off")
FANS: Final = ("low", "high", "off")
BOLLARD_WORDS: Final = {"up": 0, "down": 1}
FIRST_BOLLARD_UNIT: Final = 201
FIRE, GUARD, ARMED, TEMPERATURE, CO2, OCCUPIED = range(6)
"""Input registers of a building."""
GATE, CLIMATE, FAN, SETPOINT = range(4)
"""Holding registers of a building."""
LOOP: Final = 0
"""Input register of a bollard; its position is holding register 0."""


def cabinets(port: int, where: str) -> dict[str, Any]:
    """Return the connection to the panels and bollards of a commune, one Modbus unit each."""
    houses = [n for n in range(BUILDINGS) if commune(n) == where]
    posts = [n for n in range(BOLLARDS) if commune(n) == where]

    def of(name: str) -> dict[str, int]:
        return {f"{name}-{n}": n + 1 for n in houses}

    points: list[dict[str, Any]] = [
        {
            "kind": "fire_panel",
            "zone": where,
            "unit_id": of("fire"),
            "poll": "2 s",
            "points": {"alarm": {"input": FIRE, "bit": 0}},
        },
        {
            "kind": "intrusion_zone",
            "zone": where,
            "unit_id": of("guard"),
            "poll": "2 s",
            "points": {
                "alarm": {"input": GUARD, "map": {0: "normal", 1: "triggered"}},
                "armed": {"input": ARMED, "bit": 0},
            },
        },
        {
            "kind": "gate",
            "zone": where,
            "unit_id": of("gate"),
            "poll": "5 s",
            "points": {
                "lock": {"holding": GATE, "map": {code: w for w, code in GATE_WORDS.items()}}
            },
        },
        {
            "kind": "building_zone",
            "zone": where,
            "unit_id": of("rooms"),
            "poll": "10 s",
            "points": {
                "temperature": {"input": TEMPERATURE, "scale": 0.1},
                "co2": {"input": CO2},
                "occupied": {"input": OCCUPIED, "bit": 0},
                "climate": {"holding": CLIMATE, "map": dict(enumerate(CLIMATES))},
                "ventilation": {"holding": FAN, "map": dict(enumerate(FANS))},
                "setpoint": {"holding": SETPOINT, "scale": 0.1},
            },
        },
        {
            "kind": "bollard",
            "zone": where,
            "unit_id": {f"bollard-{n}": FIRST_BOLLARD_UNIT + n for n in posts},
            "poll": "1 s",
            "points": {
                "position": {"holding": 0, "map": {code: w for w, code in BOLLARD_WORDS.items()}},
                "loop_occupied": {"input": LOOP, "bit": 0},
            },
        },
    ]
    return {"adapter": "modbus", "host": "127.0.0.1", "port": port, "points": points}


def write_city(folder: Path, ports: dict[str, int], lamps: int, orders_per_s: int) -> None:
    """Write configuration, inventory and rules; so many orders a second go to so many lamps at most."""
    connections = {
        "street": street(ports["mqtt"], orders_per_s),
        "signals": signals(ports["opcua"]),
    }
    for number in range(COMMUNES):
        connections[commune(number)] = cabinets(ports["modbus"], commune(number))
    config = {
        "site": {"name": "bench", "time_zone": "Europe/Paris", "position": [LATITUDE, LONGITUDE]},
        "rules": ["rules.yaml"],
        "inventory": [LAMP_TABLE, "inventory.json.yaml"],
        "storage": {"path": "var"},
        "control": {"socket": "var/control.sock"},
        "log": {"level": "warning"},
        "engine": {"stuck_after": "30 s"},  # all of this may share two cores with others
        "connections": connections,
    }
    (folder / "config.yaml").write_text(json.dumps(config, indent=1))
    (folder / "inventory.json.yaml").write_text(json.dumps(inventory(), indent=0))
    (folder / "lamps.csv").write_text(lamp_table(lamps))
    (folder / "rules.yaml").write_text(RULES)
