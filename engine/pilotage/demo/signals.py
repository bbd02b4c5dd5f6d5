"""The junctions of the avenue: whoever asks for green gets it in time, and an ambulance at once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pilotage.demo.device import Group, inventory

RED_S: Final = 35.0
CYCLE_S: Final = 90.0
EMERGENCY_EVERY_S: Final = 2_400.0


@dataclass(slots=True)
class Lights:
    """What everybody in the street can see of a junction."""

    offset_s: float = 0.0
    held_by: str = "nobody"

    def is_red(self, now: float) -> bool:
        """True while the avenue has to wait."""
        return self.held_by == "nobody" and (now + self.offset_s) % CYCLE_S < RED_S


@dataclass(slots=True)
class Junction(Lights):
    """A signal controller: who asked, and whom it serves."""

    id: str = ""
    served: str = ""
    status: str = ""


def offsets(seed: int) -> dict[str, float]:
    """Return by how many seconds the cycle of each junction is ahead; the same for all who look at it."""
    chance = random.Random(f"offsets-{seed}")
    return {row["id"]: chance.uniform(0, CYCLE_S) for row in inventory("junctions.csv")}


class Junctions(Group):
    """The signal controllers of the avenue."""

    name = "junctions"
    listens = ("city/signal/+/request",)

    def __init__(self, seed: int, start: float) -> None:
        """Switch the lights on."""
        super().__init__(seed, start)
        self.junctions = {id_: Junction(s, id=id_) for id_, s in offsets(seed).items()}
        for junction in self.junctions.values():
            self.every(60.0, partial(self.say_state, junction), first=0.0)
        self.every(EMERGENCY_EVERY_S, self.pass_through)

    @property
    def held(self) -> dict[str, str]:
        """Whom each junction serves, as everybody in the street can see."""
        return {junction.id: junction.held_by for junction in self.junctions.values()}

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Take a request, an update or a cancellation."""
        junction, bus = self.junctions.get(topic[2]), str(fields.get("bus", ""))
        if junction is None or not bus:
            return
        match fields.get("action"):
            case "request" | "update" if junction.held_by == "emergency":
                self.say_status(junction, "rejected", bus)
            case "request" if junction.served not in ("", bus):
                self.say_status(junction, "rejected", bus)
            case "request":
                self.begin(junction, bus, fields.get("eta"))
            case "cancel" if junction.served == bus:
                self.end(junction, "completed")

    def begin(self, junction: Junction, bus: str, eta: Any) -> None:
        """Serve a bus: received at once, queued, and green in time."""
        junction.served = bus
        self.say_status(junction, "received", bus)
        self.after(0.3, lambda: self.advance(junction, bus, "queued"))
        green_in = max(1.0, min(float(eta), 30.0) - 8.0) if isinstance(eta, (int, float)) else 2.0
        self.after(green_in, lambda: self.advance(junction, bus, "activated"))
        self.after(90.0, lambda: self.give_up(junction, bus))

    def advance(self, junction: Junction, bus: str, status: str) -> None:
        """Go on serving, unless somebody ended it."""
        if junction.served != bus:
            return
        if status == "activated":
            junction.held_by = "bus"
            self.say_state(junction)
        self.say_status(junction, status, bus)

    def give_up(self, junction: Junction, bus: str) -> None:
        """End a request that nobody cancelled."""
        if junction.served == bus:
            self.end(junction, "timeout")

    def end(self, junction: Junction, status: str) -> None:
        """Go back to the plan."""
        bus, junction.served = junction.served, ""
        if junction.held_by == "bus":
            junction.held_by = "nobody"
        self.say_status(junction, status, bus)
        self.say_state(junction)

    def pass_through(self) -> None:
        """Let a fire engine cross the avenue somewhere."""
        self.seize(self.random.choice(list(self.junctions)), 45.0)

    def seize(self, id_: str, seconds: float) -> None:
        """Give a junction to an emergency vehicle for a while."""
        junction = self.junctions[id_]
        if junction.served:
            self.end(junction, "rejected")
        junction.held_by = "emergency"
        self.say_state(junction)
        self.after(seconds, lambda: self.hand_back(junction))

    def hand_back(self, junction: Junction) -> None:
        """Let the emergency vehicle go."""
        junction.held_by = "nobody"
        self.say_state(junction)

    def say_status(self, junction: Junction, status: str, bus: str) -> None:
        """Say what became of a request."""
        junction.status = status
        self.say(f"city/signal/{junction.id}/priority", status=status, bus=bus)

    def say_state(self, junction: Junction) -> None:
        """Say how the controller is."""
        self.say(
            f"city/signal/{junction.id}/state",
            held_by=junction.held_by,
            mode="normal",
            cycle=CYCLE_S,
            comm=True,
            cross=round(self.random.uniform(5, 45)),
        )
