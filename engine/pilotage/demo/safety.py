"""Buildings, cameras, bollards, signs and car parks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pilotage.demo.device import Group, between, inventory

ARMED_FROM: Final = 20.0
ARMED_TO: Final = 7.0
FIRST_INTRUSION_S: Final = 1_080.0
INTRUSIONS_EVERY_S: Final = 9_000.0
CAR_PARK_BY_HOUR: Final[Mapping[float, float]] = {
    0: 0.9,
    6: 0.95,
    9: 0.5,
    12: 0.15,
    14: 0.2,
    18: 0.05,
    20: 0.02,
    22: 0.5,
}
"""Share of the places that is free."""


class Panels(Group):
    """The intrusion panels of two buildings; one of them is triggered now and then."""

    name = "panels"
    listens = ("city/panel/+/arm",)

    def __init__(self, seed: int, start: float) -> None:
        """Arm the zones when it is evening."""
        super().__init__(seed, start)
        self.zones = [row["id"] for row in inventory("intrusion_zones.csv")]
        armed = self.hour >= ARMED_FROM or self.hour < ARMED_TO
        self.armed = dict.fromkeys(self.zones, armed)
        self.alarm = dict.fromkeys(self.zones, "normal")
        for zone in self.zones:
            self.every(20.0, partial(self.report, zone), first=0.0)
        for row in inventory("buildings.csv"):
            self.every(3_600.0, partial(self.building, row["id"]), first=0.0)
        self.after(FIRST_INTRUSION_S, self.intrude)

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Arm or disarm a zone, after the delay for those who leave."""
        zone, wanted = topic[2], fields.get("armed")
        if zone in self.armed and isinstance(wanted, bool):
            self.after(20.0 if wanted else 1.0, lambda: self.arm(zone, wanted))

    def arm(self, zone: str, wanted: bool) -> None:
        """Change the state of a zone."""
        self.armed[zone] = wanted
        self.report(zone)

    def intrude(self) -> None:
        """Let somebody in who has no key."""
        zone = self.random.choice(self.zones)
        self.after(self.random.uniform(0.6, 1.4) * INTRUSIONS_EVERY_S, self.intrude)
        if self.armed[zone]:
            self.set_alarm(zone, "triggered")
            self.after(420.0, lambda: self.set_alarm(zone, "normal"))

    def set_alarm(self, zone: str, alarm: str) -> None:
        """Change the alarm of a zone, and say so at once."""
        self.alarm[zone] = alarm
        self.report(zone)

    def report(self, zone: str) -> None:
        """Say how a zone is; said again each 20 s, as a heartbeat."""
        self.say(f"city/panel/{zone}/state", alarm=self.alarm[zone], armed=self.armed[zone])

    def building(self, id_: str) -> None:
        """Say whether a building is open."""
        self.say(f"city/building/{id_}", open=8.0 <= self.hour < 18.0)


@dataclass(slots=True)
class Camera:
    """A camera that turns."""

    id: str
    preset: str = "home"
    recording: str = "motion"
    privacy: bool = False
    waits: dict[str, float] = field(default_factory=dict)


class Cameras(Group):
    """The cameras, behind one video management system."""

    name = "cameras"
    listens = ("city/camera/+/preset", "city/camera/+/recording", "city/camera/+/privacy")

    def __init__(self, seed: int, start: float) -> None:
        """Switch the cameras on."""
        super().__init__(seed, start)
        self.cameras = {row["id"]: Camera(row["id"]) for row in inventory("cameras.csv")}
        for camera in self.cameras.values():
            self.every(30.0, partial(self.report, camera), first=0.0)

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Turn, record or mask, after a moment."""
        camera, wanted = self.cameras.get(topic[2]), fields.get("to")
        if camera is not None and wanted is not None:
            late = self.random.uniform(1.0, 2.5) if topic[3] == "preset" else 0.5
            self.after(late, lambda: self.change(camera, topic[3], wanted))

    def change(self, camera: Camera, what: str, wanted: Any) -> None:
        """Carry out what was asked."""
        setattr(camera, what, bool(wanted) if what == "privacy" else str(wanted))
        self.report(camera)

    def report(self, camera: Camera) -> None:
        """Say how a camera is."""
        self.say(
            f"city/camera/{camera.id}/state",
            online=True,
            preset=camera.preset,
            recording=camera.recording,
            privacy=camera.privacy,
            tamper=False,
        )


class Roadside(Group):
    """Bollards, message signs and car parks."""

    name = "roadside"
    listens = ("city/bollard/+/set", "city/sign/+/text")
    MOVES_S: Final = 3.0

    def __init__(self, seed: int, start: float) -> None:
        """Raise the bollards; the signs are dark."""
        super().__init__(seed, start)
        self.bollards = {row["id"]: "up" for row in inventory("bollards.csv")}
        self.goals = dict(self.bollards)
        self.signs = {row["id"]: "" for row in inventory("signs.csv")}
        for id_ in self.bollards:
            self.every(4.0, partial(self.bollard, id_), first=0.0)
        for id_ in self.signs:
            self.every(300.0, partial(self.sign, id_), first=0.0)
        for row in inventory("car_parks.csv"):
            self.every(60.0, partial(self.car_park, row), first=0.0)

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Move a bollard, or show a text."""
        id_ = topic[2]
        if topic[1] == "bollard" and id_ in self.bollards:
            goal = {"UP": "up", "DOWN": "down"}.get(str(fields.get("move")))
            if goal is not None and goal != self.goals[id_]:
                self.move(id_, goal)
            elif goal is not None:
                self.bollard(id_)
        elif topic[1] == "sign" and id_ in self.signs:
            text = str(fields.get("text") or "")
            self.after(self.random.uniform(1, 4), lambda: self.show(id_, text))

    def move(self, id_: str, goal: str) -> None:
        """Begin to move."""
        self.goals[id_] = goal
        self.bollards[id_] = "moving"
        self.bollard(id_)
        self.after(self.MOVES_S, lambda: self.arrive(id_, goal))

    def arrive(self, id_: str, goal: str) -> None:
        """Stand still, unless it was sent elsewhere meanwhile."""
        if self.goals[id_] == goal:
            self.bollards[id_] = goal
            self.bollard(id_)

    def show(self, id_: str, text: str) -> None:
        """Change a sign."""
        self.signs[id_] = text
        self.sign(id_)

    def bollard(self, id_: str) -> None:
        """Say how a bollard is."""
        self.say(
            f"city/bollard/{id_}/state",
            position=self.bollards[id_],
            loop=False,
            mode="auto",
            hydraulic=True,
            power=True,
        )

    def sign(self, id_: str) -> None:
        """Say what a sign shows."""
        self.say(f"city/sign/{id_}/state", text=self.signs[id_], ok=True)

    def car_park(self, row: dict[str, str]) -> None:
        """Say how many places are free."""
        share = between(self.hour, CAR_PARK_BY_HOUR) + self.random.uniform(-0.01, 0.01)
        free = round(int(row["spaces"]) * min(1.0, max(0.0, share)))
        self.say(f"city/parking/{row['id']}", free=free, open=True)
