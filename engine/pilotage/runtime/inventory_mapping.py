"""One CSV or GeoJSON file of an inventory: its mapping is compiled to columns once, then run over the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from pilotage.language import findings as say
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Kind
from pilotage.model.values import Base
from pilotage.runtime import findings as site
from pilotage.runtime.forms import Report, as_list, as_map, as_scalar, as_text, as_texts, check_keys
from pilotage.runtime.inventory_drafts import (
    Cell,
    Column,
    Draft,
    Link,
    Membership,
    known_names,
    place_point,
    plain,
)
from pilotage.runtime.inventory_settings import Settings, read_settings
from pilotage.runtime.point_values import Convert, MisfitError
from pilotage.runtime.tables import (
    LATITUDE,
    LONGITUDE,
    Fill,
    Row,
    Table,
    Template,
    column_known,
    open_csv,
    open_geojson,
    parse_template,
)

_SEPARATORS: Final = re.compile(r"[\s,;|]+")


class Reader(Protocol):
    """What reads the whole inventory, as a file with a mapping sees it."""

    @property
    def report(self) -> Report:
        """All findings so far."""
        ...

    def say(self, finding: Finding) -> None:
        """Report a finding, unless its file has given many of the same code."""
        ...

    def kind_of(self, node: Node | None, owner: ScalarNode) -> Kind | None:
        """Return the kind that is written, or report why there is none."""
        ...

    def converters(self, kind: Kind) -> dict[str, Convert]:
        """Return the function for every point of a kind."""
        ...

    def keep(self, draft: Draft) -> bool:
        """Take an entity in; False when its id is no id, or is taken."""
        ...

    def link(self, link: Link) -> None:
        """Keep a reference or relation for the end."""
        ...

    def member(self, membership: Membership) -> None:
        """Keep a membership for the end."""
        ...


class FileMapping:
    """One CSV or GeoJSON file: its mapping is compiled to columns once, then run over the rows."""

    def __init__(self, reader: Reader, node: MapNode, file: Path, format_: str, at: Span) -> None:
        self.reader = reader
        self.report = reader.report
        self.node = node
        self.file = file
        self.format = format_
        self.at = at
        self._index: dict[str, int] = {}
        self._settings: Settings = {}

    def read(self) -> None:
        """Read the file; nothing of it is taken when its mapping has a mistake."""
        before = len(self.report.findings)
        owner = self.node.get("file")
        assert isinstance(owner, ScalarNode)
        kind = self.reader.kind_of(self.node.get("kind"), owner) if self.node.get("kind") else None
        table = self._table()
        if table is None or kind is None:
            return
        self._index = {column: place for place, column in enumerate(table.columns)}
        columns = self._columns(kind, table)
        self._settings = read_settings(self.node, kind, self.report)
        if len(self.report.findings) == before:
            self._rows(table, kind, *columns)

    def _table(self) -> Table | None:
        options = {key: self._text(key) for key in ("encoding", "delimiter")}
        if self.format == "geojson":
            return open_geojson(self.file, self.report.sources, self.reader.say, self.at)
        encoding, delimiter = options["encoding"] or "utf-8", options["delimiter"]
        delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
        if delimiter is not None and len(delimiter) != 1:
            node = self.node.get("delimiter")
            at = self.at if node is None else node.at
            self.reader.say(say.bad_choice(at, "delimiter", delimiter, (";", ",", "tab", "|")))
            return None
        return open_csv(
            self.file, encoding, delimiter, self.report.sources, self.reader.say, self.at
        )

    def _text(self, key: str) -> str | None:
        node = self.node.get(key)
        return None if node is None else as_text(node, key, self.report)

    # compiling

    def _columns(
        self, kind: Kind, table: Table
    ) -> tuple[
        Column | None, Column | None, Column | None, list[Column], list[Column], list[Column]
    ]:
        heads = [self._head(key, table) for key in ("id", "name", "zone")]
        values = self._values(kind, table)
        relations = self._relations(kind, table)
        owners = self._owners(table)
        return heads[0], heads[1], heads[2], values, relations, owners

    def _head(self, key: str, table: Table) -> Column | None:
        node = self.node.get(key)
        return None if node is None else self._column(key, node, table)

    def _column(self, name: str, node: Node, table: Table) -> Column | None:
        scalar = as_scalar(node, name, 'a template such as "{column}"', self.report)
        template = None if scalar is None else self._template(scalar)
        if scalar is None or template is None:
            return None
        if not column_known(template, table, scalar.at, self.reader.say):
            return None
        places = tuple(self._index[column] for column in template.columns)
        if not places:
            fixed = scalar.value
            return Column(name, lambda _row: fixed, ())
        return Column(name, template.bind(self._index), places)

    def _template(self, scalar: ScalarNode) -> Template | None:
        try:
            return parse_template(scalar.text)
        except ValueError as error:
            self.reader.say(site.bad_template(scalar.at, scalar.text, str(error)))
            return None

    def _values(self, kind: Kind, table: Table) -> list[Column]:
        converters = self.reader.converters(kind)
        node = as_map(self.node.get("values"), "values", self.report, '{POINT: "{column}"}')
        found: list[Column] = []
        for key, value in node.entries if node is not None else ():
            if key.text not in converters:
                names = known_names(kind)
                self.reader.say(site.unknown_point(key.at, key.text, kind.name, names))
                continue
            column = self._value(key.text, value, table)
            if column is not None:
                column.convert = converters[key.text]
                point = kind.point(key.text)
                if point is not None and point.type.base is Base.ENTITY:
                    column.kind = point.type.kind or "*"
                found.append(column)
        if self._decimal() == ",":
            numeric = (Base.NUMBER, Base.POSITION)
            points = {point.name for point in kind.points if point.type.base in numeric}
            for column in found:
                if column.name in points:
                    column.fill = _with_point(column.fill)
        if self.format == "geojson" and LATITUDE in self._index:
            found += self._own_position(kind, converters, found)
        return found

    def _decimal(self) -> str:
        written = self._text("decimal")
        if written not in (None, ".", ","):
            node = self.node.get("decimal")
            self.reader.say(
                say.bad_choice(node.at if node else self.at, "decimal", written or "", (".", ","))
            )
        return written or "."

    def _own_position(
        self, kind: Kind, converters: Mapping[str, Convert], found: Iterable[Column]
    ) -> list[Column]:
        """Return the column that fills the kind's place from the geometry, when the mapping does not."""
        name = place_point(kind)
        if not name or any(column.name == name for column in found):
            return []
        columns = (self._index[LATITUDE], self._index[LONGITUDE])
        return [Column(name, _pair(*columns), columns, converters[name])]

    def _value(self, name: str, node: Node, table: Table) -> Column | None:
        """Return how a value is filled: a template, two of them for a position, or {from, map, default}."""
        if isinstance(node, ListNode):
            parts = [self._column(name, item, table) for item in node.items]
            good = [part for part in parts if part is not None]
            if len(good) < len(parts):
                return None
            fills = [part.fill for part in good]
            places = tuple(place for part in good for place in part.columns)
            return Column(name, _several(fills), places)
        if not isinstance(node, MapNode):
            return self._column(name, node, table)
        required = {"from": 'from: "{column}"'}
        check_keys(node, f'"{name}"', ("from", "map", "default"), self.report, required)
        origin = node.get("from")
        column = None if origin is None else self._value(name, origin, table)
        mapped = as_map(node.get("map"), "map", self.report, "{WRITTEN: VALUE}")
        if column is not None:
            default = node.get("default")
            column.default = None if default is None else plain(default)
            column.map = {
                key.text: plain(value) for key, value in (mapped.entries if mapped else ())
            }
        return column

    def _relations(self, kind: Kind, table: Table) -> list[Column]:
        node = as_map(
            self.node.get("relations"), "relations", self.report, '{RELATION: "{column}"}'
        )
        found: list[Column] = []
        for key, value in node.entries if node is not None else ():
            if key.text not in kind.relations:
                self.reader.say(site.no_relation(key.at, key.text, kind.name, kind.relations))
                continue
            column = self._column(key.text, value, table)
            if column is not None:
                column.kind = kind.relations[key.text]
                found.append(column)
        return found

    def _owners(self, table: Table) -> list[Column]:
        node = self.node.get("member_of")
        items = node.items if isinstance(node, ListNode) else [] if node is None else [node]
        found: list[Column] = []
        example = '{relation: lamps, entity: "{segment}"}'
        for item in items:
            entry = as_map(item, "member_of", self.report, example)
            if entry is None:
                continue
            required = {"relation": "relation: lamps", "entity": 'entity: "{segment}"'}
            check_keys(entry, '"member_of"', ("relation", "entity"), self.report, required)
            relation, entity = entry.get("relation"), entry.get("entity")
            if relation is None or entity is None:
                continue
            word = as_text(relation, "relation", self.report)
            column = self._column(word or "", entity, table)
            if word and column is not None:
                found.append(column)
        return found

    def _filters(self, table: Table) -> list[tuple[int, frozenset[str]]]:
        node = as_map(self.node.get("where"), "where", self.report, "{COLUMN: VALUE}")
        found: list[tuple[int, frozenset[str]]] = []
        for key, value in node.entries if node is not None else ():
            if key.text not in self._index:
                name = table.file.name
                self.reader.say(site.missing_column(key.at, key.text, name, table.columns))
                continue
            nodes = value.items if isinstance(value, ListNode) else [value]
            words = frozenset(_word(item) for item in nodes if isinstance(item, ScalarNode))
            found.append((self._index[key.text], words))
        return found

    # running

    def _rows(
        self,
        table: Table,
        kind: Kind,
        id_: Column | None,
        name: Column | None,
        zone: Column | None,
        values: list[Column],
        relations: list[Column],
        owners: list[Column],
    ) -> None:
        before = len(self.report.findings)
        filters = self._filters(table)
        only_node = as_list(self.node.get("only"), "only", self.report, "[L-1, L-2]")
        only = (
            {item.text for item in as_texts(only_node, "only", self.report)} if only_node else None
        )
        if id_ is None or len(self.report.findings) > before:
            return
        reader, count = self.reader, 0
        for line, row in table.rows():
            if any(_word_of(row[place]) not in words for place, words in filters):
                continue
            entity = str(id_.fill(row))
            if any(_word_of(row[place]) == "" for place in id_.columns):
                entity = ""
            if only is not None and entity not in only:
                continue
            count += 1
            draft = Draft(entity, kind, Cell(table, line, id_.columns), settings=self._settings)
            if not reader.keep(draft):
                continue
            if name is not None:
                draft.name = str(name.fill(row)).strip()
            if zone is not None:
                draft.zone = str(zone.fill(row)).strip()
            for column in values:
                self._fill(draft, column, table, line, row)
            self._connect(draft, relations, owners, table, line, row)
        if not count and len(self.report.findings) == before:
            self.reader.say(site.no_rows(self.at, table.file.name))

    def _fill(self, draft: Draft, column: Column, table: Table, line: int, row: Row) -> None:
        written = column.fill(row)
        if column.map:
            written = column.map.get(_word_of(written), written)
        if written == "" or written is None or written == ("", ""):
            written = column.default
            if written is None:
                return
        assert column.convert is not None
        try:
            value = column.convert(written)
        except MisfitError as misfit:
            at = table.place(line, column.columns)
            point = f"{draft.kind.name}.{column.name}"
            self.reader.say(site.bad_value(at, point, misfit.why, misfit.mend))
            return
        draft.values[column.name] = value
        if column.kind:
            kind = "" if column.kind == "*" else column.kind
            place = Cell(table, line, column.columns)
            self.reader.link(Link(draft.id, column.name, str(value), kind, place))

    def _connect(
        self,
        draft: Draft,
        relations: list[Column],
        owners: list[Column],
        table: Table,
        line: int,
        row: Row,
    ) -> None:
        for column in relations:
            place = Cell(table, line, column.columns)
            ids = [word for word in _SEPARATORS.split(str(column.fill(row))) if word]
            if ids:  # an empty field says nothing; a YAML entry can say "none" by an empty list
                draft.relations[column.name] = ids
            for target in ids:
                self.reader.link(Link(draft.id, column.name, target, column.kind, place))
        for column in owners:
            owner = str(column.fill(row))
            if owner:
                place = Cell(table, line, column.columns)
                self.reader.member(Membership(draft, column.name, owner, place))


def _pair(latitude: int, longitude: int) -> Fill:
    return lambda row: (row[latitude], row[longitude])


def _several(fills: list[Fill]) -> Fill:
    return lambda row: tuple(fill(row) for fill in fills)


def _with_point(fill: Fill) -> Fill:
    """Return a fill that reads 47,32 as 47.32."""

    def filled(row: Row) -> Any:
        value = fill(row)
        if isinstance(value, tuple):
            return tuple(v.replace(",", ".") if isinstance(v, str) else v for v in value)
        return value.replace(",", ".") if isinstance(value, str) else value

    return filled


def _word(node: ScalarNode) -> str:
    return "" if node.is_null else node.text


def _word_of(value: Any) -> str:
    """Return a field as text, as a filter or a map names it."""
    if type(value) is str:
        return value.strip()
    return str(value).lower() if isinstance(value, bool) else str(value)
