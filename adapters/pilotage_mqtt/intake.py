"""What arrives on a topic becomes readings; one look-up per message, and nothing ever raised."""

from __future__ import annotations

from typing import Any

from pilotage.adapter import Door
from pilotage.model.quality import Quality
from pilotage_mqtt.binding import Own, Part, Plan, Reply, Shared, Source
from pilotage_mqtt.codec import Garbage, decode_json, decode_plain, quality_of, text_of, time_of

MAX_REMEMBERED = 200_000
"""Topics found by a wildcard that are remembered, so that no flood of new topics fills the memory."""


class Intake:
    """Hands the messages of one connection in at the door.

    Attributes:
        taken: Messages that a binding understood.
        refused: Messages that none did, or that were garbage.
    """

    def __init__(self, plan: Plan, door: Door, name: str) -> None:
        self.taken = 0
        self.refused = 0
        self._plan = plan
        self._door = door
        self._name = name
        self._known = {topic: _ready(sources) for topic, sources in plan.sources.items()}
        self._max = plan.broker.max_payload
        if plan.patterns:
            for topic, sources in list(plan.sources.items()):
                self._known[topic] = _ready([*sources, *self._matching(topic)])

    def take(self, topic: str, payload: bytes) -> None:
        """Hand in what a message says; garbage is refused with its topic."""
        try:
            known = self._known.get(topic) or self._find(topic)
            if known is None:
                return
            if len(payload) > self._max:
                raise Garbage(f"{len(payload)} bytes are more than max_payload ({self._max})")
            is_json, sources = known
            document = decode_json(payload) if is_json else None
            for source in sources:
                self._read(source, document, payload)
            self.taken += 1
        except Garbage as error:
            self.refuse(topic, str(error))
        except Exception as error:  # a message must never end the connection
            self.refuse(topic, f"{type(error).__name__}: {error}")

    def refuse(self, topic: str, why: str) -> None:
        """Count a message that nothing can be made of, and say which points it was for."""
        self.refused += 1
        known = self._known.get(topic)
        points = [point.id for source in known[1] for point in source.points] if known else []
        said = f" (for {', '.join(points[:3])}{', …' if len(points) > 3 else ''})" if points else ""
        self._door.refused(f"{self._name}: {printable(topic)}{said}", why)

    def _find(self, topic: str) -> tuple[bool, tuple[Source, ...]] | None:
        """Return the sources of a topic that only a wildcard knows, or None for one that nobody bound."""
        sources = self._matching(topic)
        if not sources:
            # An entity of the inventory that this binding leaves out (another zone) is no stranger.
            if self._plan.known.isdisjoint(topic.split("/")):
                self.refuse(topic, "no binding knows this topic")
            return None
        known = _ready(sources)
        if len(self._known) < MAX_REMEMBERED:
            self._known[topic] = known
        return known

    def _matching(self, topic: str) -> list[Source]:
        return [source for pattern in self._plan.patterns for source in pattern.find(topic)]

    def _read(self, source: Source, document: Any, payload: bytes) -> None:
        if isinstance(source, Own):
            self._read_parts(source, source.parts, document, payload)
        elif isinstance(source, Shared):
            self._read_shared(source, document)
        else:
            self._read_reply(source, document)

    def _read_shared(self, source: Shared, document: Any) -> None:
        items = [document] if source.each is None else source.each(document)
        if not isinstance(items, list):
            raise Garbage('no list where "each" points to')
        for item in items:
            name = text_of(source.id(item))
            parts = source.parts.get(name)
            if parts is not None:
                self._read_parts(source, parts, item, b"")
            elif name not in self._plan.known:
                raise Garbage(f'the inventory has no "{name[:60]}"')

    def _read_reply(self, source: Reply, document: Any) -> None:
        status = "" if source.status is None else text_of(source.status(document))
        detail = ""
        if source.detail is not None:
            try:
                detail = text_of(source.detail(document))
            except Garbage:
                detail = ""  # most services say why only when they refuse
        if source.convert is not None:
            status = str(source.convert(status))
        self._door.call_result(text_of(source.call(document)), status, detail)

    def _read_parts(
        self, source: Own | Shared, parts: tuple[Part, ...], document: Any, payload: bytes
    ) -> None:
        form = source.form
        time = None if form.time is None else time_of(form.time(document))
        quality = Quality.GOOD
        if form.quality is not None:
            quality = quality_of(form.quality(document), form.words)
        report = self._door.report
        for part in parts:
            point = part.point
            try:
                if part.path is not None:
                    raw = part.path(document)
                else:
                    raw = decode_plain(payload, point.spec.type)
                if raw is not None and part.convert is not None:
                    raw = part.convert(raw)
            except Garbage as error:
                if not part.optional:
                    self._spoiled(point, str(error), time)
                continue
            if raw is None:
                report(point, None, quality=_no_value(quality), source_time=time)
            else:
                report(point, raw, quality=quality, source_time=time)

    def _spoiled(self, point: Any, why: str, time: float | None) -> None:
        self.refused += 1
        self._door.refused(f"{self._name}: {point.id}", why)
        self._door.report(point, None, quality=Quality.BAD, source_time=time)


def printable(topic: str) -> str:
    """Return a topic on one line of printable characters, whatever the sender put into it."""
    return ascii(topic[:200])[1:-1]


def _no_value(quality: Quality) -> Quality:
    return Quality.BAD if quality.is_usable else quality


def _ready(sources: list[Source]) -> tuple[bool, tuple[Source, ...]]:
    return any(source.is_json for source in sources), tuple(sources)
