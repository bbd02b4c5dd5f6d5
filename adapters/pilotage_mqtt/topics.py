"""Topic templates: `city/lamp/{id}/state` to topics, subscriptions and back; pure.

Source: MQTT Version 5.0 (OASIS, 7 March 2019), 4.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pilotage.adapter.payloads import BadTemplate, slots_of

MAX_BYTES = 65_535
# 1.5.4: the zero must not be in a text, control characters and non-characters should not; some brokers hang up on them.
_NOT_IN_A_TOPIC = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Values = Mapping[str, Sequence[str | None]]
"""What a placeholder stands for in each topic, by its name."""


@dataclass(frozen=True, slots=True)
class Template:
    """A topic with placeholders, level by level.

    Attributes:
        text: As written.
        levels: The parts between the slashes.
        slots: Names between braces, in order.
    """

    text: str
    levels: tuple[str, ...]
    slots: tuple[str, ...]

    @property
    def has_wildcard(self) -> bool:
        """True when `+` or `#` stands in it."""
        return "+" in self.levels or "#" in self.levels

    def fill(self, values: Values, count: int) -> list[tuple[str, ...]]:
        """Return the levels with each placeholder replaced, for so many topics.

        Level by level, not topic by topic: a city has tens of thousands of them.
        """
        columns = [_fill_level(level, values, count) for level in self.levels]
        return list(zip(*columns, strict=True))


def parse(text: str, *, wildcards: bool) -> Template:
    """Return a template.

    Raises:
        BadTemplate: It is no topic, or has a wildcard where none may stand.
    """
    if not text:
        raise BadTemplate("the topic is empty")
    if _NOT_IN_A_TOPIC.search(text) or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise BadTemplate(f'"{text[:60]}" has a character or a length that no topic may have')
    if text.startswith("$share/") or (not wildcards and text.startswith("$")):
        raise BadTemplate(
            f'"{text}" belongs to the broker: topics of devices do not begin with "$"'
        )
    slots = tuple(slots_of(text))
    levels = tuple(text.split("/"))
    for number, level in enumerate(levels, 1):
        if "#" in level and (level != "#" or number != len(levels)):
            raise BadTemplate(f'"#" in "{text}" must stand alone at the end')
        if "+" in level and level != "+":
            raise BadTemplate(f'"+" in "{text}" must stand alone between two slashes')
    if not wildcards and ("+" in levels or "#" in levels):
        raise BadTemplate(f'"{text}" is a topic to write to: it cannot have "+" or "#"')
    return Template(text, levels, slots)


def filter_for(filled: Iterable[tuple[str, ...]]) -> str:
    """Return the one subscription that hears all these topics: levels that differ become `+`."""
    columns = zip(*filled, strict=True)
    return "/".join(column[0] if len(set(column)) == 1 else "+" for column in columns)


def matches(wanted: str, topic: str) -> bool:
    """True when a subscription hears a topic (or all that another subscription hears)."""
    want, have = wanted.split("/"), topic.split("/")
    # 4.7.2: a wildcard at the front hears nothing of the broker's own topics.
    if topic.startswith("$") and want[0] in ("+", "#"):
        return False
    for number, level in enumerate(want):
        if level == "#":
            return True
        if number >= len(have) or have[number] == "#":
            return False
        if level not in ("+", have[number]):
            return False
    return len(want) == len(have)


def fewest(filters: dict[str, int]) -> dict[str, int]:
    """Return the subscriptions without those that another one covers, with the highest QoS asked for."""
    kept: dict[str, int] = {}
    for wanted, qos in sorted(filters.items(), key=lambda pair: (_narrowness(pair[0]), pair[0])):
        wider = next((other for other in kept if matches(other, wanted)), None)
        kept[wider or wanted] = max(qos, kept.get(wider or wanted, 0))
    return dict(sorted(kept.items()))


def _narrowness(wanted: str) -> tuple[bool, int]:
    levels = wanted.split("/")
    return "#" not in levels, -levels.count("+")


def _fill_level(level: str, values: Values, count: int) -> list[str]:
    filled = [level] * count
    for name in slots_of(level):
        slot = "{" + name + "}"
        filled = [text.replace(slot, str(v)) for text, v in zip(filled, values[name], strict=True)]
    return filled
