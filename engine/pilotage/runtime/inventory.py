"""The entities of the city, from YAML, CSV and GeoJSON, checked against the kinds; every mistake at its place.

An entry is a path (a YAML file, or a folder of them), a map of entities, a file with a mapping, or a relation to be
worked out from where things are.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilotage.language import findings as say
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, load
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.values import Base
from pilotage.runtime import findings as site
from pilotage.runtime.forms import (
    Report,
    as_map,
    as_text,
    as_texts,
    check_keys,
    neighbours,
    shape,
)
from pilotage.runtime.inventory_drafts import (
    NO_KIND,
    Draft,
    Link,
    Membership,
    Place,
    known_names,
    plain,
)
from pilotage.runtime.inventory_mapping import FileMapping
from pilotage.runtime.inventory_relate import Relate, read_relate, relate
from pilotage.runtime.inventory_settings import KEYS, read_settings, unsaid
from pilotage.runtime.point_values import Convert, MisfitError, converter
from pilotage.runtime.tables import nearest

MAX_ALIKE: Final = 10
"""Findings of one code that one file may give; the rest is counted."""

YAML_SUFFIXES: Final = (".yaml", ".yml")
_ID: Final = re.compile(r"[^\W_][\w:-]{0,199}")
_FILE_KEYS: Final = ("file", "format", "kind", "zone", "values", *KEYS)
_MAPPING_KEYS: Final = (
    *("file", "format", "kind", "id", "name", "zone", "values", "relations", "member_of"),
    *KEYS,
    *("where", "only", "delimiter", "encoding", "decimal"),
)
_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".geojson": "geojson",
    ".json": "geojson",
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """What reading the inventory gave: the entities in order, and all findings with the texts they show."""

    entities: tuple[EntitySpec, ...]
    findings: list[Finding]
    sources: dict[str, str]
    _places: Mapping[str, Place] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = ()
    """The files and folders that it was read from."""

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


def _yaml_files(folder: Path) -> list[Path]:
    """Return the YAML files of a folder and below it, in order; what vanishes or is closed to us meanwhile is left out."""
    found = (
        Path(where) / name
        for where, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix in YAML_SUFFIXES
    )
    return sorted(file for file in found if file.is_file())


# ── what is being read ───────────────────────────────────────────────────────────────────────


class _Reader:
    """Reads entries in order; keeps what is good, reports what is not."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds
        self.report = Report()
        self._drafts: dict[str, Draft] = {}
        self._links: list[Link] = []
        self._memberships: list[Membership] = []
        self._relates: list[Relate] = []
        self._converters: dict[str, dict[str, Convert]] = {}
        self._open: list[Path] = []
        self._files: dict[Path, None] = {}
        self._alike: Counter[tuple[str, str]] = Counter()
        self._last: dict[tuple[str, str], Span] = {}

    def inventory(self) -> Inventory:
        """Return what was read."""
        for (file, code), count in self._alike.items():
            if count > MAX_ALIKE:
                at = self._last[file, code]
                self.report.add(site.more_like_it(at, code, count - MAX_ALIKE))
        found = Inventory(
            tuple(draft.spec() for draft in self._drafts.values()),
            sorted(self.report.findings, key=lambda finding: finding.at),
            self.report.sources,
            {id_: draft.place for id_, draft in self._drafts.items()},
            tuple(self._files),
        )
        self._forget()
        return found

    def _forget(self) -> None:
        """Let go of what was read on the way: it hangs in a circle, and an engine that starts takes no time to look for those."""
        self._drafts.clear()
        self._converters.clear()
        for listed in (self._links, self._memberships, self._relates):
            listed.clear()

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
        elif isinstance(node, MapNode) and isinstance(node.get("relate"), ScalarNode):
            order = read_relate(node, folder, self.kinds, self.report, self.say)
            self._relates += [] if order is None else [order]
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
        self._files[path] = None
        if path.is_dir():
            for file in _yaml_files(path):
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
        self._files[file] = None
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
            self._files[folder / written.text] = None
            required = {"kind": "kind: KIND", "id": 'id: "L-{number}"'}
            check_keys(node, "the mapping of a file", _MAPPING_KEYS, self.report, required)
            FileMapping(self, node, folder / written.text, format_, written.at).read()

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
        draft = Draft(key.text, kind, key)
        if not self.keep(draft):
            return
        if defaults is not None:
            zone = defaults.get("zone")
            draft.zone = (as_text(zone, "zone", self.report) or "") if zone is not None else ""
            self._nested(draft, defaults.get("values"), "values")
            draft.settings.update(read_settings(defaults, kind, self.report))
        draft.settings.update(read_settings(node, kind, self.report))
        for name, value in node.entries:
            self._attribute(draft, name, value)

    def _attribute(self, draft: Draft, name: ScalarNode, value: Node) -> None:
        match name.text:
            case "kind":
                pass
            case "on_loss" | "max_rate" if draft.kind.point(name.text) is None:
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

    def _nested(self, draft: Draft, node: Node | None, key: str) -> None:
        table = as_map(node, key, self.report)
        for name, value in table.entries if table is not None else ():
            self._value(draft, name, value)

    def _value(self, draft: Draft, name: ScalarNode, value: Node) -> None:
        kind = draft.kind
        if name.text in kind.relations:
            target = kind.relations[name.text]
            ids = [] if _is_empty(value) else as_texts(value, name.text, self.report)
            draft.relations[name.text] = [scalar.text for scalar in ids]
            self._links += [Link(draft.id, name.text, i.text, target, i) for i in ids]
            return
        convert = self.converters(kind).get(name.text)
        if convert is None:
            self.say(site.unknown_point(name.at, name.text, kind.name, known_names(kind)))
            return
        if isinstance(value, ScalarNode) and value.is_null:
            self.say(say.empty_value(name.at, name.text, "a value"))
            return
        self.put(draft, name.text, plain(value), convert, value)

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

    def keep(self, draft: Draft) -> bool:
        """Take an entity in; False when its id is no id, or is taken."""
        if not _ID.fullmatch(draft.id):
            self.say(site.bad_id(draft.place.at, draft.id))
            return False
        first = self._drafts.setdefault(draft.id, draft)
        if first is not draft:
            self.say(site.duplicate_id(draft.place.at, draft.id, first.place.at))
            return False
        return True

    def put(self, draft: Draft, name: str, written: Any, convert: Convert, place: Place) -> None:
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
            self.link(Link(draft.id, name, str(value), point_spec.type.kind, place))

    def link(self, link: Link) -> None:
        """Keep a reference or relation for the end."""
        self._links.append(link)

    def member(self, membership: Membership) -> None:
        """Keep a membership for the end."""
        self._memberships.append(membership)

    def _remember(self, key: ScalarNode) -> None:
        """Know an id whose kind is wrong, so that what leads to it is not reported too."""
        self._drafts.setdefault(key.text, Draft(key.text, NO_KIND, key))

    # when all entities are known

    def check_links(self) -> None:
        """Fill the relations by their members, and report what leads nowhere or to a thing of another kind."""
        for link in self._links:
            self._check(link.owner, link.point, link.target, link.kind, link.place)
        for membership in self._memberships:
            self._join(membership)
        for order in self._relates:
            relate(order, self._drafts, self.say)
        self._drafts = {id_: d for id_, d in self._drafts.items() if d.kind is not NO_KIND}
        for draft in self._drafts.values():
            for point in unsaid(draft.kind, draft.settings):
                self.say(site.on_loss_unsaid(draft.place.at, draft.id, point))

    def _check(self, owner: str, point: str, target: str, kind: str, place: Place) -> None:
        found = self._drafts.get(target)
        if found is None:
            hint = nearest(target, tuple(self._drafts)) if self._may_say("C216", place) else ""
            self.say(site.missing_entity(place.at, owner, point, target, hint))
        elif kind and found.kind.name != kind and found.kind is not NO_KIND:
            self.say(site.wrong_target(place.at, owner, point, target, found.kind.name, kind))

    def _may_say(self, code: str, place: Place) -> bool:
        return self._alike[place.at.file, code] < MAX_ALIKE

    def _join(self, membership: Membership) -> None:
        owner = self._drafts.get(membership.owner)
        member = membership.member
        if owner is None:
            self._check(member.id, "member_of", membership.owner, "", membership.place)
            return
        if owner.kind is NO_KIND:
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


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null
