"""A mapping for a file of entities, guessed from the names of its columns: what `pilotage inventory import` proposes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.model.entities import Access, Kind
from pilotage.runtime.inventory_drafts import place_point
from pilotage.runtime.tables import FEATURE_ID, LATITUDE, LONGITUDE

_IDS: Final = (
    "id",
    "identifier",
    "identifiant",
    "code",
    "ref",
    "reference",
    "number",
    "numero",
    "num",
    "no",
)
_NAMES: Final = ("name", "nom", "label", "libelle", "title", "designation")
_ZONES: Final = ("zone", "commune", "district", "quartier", "town", "city", "ville")
_LATITUDES: Final = ("latitude", "lat", "y")
_LONGITUDES: Final = ("longitude", "lon", "lng", "long", "x")
_ODD: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapping, and what was left over.

    Attributes:
        entry: As it would stand under `inventory:`, plain YAML types.
        unused: Columns that nothing of the kind is called like.
        problem: Why it cannot be used as it is; empty when it can.
    """

    entry: Mapping[str, object]
    unused: tuple[str, ...]
    problem: str = ""


def propose(file: str, columns: Sequence[str], kind: Kind, given: Mapping[str, str]) -> Proposal:
    """Return a mapping of a file's columns to a kind.

    Args:
        file: As it would be written under `inventory:`.
        columns: Of the file; those of GeoJSON begin with `@` where they are no properties.
        kind: Of its entities.
        given: Column by `id`, `name`, `zone`, point or relation, as somebody has decided; goes before any guess.
    """
    guess = _Guess(columns)
    id_ = given.get("id") or guess.take(FEATURE_ID) or guess.first((*_IDS, f"{kind.name}id"))
    name = given.get("name") or guess.first(_NAMES)
    zone = given.get("zone") or guess.first(_ZONES)
    values = dict(_values(kind, guess, given))
    relations = {
        relation: f"{{{column}}}"
        for relation in kind.relations
        if (column := given.get(relation) or guess.first((relation,)))
    }
    entry: dict[str, object] = {"file": file, "kind": kind.name, "id": f"{{{id_}}}" if id_ else ""}
    for key, column in (("name", name), ("zone", zone)):
        if column:
            entry[key] = f"{{{column}}}"
    if values:
        entry["values"] = values
    if relations:
        entry["relations"] = relations
    used = {id_, name, zone, *given.values()}
    unused = tuple(c for c in guess.left if c not in used and not c.startswith("@"))
    problem = "" if id_ else 'no column looks like an id; name it: --map "id=COLUMN"'
    return Proposal(entry, unused, problem)


class _Guess:
    """Columns that nobody has taken yet."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.left = [column for column in columns if column]

    def take(self, column: str) -> str:
        """Take a column by its exact name; empty when it is not there."""
        if column not in self.left:
            return ""
        self.left.remove(column)
        return column

    def first(self, names: Sequence[str]) -> str:
        """Take the first column that is called like one of the names; empty when none is."""
        for name in names:
            for column in self.left:
                if _bare(column) == _bare(name):
                    return self.take(column)
        return ""


def _values(kind: Kind, guess: _Guess, given: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    place = place_point(kind)
    for point in kind.points:
        if point.name in given:
            yield point.name, f"{{{given[point.name]}}}"
        elif point.name == place:
            # Of GeoJSON the place is filled from the geometry by itself.
            if LATITUDE not in guess.left and LONGITUDE not in guess.left:
                latitude, longitude = guess.first(_LATITUDES), guess.first(_LONGITUDES)
                if latitude and longitude:
                    yield point.name, [f"{{{latitude}}}", f"{{{longitude}}}"]
        elif point.access is Access.FIXED:
            column = guess.first((point.name, point.name.rpartition(".")[2]))
            if column:
                yield point.name, f"{{{column}}}"


def _bare(word: str) -> str:
    """Return a name without accents, case and signs: "N° de commune" is "ndecommune"."""
    plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode("ascii")
    return _ODD.sub("", plain.lower())
