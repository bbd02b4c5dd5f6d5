"""The simulated equipment, with the time as an argument."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilotage.demo.clock import START
from pilotage.demo.device import Group, Message, Track, between
from pilotage.demo.equipment import GROUPS
from pilotage.demo.safety import Cameras, Panels, Roadside
from pilotage.demo.signals import CYCLE_S, RED_S, Junctions
from pilotage.demo.street import BROKEN, DEAD, Cabinets, Detectors, Lamps
from pilotage.demo.transport import Buses
from pilotage.demo.winter import Fleet, Weather


def play(group: Group, until_s: float, step_s: float = 1.0) -> list[Message]:
    """Return all that a group says until some seconds after the start."""
    said: list[Message] = []
    now = group.now
    while now < START + until_s:
        now = min(now + step_s, START + until_s)
        said += group.step(now)
    return said


def ask(group: Group, topic: str, **fields: Any) -> None:
    group.hear(topic, json.dumps(fields).encode(), group.now)


def values(said: list[Message], topic: str, key: str) -> list[Any]:
    return [json.loads(m.payload)[key] for m in said if m.topic == topic]


@pytest.mark.parametrize("make", (*GROUPS, Cabinets, Junctions))
class TestEveryGroup:
    def test_same_seed_same_city(self, make: type[Group]) -> None:
        """A seed gives the same messages each time, and however the time is cut."""
        assert play(make(7, START), 1800, 1.0) == play(make(7, START), 1800, 60.0)

    def test_times(self, make: type[Group]) -> None:
        """What a device says carries its own time, never one of the future, and it never goes back."""
        group = make(1, START)
        times = [json.loads(m.payload)["ts"] for m in group.step(START + 3600)]
        assert times == sorted(times)
        assert times[-1] <= START + 3600

    @pytest.mark.parametrize(
        "payload", [b"", b"\xff", b"[]", b"5", b"{}", b'{"level": "x"}', b'{"to": 5}']
    )
    def test_poison(self, make: type[Group], payload: bytes) -> None:
        """A message that is none does nothing."""
        group = make(1, START)
        for pattern in group.listens:
            group.hear(pattern.replace("+", "lamp-monge-1"), payload, START)
        group.step(START + 60)


class TestLamps:
    def test_fade(self) -> None:
        """A lamp fades in the time it is given, and reports the level on the way and at the end."""
        lamps = Lamps(1, START)
        play(lamps, 1)
        ask(lamps, "city/lamp/lamp-monge-1/set", level=30, fade=60)
        said = values(play(lamps, 70), "city/lamp/lamp-monge-1/state", "level")
        assert said == sorted(said, reverse=True)
        assert said[-1] == 30.0
        assert len(said) >= 4

    def test_some_do_not_hear(self) -> None:
        """Of all commands a few are not heard, and of those few again when they are sent again."""
        lamps = Lamps(1, START)
        for _ in range(3):
            for id_ in lamps.lamps:
                ask(lamps, f"city/lamp/{id_}/set", level=30, fade=0)
            play(lamps, lamps.elapsed + 5)
        stuck = [lamp.id for lamp in lamps.lamps.values() if lamp.level(lamps.now) != 30.0]
        assert sorted(stuck) == sorted([BROKEN, DEAD])


class TestDetectors:
    def test_night_and_day(self) -> None:
        """A street that is busy in the evening is quiet at night."""
        detectors = Detectors(1, START)
        topic = "city/street/seg-prefecture/traffic"
        evening = values(play(detectors, 900), topic, "flow")
        play(detectors, 4 * 3600, 60)
        night = values(play(detectors, 4 * 3600 + 900), topic, "flow")
        assert len(evening) == 15
        assert sum(night) / len(night) < 60

    def test_people(self) -> None:
        """People come, and go again."""
        seen = values(play(Detectors(1, START), 3600), "city/street/seg-liberte/people", "detected")
        assert True in seen
        assert False in seen


class TestJunctions:
    def test_request(self) -> None:
        """A request is received, queued, green, and ends when it is cancelled."""
        junctions = Junctions(1, START)
        ask(junctions, "city/signal/J-02/request", action="request", bus="bus-301", eta=12)
        before = play(junctions, 20)
        ask(junctions, "city/signal/J-02/request", action="cancel", bus="bus-301")
        after = play(junctions, 21)
        topic = "city/signal/J-02/priority"
        assert values(before + after, topic, "status") == [
            "received",
            "queued",
            "activated",
            "completed",
        ]
        assert values(before + after, "city/signal/J-02/state", "held_by")[-2:] == ["bus", "nobody"]

    def test_one_at_a_time(self) -> None:
        """A second bus is rejected while the first is served."""
        junctions = Junctions(1, START)
        for bus in ("bus-301", "bus-601"):
            ask(junctions, "city/signal/J-02/request", action="request", bus=bus, eta=12)
        said = play(junctions, 5)
        statuses = zip(
            values(said, "city/signal/J-02/priority", "bus"),
            values(said, "city/signal/J-02/priority", "status"),
            strict=True,
        )
        assert ("bus-601", "rejected") in statuses

    def test_two_processes_see_the_same_lights(self) -> None:
        """Where they stand in their cycles is the same for junctions and buses; green for a bus is seen."""
        junctions, buses = Junctions(5, START), Buses(5, START)
        for id_, junction in junctions.junctions.items():
            assert [junction.is_red(START + s) for s in range(90)] == [
                buses.lights[id_].is_red(START + s) for s in range(90)
            ]
            assert sum(junction.is_red(START + s) for s in range(int(CYCLE_S))) == RED_S
        red = next(id_ for id_, lights in buses.lights.items() if lights.is_red(START))
        junctions.begin(junctions.junctions[red], "bus-301", 1.0)
        play(junctions, 5)
        buses.see(junctions.held)
        assert not buses.lights[red].is_red(START)


class TestBuses:
    def test_buses_move(self) -> None:
        """In an hour every bus passes every junction, some of them late, at a bus's speed."""
        group = Buses(1, START)
        said = play(group, 3600)
        for bus in group.buses:
            delays = values(said, f"city/bus/{bus.id}", "delay")
            places = values(said, f"city/bus/{bus.id}", "at")
            assert max(delays) > 120
            assert len({(place["lat"], place["lon"]) for place in places}) > 100
        assert max(json.loads(m.payload).get("speed", 0) for m in said) < 25


class TestCabinets:
    def test_day_and_night(self) -> None:
        """Contactors close at dusk and open at dawn; the meter only rises, and only at night."""
        said = play(Cabinets(1, START), 24 * 3600, 30)
        topic = "city/cabinet/CAB-1/state"
        is_open, amps, kwh = (values(said, topic, key) for key in ("open", "amps", "kwh"))
        assert {True, False} == set(is_open)
        assert all((current > 0) != is_open for current, is_open in zip(amps, is_open, strict=True))
        assert kwh == sorted(kwh)
        assert 10 < kwh[-1] - kwh[0] < 60


class TestSafety:
    def test_intrusion(self) -> None:
        """Within two hours an armed zone is triggered, and it is quiet again later."""
        said = play(Panels(1, START), 7200)
        alarms = [json.loads(m.payload)["alarm"] for m in said if "/panel/" in m.topic]
        assert "triggered" in alarms
        assert alarms[-1] == "normal"

    def test_camera(self) -> None:
        """A camera turns within its four seconds."""
        cameras = Cameras(1, START)
        ask(cameras, "city/camera/cam-01/preset", to="bearing-135")
        assert values(play(cameras, 4), "city/camera/cam-01/state", "preset")[-1] == "bearing-135"

    def test_bollard(self) -> None:
        """A bollard moves for three seconds, and the last order counts."""
        roadside = Roadside(1, START)
        topic = "city/bollard/bollard-musette"
        ask(roadside, f"{topic}/set", move="DOWN")
        first = values(play(roadside, 2), f"{topic}/state", "position")
        ask(roadside, f"{topic}/set", move="UP")
        second = values(play(roadside, 8), f"{topic}/state", "position")
        assert first[-1] == "moving"
        assert "down" not in second
        assert second[-1] == "up"


class TestWinter:
    def test_cold_front(self) -> None:
        """The roads freeze within three hours, and the forecast passes the marks of the snow plan."""
        said = play(Weather(1, START), 6 * 3600, 60)
        surface = values(said, "city/road/RS-2/weather", "surface")
        snow = [json.loads(m.payload)["snow"][2] for m in said if "/forecast/" in m.topic]
        assert surface[0] > 1 > -1 > min(surface)
        assert snow[0] < 1 < 3 < 10 < max(snow)

    def test_dispatch(self) -> None:
        """A plough that is free accepts and goes; for one that has left another one goes, until none is free."""
        fleet = Fleet(1, START)
        ask(fleet, "city/fleet/dispatch", id="k1", vehicle=["P-1"], route="R-2")
        ask(fleet, "city/fleet/dispatch", id="k2", vehicle="P-1", route="R-1")
        ask(fleet, "city/fleet/dispatch", id="k3", vehicle="P-1", route="R-3")
        ask(fleet, "city/fleet/dispatch", id="k4", vehicle="P-1", route="R-4")
        said = play(fleet, 120)
        answers = list(
            zip(
                values(said, "city/fleet/reply", "id"),
                values(said, "city/fleet/reply", "status"),
                strict=True,
            )
        )
        three = ("k1", "k2", "k3")
        assert answers == [
            ("k4", "refused"),
            *((call, "accepted") for call in three),
            *((call, "under_way") for call in three),
        ]
        assert not any(m.keep for m in said if m.topic == "city/fleet/reply")
        assert values(said, "city/plough/P-1", "free")[-1] is False


class TestShapes:
    def test_track(self) -> None:
        """A track is measured in metres: a hundredth of a degree of latitude is 1113.2 m."""
        track = Track([(47.0, 5.0), (47.01, 5.0), (47.02, 5.0)])
        assert track.length == pytest.approx(2226.4)
        assert track.at(1669.8) == pytest.approx((47.015, 5.0))
        assert track.at(-5) == (47.0, 5.0)
        assert track.at(9999) == (47.02, 5.0)

    @pytest.mark.parametrize(
        ("hour", "value"), [(6, 0.0), (9, 50.0), (12, 100.0), (0, 50.0), (23.999, 50.0)]
    )
    def test_profile(self, hour: float, value: float) -> None:
        """A profile runs on straight lines, over midnight too."""
        assert between(hour, {6: 0.0, 12: 100.0, 18: 100.0}) == pytest.approx(value, abs=0.1)
