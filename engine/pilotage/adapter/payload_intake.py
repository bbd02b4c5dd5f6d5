"""What a message says becomes readings: bound values are found, converted and handed in at the door; nothing is ever raised by a value.

For adapters whose messages are texts; where a message comes from is their own business.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pilotage.adapter import Door
from pilotage.adapter.payload_binding import Own, Part, Shared
from pilotage.adapter.payloads import Garbage, decode_plain, quality_of, text_of, time_of
from pilotage.model.quality import Quality


class PayloadReader:
    """Hands the values of decoded messages in.

    Attributes:
        refused: Messages and values that nothing could be made of.
    """

    def __init__(self, door: Door, name: str, known: Collection[str]) -> None:
        """Read for a connection.

        Args:
            door: Where readings go.
            name: The connection's, for what is refused.
            known: Ids of all entities: one that no binding wants is no stranger.
        """
        self.refused = 0
        self._door = door
        self._name = name
        self._known = known

    def read(self, source: Own | Shared, document: Any, payload: bytes) -> None:
        """Hand in what a message says of its entity, or of each entity that it names.

        Raises:
            Garbage: Its time, its list or the name of an entity cannot be understood; nothing of it is handed in then.
        """
        if isinstance(source, Own):
            self.read_parts(source, source.parts, document, payload)
            return
        items = [document] if source.each is None else source.each(document)
        if not isinstance(items, list):
            raise Garbage('no list where "each" points to')
        for item in items:
            name = text_of(source.id(item))
            parts = source.parts.get(name)
            if parts is not None:
                self.read_parts(source, parts, item, b"")
            elif name not in self._known:
                raise Garbage(f'the inventory has no "{name[:60]}"')

    def read_parts(
        self, source: Own | Shared, parts: tuple[Part, ...], document: Any, payload: bytes
    ) -> None:
        """Hand in the points of one entity; one that is spoiled is bad, and no other."""
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
                    self.spoiled(point, str(error), time)
                continue
            if raw is None:
                report(point, None, quality=_no_value(quality), source_time=time)
            else:
                report(point, raw, quality=quality, source_time=time)

    def spoiled(self, point: Any, why: str, time: float | None) -> None:
        """Count a value that cannot be understood; its point is unknown until a better one comes."""
        self.refused += 1
        self._door.refused(f"{self._name}: {point.id}", why)
        self._door.report(point, None, quality=Quality.BAD, source_time=time)


def _no_value(quality: Quality) -> Quality:
    return Quality.BAD if quality.is_usable else quality
