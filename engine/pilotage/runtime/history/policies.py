"""How a point is recorded: by the site's entries, else by what the point is and whom it concerns. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pilotage.model.entities import GUARDED, Access, PointSpec
from pilotage.model.values import Base
from pilotage.runtime.history.settings import HistoryEntry, HistorySettings, deadband_of

OFTEN_S: Final = 10.0
"""Numbers and positions are recorded at most so often, unless the site says otherwise."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How one point is recorded, and for how long it is kept.

    Attributes:
        record: readings, changes or never.
        deadband: In the point's unit; a smaller change is none.
        at_most_every_s: Between two samples; the last value before is written when the time is over.
        why: Which rule said so, for `pilotage history status`.
    """

    record: str
    deadband: float = 0.0
    at_most_every_s: float = 0.0
    keep_s: float = 0.0
    purpose: str = ""
    basis: str = ""
    why: str = ""

    @property
    def text(self) -> str:
        """The policy as people read it: `changes of at least 5, at most every 10 s`."""
        words = self.record
        if self.record == "changes" and self.deadband:
            words += f" of at least {self.deadband:g}"
        if self.record != "never" and self.at_most_every_s:
            words += f", at most every {self.at_most_every_s:g} s"
        return words


class Policies:
    """Finds the policy of each point; equal ones are one object."""

    def __init__(self, settings: HistorySettings) -> None:
        """Take what the site says."""
        self._settings = settings
        self._has_patterns = any(entry.match for entry in settings.entries)
        self._cache: dict[Any, Policy] = {}

    def of(self, point: str, spec: PointSpec, kind: str, zone: str) -> Policy:
        """Return the policy of a point, by its id, what its kind says of it, its kind and its zone."""
        key = (point if self._has_patterns else "", spec.name, kind, zone)
        found = self._cache.get(key)
        if found is None:
            found = self._find(point, spec, kind, zone)
            if not self._has_patterns:
                self._cache[key] = found
        return found

    def _find(self, point: str, spec: PointSpec, kind: str, zone: str) -> Policy:
        if spec.access is Access.FIXED or spec.type.base in (Base.SET, Base.ANY):
            return Policy("never", why="it is fixed, or a set")
        entry = next(
            (e for e in self._settings.entries if e.fits(point, spec.name, kind, zone)), None
        )
        keep_s = self._settings.keep_s[spec.privacy]
        if spec.privacy in GUARDED and (entry is None or not (entry.purpose and entry.basis)):
            return Policy("never", why=f"{spec.privacy.value}, and no purpose is declared")
        return _by_type(spec, keep_s) if entry is None else _by_entry(entry, spec, keep_s)


def _by_entry(entry: HistoryEntry, spec: PointSpec, keep_s: float) -> Policy:
    deadband = deadband_of(entry, spec) if entry.deadband else None
    return Policy(
        entry.record,
        deadband or 0.0,
        entry.at_most_every_s,
        min(keep_s, entry.keep_s or keep_s),
        entry.purpose,
        entry.basis,
        str(entry.at),
    )


def _by_type(spec: PointSpec, keep_s: float) -> Policy:
    often = OFTEN_S if spec.type.base in (Base.NUMBER, Base.POSITION) else 0.0
    return Policy("changes", at_most_every_s=often, keep_s=keep_s, why="default")
