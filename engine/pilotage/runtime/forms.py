"""Reading maps of configuration files: closed sets of keys, typed scalars, every mistake with its place.

A reader returns None when it has reported a finding, so that reading goes on and all mistakes are found at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pilotage.language import findings as say
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, load
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.units import SECOND, UnknownUnitError, convert, parse_unit
from pilotage.runtime import findings as site

_NUMBER: Final = r"[-+−]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY: Final = re.compile(rf"\s*({_NUMBER})\s*([^\d\s+−-][^\s]*)?\s*")


class Report:
    """The findings and the texts of all files that one reading touches."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.sources: dict[str, str] = {}

    def add(self, finding: Finding) -> None:
        """Keep one more finding."""
        self.findings.append(finding)

    def read_yaml(self, file: Path, at: Span | None = None) -> Node | None:
        """Return the tree of a YAML file, None when there is none; `at` is where the file is named."""
        text = self.read_bytes(file, at)
        if text is None:
            return None
        node, found = load(text, str(file))
        self.findings.extend(found)
        self.sources[str(file)] = text.decode("utf-8", "replace")
        return node

    def read_bytes(self, file: Path, at: Span | None = None) -> bytes | None:
        """Return what a file holds, None when it cannot be read."""
        try:
            return file.read_bytes()
        except OSError as error:
            place = at or Span(str(file), 1, 1)
            self.add(site.file_unreadable(place, str(file), error, neighbours(file)))
            return None


def neighbours(file: Path) -> list[str]:
    """Return the names beside a file that is not there, for a "did you mean"."""
    try:
        return sorted(entry.name for entry in file.parent.iterdir())
    except OSError:
        return []


def as_map(node: Node | None, key: str, report: Report, example: str = "") -> MapNode | None:
    """Return a map; reports anything else."""
    if isinstance(node, MapNode):
        return node
    if node is not None:
        report.add(say.wrong_shape(node.at, key, "a map", shape(node), example))
    return None


def as_list(node: Node | None, key: str, report: Report, example: str = "") -> ListNode | None:
    """Return a list; reports anything else."""
    if isinstance(node, ListNode):
        return node
    if node is not None:
        report.add(say.wrong_shape(node.at, key, "a list", shape(node), example))
    return None


def as_scalar(node: Node, key: str, what: str, report: Report) -> ScalarNode | None:
    """Return a scalar that is not empty; reports anything else."""
    if not isinstance(node, ScalarNode):
        report.add(say.wrong_shape(node.at, key, what, shape(node)))
        return None
    if node.is_null:
        report.add(say.empty_value(node.at, key, what))
        return None
    return node


def as_text(node: Node, key: str, report: Report) -> str | None:
    """Return a text, of whatever a scalar holds; reports a list, a map and nothing."""
    scalar = as_scalar(node, key, "a text", report)
    return None if scalar is None else scalar.text


def as_texts(node: Node, key: str, report: Report) -> list[ScalarNode]:
    """Return the scalars of a list, or the one that stands alone."""
    items = node.items if isinstance(node, ListNode) else [node]
    found = (as_scalar(item, key, "a text or a list of texts", report) for item in items)
    return [scalar for scalar in found if scalar is not None]


def check_keys(
    node: MapNode,
    what: str,
    known: Iterable[str],
    report: Report,
    required: Mapping[str, str] | None = None,
) -> None:
    """Report keys that are not known, and required ones that are not there.

    Args:
        node: The map.
        what: What the map is, for the messages: `site`.
        known: All keys.
        report: Where findings go.
        required: The keys that must be there, each with an example.
    """
    words = tuple(known)
    for key, _ in node.entries:
        if key.text not in words:
            report.add(say.unknown_key(key.at, key.text, what, words))
    for name, example in (required or {}).items():
        if node.get(name) is None:
            report.add(say.missing_key(node.at, name, what, example))


def shape(node: Node) -> str:
    """Return what a node is, as a message says it."""
    if isinstance(node, MapNode):
        return "a map"
    return (
        "a list" if isinstance(node, ListNode) else f'"{node.text[:40]}"' if node.text else "empty"
    )


def parse_duration(text: str) -> float:
    """Return the seconds of `90 s`, `2 min 30 s` or `7 d`.

    Raises:
        ValueError: It is no duration above zero, or a number has no unit.
    """
    at, total, count = 0, 0.0, 0
    while at < len(text):
        match = _QUANTITY.match(text, at)
        if match is None or not match[2]:
            raise ValueError(f'"{text}" is no duration')
        try:
            amount = convert(float(match[1].replace("−", "-")), parse_unit(match[2]), SECOND)
            if amount < 0:
                raise ValueError(f'"{text}" has a part below zero')
            total += amount
        except UnknownUnitError as error:
            raise ValueError(str(error)) from error
        at, count = match.end(), count + 1
    if not count or not 0 < total <= LONGEST_S:
        raise ValueError(f'"{text}" is no duration above zero, of a hundred years at most')
    return total


LARGEST_BYTES: Final = 10**18
LONGEST_S: Final = 100 * 366 * 86_400.0

_SIZES: Final = {
    **{"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
}


def parse_size(text: str) -> int:
    """Return the bytes of `32 MB` or `512 MiB`; a bare `0` is none at all.

    Raises:
        ValueError: It is no size.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or (not match[2] and float(match[1]) != 0):
        raise ValueError(f'"{text}" is no size')
    factor = _SIZES.get(match[2] or "B")
    size = float(match[1].replace("−", "-")) * (factor or 0)
    if factor is None or not 0 <= size <= LARGEST_BYTES:
        raise ValueError(f'"{text}" is no size')
    return int(size)


def split_quantity(text: str) -> tuple[float, str] | None:
    """Return the number and the unit of `30 %` or `-1 °C` (an empty unit for a bare number), None for other texts."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    return float(match[1].replace("−", "-")), match[2] or ""
