"""What an adapter finds when it looks around: proposals for people to review; nothing is ever changed by looking.

An adapter offers it by a method `discover` of its factory (`Discoverer`); `pilotage discover` prints what comes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, runtime_checkable

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.messages import PointHandle

__all__ = [
    "Discoverer",
    "Discovery",
    "EmptySite",
    "Found",
    "Likeness",
    "bare",
    "entity_id",
    "likeness",
]

_ODD: Final = re.compile(r"[^\w:-]+")
_PLAIN: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was seen.

    Attributes:
        kind: The kind that it looks like; empty when it looks like none.
        seen: What was seen of it, in a few words.
    """

    id: str
    kind: str = ""
    name: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What looking around gave.

    Attributes:
        found: In order of id.
        bindings: Proposals for `points:` of the connection, as plain YAML types.
        notes: What was seen and not understood, a line each.
    """

    found: Sequence[Found] = ()
    bindings: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()


@runtime_checkable
class Discoverer(Protocol):
    """An `AdapterFactory` that can look around."""

    async def discover(
        self, settings: ConnectionSettings, kinds: Mapping[str, Kind], seconds: float
    ) -> Discovery:
        """Return what there is at the other end of a connection; sends no order and changes nothing.

        Args:
            settings: Of the connection; `points` may be missing.
            kinds: All kinds that plugins declare, by name.
            seconds: How long to listen at most.

        Raises:
            OSError: The other end cannot be reached; the text says why.
            RuleError: The settings have errors.
        """
        ...


class EmptySite:
    """A city without anything in it (`pilotage.adapter.Site`): to read the options of a connection that binds nothing yet."""

    name = "discover"

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        """Return nothing."""
        del kind
        return ()

    def kind(self, name: str) -> Kind | None:
        """Return None."""
        del name
        return None

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        """Return None."""
        del id
        return None


def bare(settings: ConnectionSettings) -> ConnectionSettings:
    """Return the settings without what they bind."""
    kept = {key: value for key, value in settings.options.items() if key not in ("points", "calls")}
    return replace(settings, options=kept)


@dataclass(frozen=True, slots=True)
class Likeness:
    """The kind that some fields look like.

    Attributes:
        points: Point by field, for the fields that a point is called like.
    """

    kind: Kind
    points: Mapping[str, str] = field(default_factory=dict)


def likeness(
    fields: Iterable[str], words: Iterable[str], kinds: Mapping[str, Kind]
) -> Likeness | None:
    """Return the kind whose points are called most like the fields, None when no point is.

    Args:
        fields: What the thing reports.
        words: What stands around it, such as the levels of its topic: a kind that is named there goes first.
        kinds: Among which to look, by name.
    """
    listed, around = list(fields), {_bare(word) for word in words}
    best: tuple[float, str, Likeness] | None = None
    for name, kind in kinds.items():
        points = _points_like(listed, kind)
        named = bool({_bare(name), f"{_bare(name)}s", _bare(kind.title)} & around)
        score = len(points) + (1.5 if named else 0.0)
        if points and (best is None or (-score, name) < best[:2]):
            best = (-score, name, Likeness(kind, points))
    return None if best is None else best[2]


def entity_id(text: str) -> str:
    """Return a text as an id that an inventory takes; empty when nothing of it is left."""
    return _ODD.sub("-", text.strip()).strip("-_:")


def _points_like(fields: Sequence[str], kind: Kind) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in fields:
        bare = _bare(name)
        for point in kind.points:
            called = {_bare(point.name), _bare(point.name.rpartition(".")[2])}
            if bare in called and point.name not in found.values():
                found[name] = point.name
                break
    return found


def _bare(word: str) -> str:
    return _PLAIN.sub("", word.lower())
