"""What the view draws, asked of a running engine through `pilotage.api`."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pilotage import api
from pilotage.demo import view

KEPT_LINES: Final = 200
RETRY_S: Final = 0.3


class Watcher:
    """Asks an engine for the city, and follows its decisions in a thread of its own; a context manager."""

    def __init__(self, control: Path, speed: float = 1.0) -> None:
        """Watch the engine behind a control socket."""
        self._client = api.Client(control)
        self._follower = api.Client(control)
        self._speed = speed
        self._lines: deque[view.Line] = deque(maxlen=KEPT_LINES)
        self._last = view.Scene(0.0, speed, "the engine starts")
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

    def read(self) -> view.Scene:
        """Return the city as it is now; of an engine that does not answer, the last picture and why."""
        try:
            self._last = self._ask()
        except api.ApiError as error:
            last = self._last
            self._last = view.Scene(**{**_fields(last), "state": error.text})
        return self._last

    def _follow(self) -> None:
        while not self._closed.wait(RETRY_S):
            # An engine that is not up yet, or is restarted, is followed as soon as it answers.
            with contextlib.suppress(api.ApiError, OSError):
                for decision in self._follower.decisions():
                    self._lines.extend(lines_of(decision))
            self._follower.close()

    def _ask(self) -> view.Scene:
        ask = self._client.ask
        status = ask(api.GetStatus())
        points = {p.id: p for p in ask(api.ListPoints(limit=5000)).points}
        entities: dict[str, list[str]] = {}
        for point in points.values():
            ids = entities.setdefault(point.kind, [])
            if point.entity not in ids:
                ids.append(point.entity)
        known = _Points(points)
        return view.Scene(
            status.now,
            status.speed,
            "up" if status.sound else "up, with findings: see `pilotage status`",
            [self._street(id_, known) for id_ in entities.get("lighting_segment", [])],
            [self._junction(id_, known) for id_ in entities.get("signal_junction", [])],
            [_bus(id_, known) for id_ in entities.get("bus", [])],
            [_camera(id_, known) for id_ in entities.get("camera", [])],
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
        )

    def _street(self, id_: str, known: _Points) -> view.Street:
        detail = self._client.ask(api.GetPoint(point=f"{id_}.lights.level"))
        key = id_.removeprefix("seg-")
        lamps = tuple(p.value for p in known.matching(f"lamp-{key}-", ".level"))
        return view.Street(
            known.text(f"{id_}.name") or id_,
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
            known.text(f"{id_}.name") or id_,
            "" if detail.wanted is None else str(detail.wanted),
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


def _bus(id_: str, known: _Points) -> view.Bus:
    return view.Bus(
        id_, known.text(f"{id_}.line"), known.value(f"{id_}.delay"), known.value(f"{id_}.speed")
    )


def _camera(id_: str, known: _Points) -> view.Camera:
    name = known.text(f"{id_}.name") or id_
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


# ── decisions in words ───────────────────────────────────────────────────────────────────────


def lines_of(decision: Mapping[str, Any]) -> list[view.Line]:
    """Return what a decision says, as lines for people; what repeats for every lamp of a street is one line."""
    number, now = int(decision.get("number", 0)), float(decision.get("now", 0.0))
    said: list[tuple[str, str]] = []
    commands: dict[tuple[str, str], list[str]] = {}
    for event in decision.get("events", ()):
        if event.get("event") == "Command":
            key = (str(event.get("value")), str(event.get("because")))
            commands.setdefault(key, []).append(str(event.get("point")))
        else:
            text = _words(event)
            said += [text] if text[1] else []
    for (value, because), points in commands.items():
        said.append(("command", f"{view.names(points)} -> {value} ({because})"))
    return [view.Line(number, now, text, kind, i) for i, (kind, text) in enumerate(said)]


def _words(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of an event, and what it says; nothing for the small steps on the way to a decision."""
    match event.get("event"):
        case "RuleChanged" if event.get("after") in ("active", "unknown", "cooldown"):
            instance, why = event.get("instance"), event.get("why")
            return "rule", f"{event.get('rule')} [{instance}] is {event.get('after')}: {why}"
        case "Request":
            return (
                "command",
                f"{event.get('action')} {event.get('point')} for {event.get('entity')}",
            )
        case "CallOut":
            return "command", f"call {event.get('name')} {event.get('arguments')}"
        case "Notice":
            return "person", f"to {', '.join(event.get('to', ()))}: {event.get('text')}"
        case "PlanChanged":
            levels = f"{event.get('before')} -> {event.get('after')}"
            return "plan", f"plan {event.get('plan')} {levels}: {event.get('reason')}"
        case "PlanAsks":
            return "plan", f"plan {event.get('plan')} asks: {event.get('text')}"
        case "AlarmChanged":
            change = f"{event.get('before')} -> {event.get('after')}"
            return "alarm", f"alarm {event.get('text') or event.get('alarm')}: {change}"
        case "IncidentChanged":
            return (
                "alarm",
                f"incident {event.get('incident')} {event.get('action')}: {event.get('text')}",
            )
        case "Followed" if event.get("outcome") in ("failed", "local"):
            return "alarm", f"{event.get('point')} {event.get('outcome')}: {event.get('detail')}"
        case _:
            return "", ""
