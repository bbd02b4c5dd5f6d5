"""What the view draws, asked of a running engine through `pilotage.api`."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pilotage import api
from pilotage.demo import view
from pilotage.demo.words import City, Narrator, because

KEPT_LINES: Final = 1_000
RETRY_S: Final = 0.3
ANSWER_S: Final = 5.0
MOST_POINTS: Final = 5_000
PROTOCOLS: Final = {"mqtt": "MQTT", "modbus": "Modbus", "opcua": "OPC UA"}


class Watcher:
    """Asks an engine for the city, and follows its decisions in a thread of its own; a context manager."""

    def __init__(
        self, control: Path, speed: float = 1.0, names: Mapping[str, str] | None = None
    ) -> None:
        """Watch the engine behind a control socket; `names` are what people call its entities."""
        self._names = names or {}
        self._client = api.Client(control, ANSWER_S)
        self._follower = api.Client(control, ANSWER_S)
        self._asker = api.Client(control, ANSWER_S)
        self._speed = speed
        self._lines: deque[view.Line] = deque(maxlen=KEPT_LINES)
        self._count = itertools.count(1)
        self._greens: frozenset[str] = frozenset()
        self._last = view.Scene(0.0, speed, "not heard yet")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="decisions")

    def __enter__(self) -> Watcher:
        """Begin to follow."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._closed.set()
        self._client.close()
        self._follower.close()
        self._asker.close()

    def read(self) -> view.Scene:
        """Return the city as it is now; of an engine that does not answer, the last picture and why."""
        try:
            self._last = self._ask()
        except api.ApiError as error:
            last = self._last
            self._last = view.Scene(**{**_fields(last), "state": f"not heard: {error.text}"})
        return self._last

    def _follow(self) -> None:
        while not self._closed.wait(RETRY_S):
            # An engine that is not up yet, or is restarted, is followed as soon as it answers.
            with contextlib.suppress(api.ApiError, OSError):
                narrator = Narrator(self._learn())
                for decision in self._follower.decisions():
                    for kind, text in narrator.tell(decision):
                        self._say(float(decision.get("now", 0.0)), text, kind)
            self._follower.close()

    def _say(self, at: float, text: str, kind: str) -> None:
        self._lines.append(view.Line(next(self._count), at, text, kind))

    def _learn(self) -> City:
        """Ask what things are called."""
        ask = self._asker.ask
        points = ask(api.ListPoints(limit=MOST_POINTS)).points
        rules = ask(api.ListRules())
        return City(
            self._names,
            {p.entity: p.kind for p in points},
            {p.id: p.unit for p in points if p.unit},
            {r.name: r.title for r in rules} | {p.name: p.title for p in ask(api.ListPlans())},
            self._why,
        )

    def _why(self, rule: str, instance: str) -> str:
        with contextlib.suppress(api.ApiError):
            return because(self._asker.ask(api.ExplainRule(rule=rule, instance=instance)).details)
        return ""

    def _tell_greens(self, now: float, junctions: Sequence[view.Junction]) -> None:
        """Say which junctions have turned green for a bus: what a device reports is in no decision."""
        greens = frozenset(j.name for j in junctions if j.held_by == "bus")
        for name in sorted(greens - self._greens):
            self._say(now, f"{name} reports green for the bus", "followed")
        self._greens = greens

    def _ask(self) -> view.Scene:
        ask = self._client.ask
        status = ask(api.GetStatus())
        points = {p.id: p for p in ask(api.ListPoints(limit=MOST_POINTS)).points}
        entities: dict[str, list[str]] = {}
        for point in points.values():
            ids = entities.setdefault(point.kind, [])
            if point.entity not in ids:
                ids.append(point.entity)
        known = _Points(points)
        junctions = [self._junction(id_, known) for id_ in entities.get("signal_junction", [])]
        self._tell_greens(status.now, junctions)
        return view.Scene(
            status.now,
            status.speed,
            "up" if status.sound else "up, with findings: see `pilotage status`",
            [self._street(id_, known) for id_ in entities.get("lighting_segment", [])],
            junctions,
            [_bus(id_, known, self._names.get(id_, id_)) for id_ in entities.get("bus", [])],
            [_camera(id_, known, self._names.get(id_, id_)) for id_ in entities.get("camera", [])],
            [
                view.Plan(p.title or p.name, p.level, p.level_name, p.reason, tuple(p.asks))
                for p in ask(api.ListPlans())
            ],
            [
                view.Alarm(a.text or a.title or a.id, a.severity, a.state)
                for a in ask(api.ListAlarms())
            ],
            _notes(entities, known),
            tuple(self._lines),
            [
                view.Wire(PROTOCOLS.get(c.adapter, c.adapter), c.state == "up")
                for c in status.connections
            ],
        )

    def _street(self, id_: str, known: _Points) -> view.Street:
        detail = self._client.ask(api.GetPoint(point=f"{id_}.lights.level"))
        key = id_.removeprefix("seg-")
        lamps = tuple(p.value for p in known.matching(f"lamp-{key}-", ".level"))
        return view.Street(
            self._names.get(id_, id_),
            detail.wanted,
            known.value(f"{id_}.lights.level"),
            lamps,
            known.value(f"{id_}.traffic.flow"),
            known.value(f"{id_}.pedestrian_detected"),
            detail.winner,
        )

    def _junction(self, id_: str, known: _Points) -> view.Junction:
        detail = self._client.ask(api.GetPoint(point=f"{id_}.priority"))
        return view.Junction(
            self._names.get(id_, id_),
            ""
            if detail.wanted is None
            else self._names.get(str(detail.wanted), str(detail.wanted)),
            known.text(f"{id_}.priority.status"),
            known.text(f"{id_}.held_by"),
        )


class _Points:
    """The points of one picture, by id."""

    def __init__(self, points: Mapping[str, api.Point]) -> None:
        self._points = points

    def value(self, id_: str) -> Any:
        """Return the value, or None when it is unknown."""
        point = self._points.get(id_)
        return None if point is None else point.value

    def text(self, id_: str) -> str:
        """Return the value as text, empty when it is unknown."""
        value = self.value(id_)
        return "" if value is None else str(value)

    def matching(self, start: str, end: str) -> list[api.Point]:
        """Return the points whose id begins and ends so."""
        return [p for id_, p in self._points.items() if id_.startswith(start) and id_.endswith(end)]


def _bus(id_: str, known: _Points, name: str) -> view.Bus:
    return view.Bus(
        name, known.text(f"{id_}.line"), known.value(f"{id_}.delay"), known.value(f"{id_}.speed")
    )


def _camera(id_: str, known: _Points, name: str) -> view.Camera:
    return view.Camera(name, known.text(f"{id_}.preset"), known.text(f"{id_}.recording"))


def _notes(entities: Mapping[str, Iterable[str]], known: _Points) -> list[str]:
    surfaces = [
        value
        for id_ in entities.get("road_station", ())
        if (value := known.value(f"{id_}.surface_temperature")) is not None
    ]
    notes = [f"coldest road {min(surfaces):.1f} °C"] if surfaces else []
    for id_ in entities.get("weather_forecast", ()):
        snow = known.value(f"{id_}.snow_12h")
        notes += [f"snow in 12 h {snow:.1f} cm"] if snow is not None else []
    for id_ in entities.get("message_sign", ()):
        text = known.text(f"{id_}.text")
        notes += [f"{id_}: {text}"] if text else []
    return notes


def _fields(scene: view.Scene) -> dict[str, Any]:
    return {name: getattr(scene, name) for name in view.Scene.__slots__}
