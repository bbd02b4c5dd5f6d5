"""Options of a connection, read with a finding for every mistake: unknown keys, wrong types, missing values.

For the `factory` of an adapter: it makes one `Problems`, reads a `Section` key by key and ends with `end()`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pilotage.adapter import ConnectionSettings
from pilotage.model.diagnostics import Finding, Severity, Span
from pilotage.model.units import UnknownUnitError, conversion, parse_unit
from pilotage.model.values import Base, ValueType

LARGEST_SCALE: Final = 1e12

__all__ = ["Problems", "Section", "meant", "span_of"]

_TIME: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def span_of(settings: ConnectionSettings) -> Span:
    """Return the place of the settings, from its text `file:line:column`."""
    parts = settings.place.rsplit(":", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return Span(parts[0], int(parts[1]), int(parts[2]))
    return Span(settings.place or "config.yaml", 1, 1)


def meant(word: str, known: Iterable[str]) -> str:
    """Return the mend for a word that is not known: the nearest one, or all of them."""
    names = sorted(set(known))
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f'write "{near[0]}"'
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"use one of: {shown}" if names else ""


class Problems:
    """All findings of one connection, in order of discovery."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.at = span_of(settings)
        self.found: list[Finding] = []

    def error(self, code: str, where: str, message: str, mend: str = "") -> None:
        """Add an error; `where` is the path of keys below the file."""
        self.found.append(Finding(code, Severity.ERROR, self.at, f"{where}: {message}", mend=mend))

    def warning(self, code: str, where: str, message: str, mend: str = "") -> None:
        """Add a warning."""
        found = Finding(code, Severity.WARNING, self.at, f"{where}: {message}", mend=mend)
        self.found.append(found)

    @property
    def has_errors(self) -> bool:
        """True when the connection cannot be opened."""
        return any(finding.is_error for finding in self.found)


class Section:
    """A mapping of options that is read key by key; `end` reports the keys that nobody read."""

    def __init__(self, raw: Any, where: str, problems: Problems) -> None:
        self.where = where
        self.problems = problems
        self._known: set[str] = set()
        self.is_mapping = isinstance(raw, Mapping)
        if isinstance(raw, Mapping):
            self.raw: Mapping[str, Any] = {str(key): value for key, value in raw.items()}
        else:
            self.raw = {}
            problems.error("wrong-type", where, f"expected keys with values, found {_shown(raw)}")

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def path(self, key: str) -> str:
        """Return where a key stands: `connections.street.port`."""
        return f"{self.where}.{key}"

    def any(self, key: str, default: Any = None) -> Any:
        """Return a value of any type."""
        self._known.add(key)
        return self.raw.get(key, default)

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        """Return a text; a number is no text."""
        value: Any = self.any(key)
        if value is None:
            if required:
                self.problems.error("missing-key", self.where, f'"{key}" is missing')
            return default
        if not isinstance(value, str):
            self._wrong(key, value, "a text")
            return default
        if required and not value:
            self.problems.error("missing-key", self.path(key), "is empty")
        found: str = value  # as it is: a secret shows itself only to those who take it whole
        return found

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number within a range."""
        value = self.any(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._wrong(key, value, "a number")
            return default
        if not low <= value <= high:
            self.problems.error(
                "out-of-range", self.path(key), f"{value} is not between {low:g} and {high:g}"
            )
            return default
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number within a range."""
        value = self.number(key, default, low, high)
        if int(value) != value:
            self._wrong(key, value, "a whole number")
            return default
        return int(value)

    def seconds(self, key: str, default: float, low: float, high: float) -> float:
        """Return a time in seconds, written as a number or with its unit: `2`, `2 s`, `500 ms`."""
        value = self.any(key)
        if not isinstance(value, str):
            return self.number(key, default, low, high)
        found = _TIME.fullmatch(value.strip())
        if found is None:
            self._wrong(key, value, "a time like 2 s or 500 ms")
            return default
        seconds = float(found[1]) * _SECONDS[found[2]]
        if not low <= seconds <= high:
            message = f"{value} is not between {low:g} s and {high:g} s"
            self.problems.error("out-of-range", self.path(key), message)
            return default
        return seconds

    def choice(self, key: str, default: str, known: Iterable[str]) -> str:
        """Return one of some words."""
        value, words = self.any(key), tuple(known)
        if value is None:
            return default
        if value not in words:
            message = f"{_shown(value)} is not known here"
            self.problems.error("wrong-value", self.path(key), message, meant(str(value), words))
            return default
        return str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        value = self.any(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._wrong(key, value, "true or false")
            return default
        return value

    def section(self, key: str) -> Section:
        """Return a mapping inside this one; empty when the key is missing."""
        value = self.any(key)
        return Section({} if value is None else value, self.path(key), self.problems)

    def sections(self, key: str) -> list[Section]:
        """Return the mappings of a list; one mapping alone stands for a list of one."""
        value = self.any(key)
        if value is None:
            return []
        if isinstance(value, Mapping):
            return [Section(value, self.path(key), self.problems)]
        if not isinstance(value, (list, tuple)):
            self._wrong(key, value, "a list")
            return []
        made = [
            Section(item, f"{self.path(key)}[{number}]", self.problems)
            for number, item in enumerate(value)
        ]
        return [section for section in made if section.is_mapping]

    def end(self) -> None:
        """Report every key that was not read."""
        for key in self.raw:
            if key not in self._known:
                self.problems.error(
                    "unknown-key", self.where, f'"{key}" is no option here', meant(key, self._known)
                )

    def _wrong(self, key: str, value: Any, wanted: str) -> None:
        found = f"expected {wanted}, found {_shown(value)}"
        self.problems.error("wrong-type", self.path(key), found)


def scaling(
    section: Section, type_: ValueType | None, problems: Problems, *, has_map: bool = False
) -> tuple[float, float]:
    """Return (factor, addend) from the device's number to the point's, as `scale`, `offset` and `unit` say.

    Args:
        section: Where they stand.
        type_: Of the point; None when it is not known, and units are left alone.
        problems: Where mistakes are told.
        has_map: True when the values are looked up instead, so that there is nothing to scale.
    """
    factor = float(section.number("scale", 1.0, -LARGEST_SCALE, LARGEST_SCALE))
    addend = float(section.number("offset", 0.0, -LARGEST_SCALE, LARGEST_SCALE))
    unit = section.text("unit")
    used = [key for key in ("scale", "offset", "unit") if key in section]
    if factor == 0.0:
        message = "0 would turn every value into the same one"
        problems.error("out-of-range", section.path("scale"), message)
        factor = 1.0
    if type_ is None:
        return factor, addend
    if used and (type_.base is not Base.NUMBER or has_map):
        message = f'"{used[0]}" is for numbers, and this point is {type_}'
        problems.error("wrong-type", section.where, message)
        return 1.0, 0.0
    if not unit:
        return factor, addend
    try:
        by, plus = conversion(parse_unit(unit), type_.unit)
    except UnknownUnitError as error:
        problems.error("unknown-unit", section.path("unit"), str(error))
    except ValueError as error:
        problems.error("unit", section.path("unit"), str(error))
    else:
        return factor * by, addend * by + plus
    return factor, addend


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case Mapping():
            return "keys with values"
        case list() | tuple():
            return "a list"
        case _:
            return str(value)
