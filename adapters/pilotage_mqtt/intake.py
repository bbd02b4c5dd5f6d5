"""What arrives on a topic becomes readings; one look-up per message, and nothing ever raised."""

from __future__ import annotations

from typing import Any

from pilotage.adapter import Door
from pilotage.adapter.payload_binding import Own, Shared
from pilotage.adapter.payload_intake import PayloadReader
from pilotage.adapter.payloads import Decode, Garbage, decode_json, text_of
from pilotage.model.entities import Privacy
from pilotage_mqtt.attendance import Attendance, Availability
from pilotage_mqtt.binding import Plan, Reply, Source
from pilotage_mqtt.discovery import Discoverer

_Ready = tuple[tuple[Decode | None, tuple[Source, ...]], ...]

_GUARDED = frozenset({Privacy.PERSONAL, Privacy.SENSITIVE})

MAX_REMEMBERED = 200_000
"""Topics found by a wildcard that are remembered, so that no flood of new topics fills the memory."""


class Intake:
    """Hands the messages of one connection in at the door.

    Attributes:
        taken: Messages that a binding understood.
        repeated: Messages that came a second time, since the broker did not get our acknowledgement.
    """

    def __init__(
        self, plan: Plan, door: Door, name: str, attendance: Attendance | None = None
    ) -> None:
        self.taken = 0
        self.repeated = 0
        self._plan = plan
        self._door = door
        self._name = name
        self._attendance = attendance
        self._reader = PayloadReader(attendance or door, name, plan.known)
        self._recent: dict[int, None] = {}
        self.discoverer: Discoverer | None = None
        if plan.discovery is not None:
            self.discoverer = Discoverer(plan.discovery, door, name)
        self._known: dict[str, _Ready] = {}  # each topic when it is heard first
        self._max = plan.broker.max_payload

    @property
    def refused(self) -> int:
        """Messages that no binding understood, or that were garbage, and values that were."""
        return self._reader.refused

    def is_repeated(self, topic: str, payload: bytes, *, is_marked: bool) -> bool:
        """Return whether a message with QoS 1 or 2 was taken before; counts it, and remembers those that were not.

        Only what the broker marks as sent again (DUP; MQTT 5.0, 3.3.1.1) can be so: a device may well say the same twice.
        """
        key = hash((topic, payload))
        if is_marked and key in self._recent:
            self.repeated += 1
            return True
        self._recent.pop(key, None)
        self._recent[key] = None
        if len(self._recent) > self._plan.broker.receive_maximum:
            del self._recent[next(iter(self._recent))]
        return False

    def take(self, topic: str, payload: bytes, properties: Any = None) -> None:
        """Hand in what a message says; garbage is refused with its topic."""
        try:
            self._plan.packet.open(properties)
            if self.discoverer is not None and self._plan.discovery.is_about(topic):  # type: ignore[union-attr]
                self._check_size(payload)
                self.discoverer.hear(topic, payload)
                return
            known = self._known.get(topic) or self._find(topic)
            if known is None:
                return
            self._check_size(payload)
            for decode, sources in known:
                document = None if decode is None else decode(payload)
                for source in sources:
                    self._read(source, document, payload)
            self.taken += 1
        except Garbage as error:
            self.refuse(topic, str(error))
        except Exception as error:  # a message must never end the connection
            self.refuse(topic, f"{type(error).__name__}: {error}")

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self._max:
            raise Garbage(f"{len(payload)} bytes are more than max_payload ({self._max})")

    def add(self, topic: str, source: Source) -> None:
        """Hand in what is said on one more topic."""
        self._known[topic] = _ready([*self._sources_of(topic), source])

    def remove(self, topic: str, source: Source) -> None:
        """Hand it in no more."""
        left = [other for other in self._sources_of(topic) if other is not source]
        if left:
            self._known[topic] = _ready(left)
        else:
            self._known.pop(topic, None)

    def _sources_of(self, topic: str) -> list[Source]:
        known = self._known.get(topic) or _ready(self._bound_to(topic))
        return [source for _, sources in known for source in sources]

    def refuse(self, topic: str, why: str) -> None:
        """Count a message that nothing can be made of, and say which points it was for."""
        self._reader.refused += 1
        handles = [p for source in self._sources_of(topic) for p in source.points]
        if any(handle.spec.privacy in _GUARDED for handle in handles):
            why = "not understood (its text is not shown: it may tell of a person)"
        points = [handle.id for handle in handles]
        said = f" (for {', '.join(points[:3])}{', …' if len(points) > 3 else ''})" if points else ""
        self._door.refused(f"{self._name}: {printable(topic)}{said}", why)

    def _find(self, topic: str) -> _Ready | None:
        """Return the sources of a topic that is heard first, or None for one that nobody bound."""
        sources = self._bound_to(topic)
        if not sources:
            # An entity of the inventory that this binding leaves out (another zone) is no stranger.
            if self._plan.known.isdisjoint(topic.split("/")):
                self.refuse(topic, "no binding knows this topic")
            return None
        known = _ready(sources)
        if topic in self._plan.sources or len(self._known) < MAX_REMEMBERED:
            self._known[topic] = known
        return known

    def _bound_to(self, topic: str) -> list[Source]:
        matching = (source for pattern in self._plan.patterns for source in pattern.find(topic))
        return [*self._plan.sources.get(topic, ()), *matching]

    def _read(self, source: Source, document: Any, payload: bytes) -> None:
        if isinstance(source, Reply):
            self._read_reply(source, document)
        elif isinstance(source, Availability):
            if self._attendance is not None:
                is_there = source.is_there(document, payload)
                self._attendance.hear(source, is_there=is_there)
        else:
            self._reader.read(source, document, payload)

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


def printable(topic: str) -> str:
    """Return a topic on one line of printable characters, whatever the sender put into it."""
    return ascii(topic[:200])[1:-1]


def _ready(sources: list[Source]) -> _Ready:
    """Return the sources of a topic by what decodes their payload, each payload once; None for a plain one."""
    groups: dict[Decode | None, list[Source]] = {}
    for source in sources:
        decode = None
        if source.is_json:
            decode = source.form.decode if isinstance(source, (Own, Shared)) else decode_json
        groups.setdefault(decode, []).append(source)
    return tuple((decode, tuple(members)) for decode, members in groups.items())
