"""Rows of CSV and GeoJSON files: columns by name, and the place of every field.

A file is read once and row by row; its text is kept only when a finding has to show a line of it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilotage.language.findings import did_you_mean
from pilotage.model.diagnostics import Finding, Span
from pilotage.runtime import findings as site
from pilotage.runtime.forms import neighbours

DELIMITERS: Final = (";", ",", "\t", "|")
LATITUDE: Final = "@latitude"
LONGITUDE: Final = "@longitude"
FEATURE_ID: Final = "@id"

_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

Row = Sequence[Any]
Fill = Callable[[Row], Any]
"""Gives what a template says for a row: the field itself when it is one column, else a text."""


@dataclass(slots=True)
class Table:
    """A file with columns; `rows` reads it, once. Of GeoJSON it has the geometries too, in the order of the rows."""

    file: Path
    columns: Sequence[str]
    encoding: str
    delimiter: str
    report: Callable[[Finding], None]
    sources: dict[str, str]
    features: Sequence[tuple[int, Row]] | None = None
    geometries: Sequence[Any] = ()
    _lines: list[str] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The file, as findings name it."""
        return str(self.file)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Yield each row with its line; a feature of GeoJSON has its number below zero."""
        if self.features is not None:
            yield from self.features
            return
        width = len(self.columns)
        with self.file.open(newline="", encoding=self.encoding) as lines:
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            next(reader, None)
            last = reader.line_num
            try:
                for row in reader:
                    line, last = last + 1, reader.line_num
                    if len(row) == width:
                        yield line, row
                    elif row and any(row):
                        at = Span(self.name, line, 1, 1)
                        self._show()
                        self.report(site.row_too_short(at, len(row), width))
            except csv.Error as error:
                self._show()
                self.report(site.csv_broken(Span(self.name, max(last + 1, 1), 1), str(error)))

    def place(self, line: int, columns: Sequence[int] = ()) -> Span:
        """Return where a field stands, or the row when it is made of several fields."""
        if line < 0:
            return Span(self.name, 1, 1, 1)
        text = self._line(line)
        fields = _fields(text, self.delimiter)
        if len(columns) == 1 and columns[0] < len(fields):
            start, end = fields[columns[0]]
            return Span(self.name, line, start + 1, max(1, end - start))
        return Span(self.name, line, 1, max(1, len(text)))

    def _line(self, line: int) -> str:
        lines = self._show()
        return lines[line - 1] if line <= len(lines) else ""

    def _show(self) -> list[str]:
        if self._lines is None:
            text = self.file.read_text(encoding=self.encoding)
            self.sources[self.name] = text
            self._lines = text.splitlines()
        return self._lines


@dataclass(frozen=True, slots=True)
class Template:
    """`L-{number}`: fixed texts and columns in turn."""

    text: str
    parts: tuple[tuple[str, str | None], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        return tuple(column for _, column in self.parts if column is not None)

    def bind(self, index: Mapping[str, int]) -> Fill:
        """Return the function that fills it from a row; all its columns must be in the index."""
        if len(self.parts) == 1 and not self.parts[0][0] and self.parts[0][1] is not None:
            return _field(index[self.parts[0][1]])
        pieces = [(text, None if column is None else index[column]) for text, column in self.parts]
        if all(place is None for _, place in pieces):
            fixed = "".join(text for text, _ in pieces)
            return lambda _row: fixed
        return _joined(pieces)


def parse_template(text: str) -> Template:
    """Return the parts of a template; `{{` and `}}` are braces themselves.

    Raises:
        ValueError: A brace stands alone, or no column is named in a pair.
    """
    parts: list[tuple[str, str | None]] = []
    literal, at = "", 0
    for match in _BRACES.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is None:
            raise ValueError(f'the "{match[0]}" stands alone')
        elif not match[1].strip():
            raise ValueError("{} names no column")
        else:
            parts.append((literal, match[1].strip()))
            literal = ""
    literal += text[at:]
    if literal or not parts:
        parts.append((literal, None))
    return Template(text, tuple(parts))


def open_csv(
    file: Path,
    encoding: str,
    delimiter: str | None,
    sources: dict[str, str],
    report: Callable[[Finding], None],
    at: Span,
) -> Table | None:
    """Return a CSV file as a table; None when it cannot be read, which is reported."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        report(site.file_unreadable(at, str(file), error, neighbours(file)))
        return None
    try:
        codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        text = raw.decode(codec)
    except LookupError:
        report(site.unknown_encoding(at, encoding))
        return None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        place = Span(str(file), line, error.start - raw.rfind(b"\n", 0, error.start))
        report(site.not_encoded(place, file.name, encoding, raw[error.start]))
        return None
    head = text[: text.find("\n")] if "\n" in text else text
    used = delimiter or max(DELIMITERS, key=head.count)
    columns = [
        column.strip() for column in next(csv.reader([head.rstrip("\r")], delimiter=used), [])
    ]
    table = Table(file, columns, codec, used, report, sources)
    for number, column in enumerate(columns):
        if column and column in columns[:number]:
            report(site.header_twice(table.place(1, [number]), column))
    return table


def open_geojson(
    file: Path, sources: dict[str, str], report: Callable[[Finding], None], at: Span
) -> Table | None:
    """Return a GeoJSON file as a table: properties are columns, and so are @id, @latitude and @longitude.

    Source: RFC 7946, 3.
    """
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        report(site.file_unreadable(at, str(file), error, neighbours(file)))
        return None
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        report(
            site.geojson_broken(
                Span(str(file), line, getattr(error, "colno", 1)), file.name, str(error)
            )
        )
        return None
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        report(
            site.geojson_broken(Span(str(file), 1, 1), file.name, 'it has no list of "features"')
        )
        return None
    records = [_flat(feature) for feature in features]
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [
        (-number, [record.get(key, "") for key in columns])
        for number, record in enumerate(records, 1)
    ]
    geometries = [feature.get("geometry") for feature in features]
    return Table(file, columns, "utf-8", ",", report, sources, rows, geometries)


def column_known(
    template: Template, table: Table, at: Span, report: Callable[[Finding], None]
) -> bool:
    """Return True when the file has all columns of a template; reports the others."""
    missing = [column for column in template.columns if column not in table.columns]
    for column in missing:
        report(site.missing_column(at, column, table.file.name, table.columns))
    return not missing


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `did you mean "x"?` among many ids, looking only at those of about the same length."""
    near = [name for name in known if abs(len(name) - len(word)) <= 1 and name[:1] == word[:1]]
    return did_you_mean(word, near[:2000])


def _field(place: int) -> Fill:
    def fill(row: Row) -> Any:
        value = row[place]
        return value.strip() if type(value) is str else value

    return fill


def _joined(pieces: Sequence[tuple[str, int | None]]) -> Fill:
    def fill(row: Row) -> str:
        return "".join(
            text if place is None else f"{text}{str(row[place]).strip()}" for text, place in pieces
        )

    return fill


def _fields(line: str, delimiter: str) -> list[tuple[int, int]]:
    """Return start and end of each field of a line."""
    found: list[tuple[int, int]] = []
    start, quoted = 0, False
    for at, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and not quoted:
            found.append((start, at))
            start = at + 1
    found.append((start, len(line)))
    return found


def _flat(feature: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    _flatten(feature.get("properties") or {}, "", record)
    if "id" in feature:
        record[FEATURE_ID] = feature["id"]
    point = _middle(feature.get("geometry"))
    if point is not None:
        record[LONGITUDE], record[LATITUDE] = point
    return record


def _flatten(properties: Any, prefix: str, record: dict[str, Any]) -> None:
    if not isinstance(properties, dict):
        return
    for key, value in properties.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{key}.", record)
        else:
            record[prefix + str(key)] = "" if value is None else value


def _middle(geometry: Any) -> tuple[float, float] | None:
    """Return longitude and latitude of a geometry; None when it is none, or its coordinates are no numbers.

    Source: RFC 7946, 3.1.1: a position is an array of numbers.
    """
    found = _vertex(geometry)
    if found is None or any(type(number) not in (int, float) for number in found):
        return None
    return found


def _vertex(geometry: Any) -> tuple[Any, Any] | None:
    """Return longitude and latitude of a point, of the middle vertex of a line, of the mean vertex of an outline."""
    if not isinstance(geometry, dict):
        return None
    coordinates: Any = geometry.get("coordinates")
    type_ = geometry.get("type")
    try:
        while type_ in ("Polygon", "MultiLineString", "MultiPolygon") and isinstance(
            coordinates[0][0], list
        ):
            coordinates = coordinates[0]
        if type_ == "Point":
            return coordinates[0], coordinates[1]
        if type_ in ("LineString", "MultiLineString"):
            vertex = coordinates[len(coordinates) // 2]
            return vertex[0], vertex[1]
        corners = coordinates[:-1] or coordinates
        longitude = sum(corner[0] for corner in corners) / len(corners)
        return longitude, sum(corner[1] for corner in corners) / len(corners)
    except (TypeError, IndexError, KeyError, ZeroDivisionError):
        return None
