"""The entities of the city, from YAML, CSV and GeoJSON, checked against the kinds; every mistake at its place.

An entry is a path (a YAML file, or a folder of them), a map of entities, or a file with a mapping.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from pilotage.language import findings as say
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, load
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Access, EntitySpec, Kind
from pilotage.model.values import Base, Value
from pilotage.runtime import findings as site
from pilotage.runtime.forms import (
    Report,
    as_list,
    as_map,
    as_scalar,
    as_text,
    as_texts,
    check_keys,
    neighbours,
    shape,
)
from pilotage.runtime.point_values import Convert, MisfitError, converter
from pilotage.runtime.tables import (
    LATITUDE,
    LONGITUDE,
    Fill,
    Row,
    Table,
    Template,
    column_known,
    nearest,
    open_csv,
    open_geojson,
    parse_template,
)

MAX_ALIKE: Final = 10
"""Findings of one code that one file may give; the rest is counted."""

YAML_SUFFIXES: Final = (".yaml", ".yml")
_ID: Final = re.compile(r"[^\W_][\w:-]*")
_SEPARATORS: Final = re.compile(r"[\s,;|]+")
_FILE_KEYS: Final = ("file", "format", "kind", "zone", "values")
_MAPPING_KEYS: Final = (
    *("file", "format", "kind", "id", "name", "zone", "values", "relations", "member_of"),
    *("where", "only", "delimiter", "encoding", "decimal"),
)
_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".geojson": "geojson",
    ".json": "geojson",
}


class Place(Protocol):
    """Where something was written; found out only when somebody asks."""

    @property
    def at(self) -> Span:
        """File, line and column."""
        ...


@dataclass(frozen=True, slots=True)
class Inventory:
    """What reading the inventory gave: the entities in order, and all findings with the texts they show."""

    entities: tuple[EntitySpec, ...]
    findings: list[Finding]
    sources: dict[str, str]
    _places: Mapping[str, Place] = field(default_factory=dict, repr=False)

    @property
    def has_errors(self) -> bool:
        """True when the inventory must not be used."""
        return any(finding.is_error for finding in self.findings)

    def place(self, entity: str) -> Span | None:
        """Return where an entity is written."""
        found = self._places.get(entity)
        return None if found is None else found.at


def read_inventory(entries: ListNode | None, folder: Path, kinds: Mapping[str, Kind]) -> Inventory:
    """Return the entities of an inventory and everything that is wrong with it.

    Args:
        entries: What stands under `inventory:`; None is an empty one.
        folder: Relative paths begin there.
        kinds: From the plugins, by name.
    """
    reader = _Reader(kinds)
    for entry in entries.items if entries is not None else ():
        reader.entry(entry, folder)
    reader.check_links()
    return reader.inventory()


def read_inventory_text(
    text: str, kinds: Mapping[str, Kind], file: str = "<inventory>"
) -> Inventory:
    """Return the entities of an inventory that is given as YAML text, a map of entities or a list of entries."""
    reader = _Reader(kinds)
    node, found = load(text, file)
    reader.report.findings.extend(found)
    reader.report.sources[file] = text
    reader.document(node, Path())
    reader.check_links()
    return reader.inventory()


# ── what is being read ───────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Draft:
    id: str
    kind: Kind
    place: Place
    name: str = ""
    zone: str = ""
    values: dict[str, Value] = field(default_factory=dict)
    relations: dict[str, list[str]] = field(default_factory=dict)

    def spec(self) -> EntitySpec:
        """Return the entity as it is from now on."""
        relations = {name: tuple(dict.fromkeys(ids)) for name, ids in self.relations.items()}
        return EntitySpec(self.id, self.kind.name, self.name, self.values, relations, self.zone)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A place in a row."""

    table: Table
    line: int
    columns: tuple[int, ...] = ()

    @property
    def at(self) -> Span:
        """The field, or the row."""
        return self.table.place(self.line, self.columns)


@dataclass(frozen=True, slots=True)
class _Link:
    """A reference or relation, to be checked when all entities are known."""

    owner: str
    point: str
    target: str
    kind: str
    place: Place


@dataclass(frozen=True, slots=True)
class _Membership:
    """A member that names its owner."""

    member: _Draft
    relation: str
    owner: str
    place: Place


@dataclass(slots=True)
class _Column:
    """How one point, relation or owner is filled from a row."""

    name: str
    fill: Fill
    columns: tuple[int, ...]
    convert: Convert | None = None
    kind: str = ""
    map: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None


class _Reader:
    """Reads entries in order; keeps what is good, reports what is not."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds
        self.report = Report()
        self._drafts: dict[str, _Draft] = {}
        self._links: list[_Link] = []
        self._memberships: list[_Membership] = []
        self._converters: dict[str, dict[str, Convert]] = {}
        self._open: list[Path] = []
        self._alike: Counter[tuple[str, str]] = Counter()
        self._last: dict[tuple[str, str], Span] = {}

    def inventory(self) -> Inventory:
        """Return what was read."""
        for (file, code), count in self._alike.items():
            if count > MAX_ALIKE:
                at = self._last[file, code]
                self.report.add(site.more_like_it(at, code, count - MAX_ALIKE))
        return Inventory(
            tuple(draft.spec() for draft in self._drafts.values()),
            sorted(self.report.findings, key=lambda finding: finding.at),
            self.report.sources,
            {id_: draft.place for id_, draft in self._drafts.items()},
        )

    def say(self, finding: Finding) -> None:
        """Report a finding, unless its file has given many of the same code; those are counted."""
        key = (finding.at.file, finding.code)
        self._alike[key] += 1
        if self._alike[key] <= MAX_ALIKE:
            self.report.add(finding)
            self._last[key] = finding.at

    # entries

    def entry(self, node: Node, folder: Path) -> None:
        """Read one entry: a path, a file with a mapping, or entities."""
        if isinstance(node, ScalarNode) and not node.is_null:
            self._path(folder / node.text, node)
        elif isinstance(node, MapNode) and isinstance(node.get("file"), ScalarNode):
            self._file(node, folder)
        elif isinstance(node, MapNode):
            self._entities(node, None)
        else:
            self.say(site.entry_shape(node.at, shape(node)))

    def document(self, node: Node | None, folder: Path, defaults: MapNode | None = None) -> None:
        """Read a YAML file's content: a map of entities, or a list of entries."""
        if isinstance(node, ListNode):
            for item in node.items:
                self.entry(item, folder)
        elif isinstance(node, MapNode):
            self._entities(node, defaults)
        elif node is not None and not node.is_null:
            self.say(site.entry_shape(node.at, shape(node)))

    def _path(self, path: Path, named: ScalarNode, defaults: MapNode | None = None) -> None:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix in YAML_SUFFIXES and file.is_file():
                    self._yaml(file, named.at, defaults)
        elif not path.exists():
            self.say(site.path_missing(named.at, named.text, neighbours(path)))
        elif path.suffix in YAML_SUFFIXES:
            self._yaml(path, named.at, defaults)
        elif path.suffix in _FORMATS:
            self.say(
                say.missing_key(
                    named.at,
                    "kind",
                    f'"{path.name}"',
                    f"a mapping: {{file: {named.text}, kind: KIND, …}}",
                )
            )
        else:
            self.say(site.unknown_format(named.at, path.suffix.removeprefix(".")))

    def _yaml(self, file: Path, at: Span, defaults: MapNode | None) -> None:
        if file in self._open:  # a list that names its own folder
            return
        self._open.append(file)
        self.document(self.report.read_yaml(file, at), file.parent, defaults)
        self._open.pop()

    def _file(self, node: MapNode, folder: Path) -> None:
        written = node.get("file")
        assert isinstance(written, ScalarNode)
        format_ = self._format(node, folder / written.text)
        if format_ == "yaml":
            check_keys(node, "the entry of a YAML file", _FILE_KEYS, self.report)
            self._path(folder / written.text, written, node)
        elif format_:
            required = {"kind": "kind: KIND", "id": 'id: "L-{number}"'}
            check_keys(node, "the mapping of a file", _MAPPING_KEYS, self.report, required)
            _Mapping(self, node, folder / written.text, format_, written.at).read()

    def _format(self, node: MapNode, file: Path) -> str:
        word = node.get("format")
        written = as_text(word, "format", self.report) if word is not None else None
        if file.is_dir() or (written is None and file.suffix in YAML_SUFFIXES):
            return "yaml"
        format_ = written or _FORMATS.get(file.suffix.lower(), "")
        if format_ not in ("csv", "geojson", "yaml"):
            at = node.at if word is None else word.at
            self.say(site.unknown_format(at, written or file.suffix.removeprefix(".")))
            return ""
        return format_

    # entities in YAML

    def _entities(self, table: MapNode, defaults: MapNode | None) -> None:
        for key, value in table.entries:
            if _is_empty(value):
                self.say(site.no_kind(key.at, key.text))
                self._remember(key)
                continue
            node = as_map(value, key.text, self.report, "{kind: KIND, ...}")
            if node is not None:
                self._entity(key, node, defaults)

    def _entity(self, key: ScalarNode, node: MapNode, defaults: MapNode | None) -> None:
        kind = self.kind_of(node.get("kind") or (defaults.get("kind") if defaults else None), key)
        if kind is None:
            self._remember(key)
            return
        draft = _Draft(key.text, kind, key)
        if not self.keep(draft):
            return
        if defaults is not None:
            zone = defaults.get("zone")
            draft.zone = (as_text(zone, "zone", self.report) or "") if zone is not None else ""
            self._nested(draft, defaults.get("values"), "values")
        for name, value in node.entries:
            self._attribute(draft, name, value)

    def _attribute(self, draft: _Draft, name: ScalarNode, value: Node) -> None:
        match name.text:
            case "kind":
                pass
            case "name":
                draft.name = as_text(value, "name", self.report) or ""
            case "values" | "relations" if draft.kind.point(name.text) is None:
                self._nested(draft, value, name.text)
            case "zone":
                draft.zone = as_text(value, "zone", self.report) or ""
                if draft.kind.point("zone") is not None:
                    self._value(draft, name, value)
            case _:
                self._value(draft, name, value)

    def _nested(self, draft: _Draft, node: Node | None, key: str) -> None:
        table = as_map(node, key, self.report)
        for name, value in table.entries if table is not None else ():
            self._value(draft, name, value)

    def _value(self, draft: _Draft, name: ScalarNode, value: Node) -> None:
        kind = draft.kind
        if name.text in kind.relations:
            target = kind.relations[name.text]
            ids = [] if _is_empty(value) else as_texts(value, name.text, self.report)
            draft.relations[name.text] = [scalar.text for scalar in ids]
            self._links += [_Link(draft.id, name.text, i.text, target, i) for i in ids]
            return
        convert = self.converters(kind).get(name.text)
        if convert is None:
            self.say(site.unknown_point(name.at, name.text, kind.name, known_names(kind)))
            return
        if isinstance(value, ScalarNode) and value.is_null:
            self.say(say.empty_value(name.at, name.text, "a value"))
            return
        self.put(draft, name.text, _plain(value), convert, value)

    # what YAML and rows have in common

    def kind_of(self, node: Node | None, owner: ScalarNode) -> Kind | None:
        """Return the kind that is written, or report why there is none."""
        if node is None:
            self.say(site.no_kind(owner.at, owner.text))
            return None
        word = as_text(node, "kind", self.report)
        if word is None:
            return None
        kind = self.kinds.get(word)
        if kind is None:
            self.say(site.unknown_kind(node.at, word, self.kinds))
        return kind

    def converters(self, kind: Kind) -> dict[str, Convert]:
        """Return the function for every point of a kind."""
        if kind.name not in self._converters:
            self._converters[kind.name] = {point.name: converter(point) for point in kind.points}
        return self._converters[kind.name]

    def keep(self, draft: _Draft) -> bool:
        """Take an entity in; False when its id is no id, or is taken."""
        if not _ID.fullmatch(draft.id):
            self.say(site.bad_id(draft.place.at, draft.id))
            return False
        first = self._drafts.setdefault(draft.id, draft)
        if first is not draft:
            self.say(site.duplicate_id(draft.place.at, draft.id, first.place.at))
            return False
        return True

    def put(self, draft: _Draft, name: str, written: Any, convert: Convert, place: Place) -> None:
        """Give an entity a value, or report why the point cannot hold it."""
        try:
            value = convert(written)
        except MisfitError as misfit:
            point = f"{draft.kind.name}.{name}"
            self.say(site.bad_value(place.at, point, misfit.why, misfit.mend))
            return
        draft.values[name] = value
        point_spec = draft.kind.point(name)
        if point_spec is not None and point_spec.type.base is Base.ENTITY:
            self.link(_Link(draft.id, name, str(value), point_spec.type.kind, place))

    def link(self, link: _Link) -> None:
        """Keep a reference or relation for the end."""
        self._links.append(link)

    def member(self, membership: _Membership) -> None:
        """Keep a membership for the end."""
        self._memberships.append(membership)

    def _remember(self, key: ScalarNode) -> None:
        """Know an id whose kind is wrong, so that what leads to it is not reported too."""
        self._drafts.setdefault(key.text, _Draft(key.text, _NO_KIND, key))

    # when all entities are known

    def check_links(self) -> None:
        """Fill the relations by their members, and report what leads nowhere or to a thing of another kind."""
        for link in self._links:
            self._check(link.owner, link.point, link.target, link.kind, link.place)
        for membership in self._memberships:
            self._join(membership)
        self._drafts = {id_: d for id_, d in self._drafts.items() if d.kind is not _NO_KIND}

    def _check(self, owner: str, point: str, target: str, kind: str, place: Place) -> None:
        found = self._drafts.get(target)
        if found is None:
            hint = nearest(target, tuple(self._drafts)) if self._may_say("C216", place) else ""
            self.say(site.missing_entity(place.at, owner, point, target, hint))
        elif kind and found.kind.name != kind and found.kind is not _NO_KIND:
            self.say(site.wrong_target(place.at, owner, point, target, found.kind.name, kind))

    def _may_say(self, code: str, place: Place) -> bool:
        return self._alike[place.at.file, code] < MAX_ALIKE

    def _join(self, membership: _Membership) -> None:
        owner = self._drafts.get(membership.owner)
        member = membership.member
        if owner is None:
            self._check(member.id, "member_of", membership.owner, "", membership.place)
            return
        if owner.kind is _NO_KIND:
            return
        target = owner.kind.relations.get(membership.relation)
        if target is None:
            known = owner.kind.relations
            at = membership.place.at
            self.say(site.no_relation(at, membership.relation, owner.kind.name, known))
        elif target and target != member.kind.name:
            at = membership.place.at
            found = member.kind.name
            self.say(site.wrong_target(at, owner.id, membership.relation, member.id, found, target))
        else:
            owner.relations.setdefault(membership.relation, []).append(member.id)


_NO_KIND: Final = Kind("", "", ())


# ── files with a mapping ─────────────────────────────────────────────────────────────────────


class _Mapping:
    """One CSV or GeoJSON file: its mapping is compiled to columns once, then run over the rows."""

    def __init__(self, reader: _Reader, node: MapNode, file: Path, format_: str, at: Span) -> None:
        self.reader = reader
        self.report = reader.report
        self.node = node
        self.file = file
        self.format = format_
        self.at = at
        self._index: dict[str, int] = {}

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
        _Column | None, _Column | None, _Column | None, list[_Column], list[_Column], list[_Column]
    ]:
        heads = [self._head(key, table) for key in ("id", "name", "zone")]
        values = self._values(kind, table)
        relations = self._relations(kind, table)
        owners = self._owners(table)
        return heads[0], heads[1], heads[2], values, relations, owners

    def _head(self, key: str, table: Table) -> _Column | None:
        node = self.node.get(key)
        return None if node is None else self._column(key, node, table)

    def _column(self, name: str, node: Node, table: Table) -> _Column | None:
        scalar = as_scalar(node, name, 'a template such as "{column}"', self.report)
        template = None if scalar is None else self._template(scalar)
        if scalar is None or template is None:
            return None
        if not column_known(template, table, scalar.at, self.reader.say):
            return None
        places = tuple(self._index[column] for column in template.columns)
        if not places:
            fixed = scalar.value
            return _Column(name, lambda _row: fixed, ())
        return _Column(name, template.bind(self._index), places)

    def _template(self, scalar: ScalarNode) -> Template | None:
        try:
            return parse_template(scalar.text)
        except ValueError as error:
            self.reader.say(site.bad_template(scalar.at, scalar.text, str(error)))
            return None

    def _values(self, kind: Kind, table: Table) -> list[_Column]:
        converters = self.reader.converters(kind)
        node = as_map(self.node.get("values"), "values", self.report, '{POINT: "{column}"}')
        found: list[_Column] = []
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
        self, kind: Kind, converters: Mapping[str, Convert], found: Iterable[_Column]
    ) -> list[_Column]:
        """Return the column that fills the kind's place from the geometry, when the mapping does not.

        The place is `position`, or else the only fixed position that the kind has.
        """
        places = [point for point in kind.points if point.type.base is Base.POSITION]
        fixed = [point.name for point in places if point.access is Access.FIXED]
        named = any(point.name == "position" for point in places)
        name = "position" if named else fixed[0] if len(fixed) == 1 else ""
        if not name or any(column.name == name for column in found):
            return []
        columns = (self._index[LATITUDE], self._index[LONGITUDE])
        return [_Column(name, _pair(*columns), columns, converters[name])]

    def _value(self, name: str, node: Node, table: Table) -> _Column | None:
        """Return how a value is filled: a template, two of them for a position, or {from, map, default}."""
        if isinstance(node, ListNode):
            parts = [self._column(name, item, table) for item in node.items]
            good = [part for part in parts if part is not None]
            if len(good) < len(parts):
                return None
            fills = [part.fill for part in good]
            places = tuple(place for part in good for place in part.columns)
            return _Column(name, _several(fills), places)
        if not isinstance(node, MapNode):
            return self._column(name, node, table)
        required = {"from": 'from: "{column}"'}
        check_keys(node, f'"{name}"', ("from", "map", "default"), self.report, required)
        origin = node.get("from")
        column = None if origin is None else self._value(name, origin, table)
        mapped = as_map(node.get("map"), "map", self.report, "{WRITTEN: VALUE}")
        if column is not None:
            default = node.get("default")
            column.default = None if default is None else _plain(default)
            column.map = {
                key.text: _plain(value) for key, value in (mapped.entries if mapped else ())
            }
        return column

    def _relations(self, kind: Kind, table: Table) -> list[_Column]:
        node = as_map(
            self.node.get("relations"), "relations", self.report, '{RELATION: "{column}"}'
        )
        found: list[_Column] = []
        for key, value in node.entries if node is not None else ():
            if key.text not in kind.relations:
                self.reader.say(site.no_relation(key.at, key.text, kind.name, kind.relations))
                continue
            column = self._column(key.text, value, table)
            if column is not None:
                column.kind = kind.relations[key.text]
                found.append(column)
        return found

    def _owners(self, table: Table) -> list[_Column]:
        node = self.node.get("member_of")
        items = node.items if isinstance(node, ListNode) else [] if node is None else [node]
        found: list[_Column] = []
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
        id_: _Column | None,
        name: _Column | None,
        zone: _Column | None,
        values: list[_Column],
        relations: list[_Column],
        owners: list[_Column],
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
            draft = _Draft(entity, kind, _Cell(table, line, id_.columns))
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

    def _fill(self, draft: _Draft, column: _Column, table: Table, line: int, row: Row) -> None:
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
            place = _Cell(table, line, column.columns)
            self.reader.link(_Link(draft.id, column.name, str(value), kind, place))

    def _connect(
        self,
        draft: _Draft,
        relations: list[_Column],
        owners: list[_Column],
        table: Table,
        line: int,
        row: Row,
    ) -> None:
        for column in relations:
            place = _Cell(table, line, column.columns)
            ids = [word for word in _SEPARATORS.split(str(column.fill(row))) if word]
            draft.relations[column.name] = ids
            for target in ids:
                self.reader.link(_Link(draft.id, column.name, target, column.kind, place))
        for column in owners:
            owner = str(column.fill(row))
            if owner:
                place = _Cell(table, line, column.columns)
                self.reader.member(_Membership(draft, column.name, owner, place))


def known_names(kind: Kind) -> list[str]:
    """Return what an entity of a kind may have: its points and relations."""
    return [*(point.name for point in kind.points), *kind.relations]


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


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null


def _plain(node: Node) -> Any:
    if isinstance(node, ListNode):
        return [_plain(item) for item in node.items]
    return node.value if isinstance(node, ScalarNode) else {}
