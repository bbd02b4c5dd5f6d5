"""The inventory: entities from YAML, CSV and GeoJSON, and how their mistakes are told."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path

import pytest

from pilotage.language.loader import ListNode, load
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import BOOLEAN, POSITION, TIME, Position, enum, number, reference
from pilotage.runtime.inventory import Inventory, read_inventory, read_inventory_text
from pilotage.runtime.inventory_drafts import Draft, Membership

LAMP = Kind(
    "lamp",
    "Lamp",
    (
        PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0),
        PointSpec("position", POSITION, Access.FIXED),
        PointSpec("cabinet", reference("cabinet"), Access.FIXED),
        PointSpec("led", BOOLEAN, Access.FIXED),
    ),
)
CABINET = Kind(
    "cabinet", "Cabinet", (PointSpec("place", POSITION, Access.FIXED),), {"lamps": "lamp"}
)
SEGMENT = Kind(
    "segment",
    "Street segment",
    (
        PointSpec("dimmable", BOOLEAN, Access.FIXED),
        PointSpec("class", enum("M1", "M2", "M3"), Access.FIXED),
        PointSpec("travel", number("s"), Access.FIXED, low=0.0),
        PointSpec("traffic.flow", number("veh/h")),
        PointSpec("curfew", TIME, Access.FIXED),
    ),
    {"lamps": "lamp"},
)
JUNCTION = Kind(
    "junction",
    "Junction",
    (PointSpec("priority", reference(""), Access.BOTH, statuses=("granted",)),),
)
KINDS = {kind.name: kind for kind in (LAMP, CABINET, SEGMENT, JUNCTION)}


def read(folder: Path, entries: str) -> Inventory:
    node, findings = load(entries, "config.yaml")
    assert not findings
    assert isinstance(node, ListNode)
    return read_inventory(node, folder, KINDS)


def good(inventory: Inventory) -> dict[str, EntitySpec]:
    assert [finding.message for finding in inventory.findings] == []
    return {entity.id: entity for entity in inventory.entities}


def wrong(inventory: Inventory) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in inventory.findings]


class TestYaml:
    def test_an_entity_in_full(self) -> None:
        """Kind, name, zone, points with units, references and relations stand side by side."""
        entities = good(
            read_inventory_text(
                """
seg-1:
  kind: segment
  name: Rue de la Liberté
  zone: Dijon
  dimmable: true
  class: M2
  travel: 3 min
  traffic.flow: 40 veh/h
  curfew: 23:30
  lamps: [L-1, L-2]
L-1: {kind: lamp, level: 30 %, position: [47.3, 5.04], cabinet: C-1}
L-2: {kind: lamp}
C-1: {kind: cabinet, lamps: L-1}
""",
                KINDS,
            )
        )

        assert entities["seg-1"] == EntitySpec(
            "seg-1",
            "segment",
            "Rue de la Liberté",
            {
                "dimmable": True,
                "class": "M2",
                "travel": 180.0,
                "traffic.flow": 40.0,
                "curfew": 1410.0,
            },
            {"lamps": ("L-1", "L-2")},
            "Dijon",
        )
        assert entities["L-1"].values["position"] == Position(47.3, 5.04)
        assert entities["L-1"].values["cabinet"] == "C-1"
        assert entities["C-1"].relations == {"lamps": ("L-1",)}

    def test_a_folder_is_all_its_files(self, tmp_path: Path) -> None:
        """Files below count too, in order of name; what is no YAML is left alone."""
        (tmp_path / "city" / "west").mkdir(parents=True)
        (tmp_path / "city" / "a.yaml").write_text("L-1: {kind: lamp}\n")
        (tmp_path / "city" / "west" / "b.yml").write_text("- {L-2: {kind: lamp}}\n- c.csv\n")
        (tmp_path / "city" / "notes.txt").write_text("nothing")

        inventory = read(tmp_path, "- city\n")

        assert [entity.id for entity in inventory.entities] == ["L-1", "L-2"]
        assert wrong(inventory) == [("C110", 'there is no file or folder "c.csv"')]

    def test_an_entry_may_give_what_its_file_leaves_out(self, tmp_path: Path) -> None:
        """Kind, zone and values of the entry are defaults; the entity's own win."""
        (tmp_path / "lamps.yaml").write_text("L-1: {}\nL-2: {zone: Talant, level: 50 %}\n")

        entities = good(
            read(tmp_path, "- {file: lamps.yaml, kind: lamp, zone: Dijon, values: {level: 10 %}}\n")
        )

        assert (entities["L-1"].zone, entities["L-1"].values) == ("Dijon", {"level": 10.0})
        assert (entities["L-2"].zone, entities["L-2"].values) == ("Talant", {"level": 50.0})

    def test_the_place_of_an_entity(self) -> None:
        """Other messages can point to where an entity is written."""
        inventory = read_inventory_text("L-1: {kind: lamp}\nL-2: {kind: lamp}\n", KINDS, "x.yaml")

        assert str(inventory.place("L-2")) == "x.yaml:2:1"
        assert inventory.place("L-3") is None


MISTAKES = {
    "unknown kind": (
        "L-1: {kind: lmp}",
        "C213",
        'no plugin declares a kind "lmp"',
        'did you mean "lamp"?',
    ),
    "no kind": ("L-1: {level: 3}", "C212", '"L-1" has no "kind"', ""),
    "nothing": ("L-1:", "C212", '"L-1" has no "kind"', ""),
    "unknown point": (
        "L-1: {kind: lamp, levl: 3}",
        "C214",
        'lamp has no point or relation "levl"',
        'did you mean "level"?',
    ),
    "range": ("L-1: {kind: lamp, level: 120 %}", "C215", "lamp.level: 120 % is out of range", ""),
    "open range": (
        "s: {kind: segment, travel: -1}",
        "C215",
        "segment.travel: -1 s is out of range",
        "",
    ),
    "unit": (
        "s: {kind: segment, traffic.flow: 30 km/h}",
        "C215",
        "segment.traffic.flow: a speed (km/h) is no flow (veh/h)",
        "",
    ),
    "no unit": (
        "L-1: {kind: lamp, level: 3 lightyears}",
        "C215",
        'lamp.level: "lightyears" is no unit',
        "",
    ),
    "no number": ("L-1: {kind: lamp, level: much}", "C215", 'lamp.level: "much" is no number', ""),
    "not a number": (
        "L-1: {kind: lamp, level: .nan}",
        "C215",
        'lamp.level: "nan" is no number',
        "",
    ),
    "bool for a number": (
        "L-1: {kind: lamp, level: true}",
        "C215",
        "lamp.level: true is no number",
        "",
    ),
    "no boolean": (
        "L-1: {kind: lamp, led: perhaps}",
        "C215",
        'lamp.led: "perhaps" is neither true nor false',
        "",
    ),
    "member": (
        "s: {kind: segment, class: m3}",
        "C215",
        'segment.class: "m3" is none of its values',
        "",
    ),
    "time": (
        's: {kind: segment, curfew: "25:00"}',
        "C215",
        'segment.curfew: "25:00" is no time of day',
        "",
    ),
    "latitude": (
        "L-1: {kind: lamp, position: [147.3, 5]}",
        "C215",
        "lamp.position: the latitude 147.3 is not between -90 and 90",
        "",
    ),
    "null island": (
        "L-1: {kind: lamp, position: [0, 0]}",
        "C215",
        "lamp.position: latitude 0, longitude 0 lies in the Gulf of Guinea and is what an empty field gives",
        "",
    ),
    "request": (
        "J: {kind: junction, priority: bus-1}",
        "C215",
        'junction.priority: "bus-1" cannot be a first value',
        "",
    ),
    "empty value": ("L-1: {kind: lamp, level: }", "E115", '"level" has no value', ""),
    "reference": (
        "{C-17: {kind: cabinet}, L-1: {kind: lamp, cabinet: C-71}}",
        "C216",
        'L-1.cabinet leads to "C-71", which is not in the inventory',
        'did you mean "C-17"?',
    ),
    "relation": (
        "s: {kind: segment, lamps: [L-9]}",
        "C216",
        's.lamps leads to "L-9", which is not in the inventory',
        "",
    ),
    "kind of a reference": (
        "{L-1: {kind: lamp, cabinet: s}, s: {kind: segment}}",
        "C217",
        'L-1.cabinet leads to "s", which is a segment, not a cabinet',
        "",
    ),
    "dot in an id": ("L.1: {kind: lamp}", "C210", '"L.1" is no id', ""),
    "empty id": ('"": {kind: lamp}', "C210", "the id is empty", ""),
    "entity as text": ("L-1: lamp", "E112", '"L-1" is a map, not "lamp"', ""),
    "entry as a list": (
        "- [a]",
        "C200",
        "an entry of the inventory is a file, a folder or a map, not a list",
        "",
    ),
    "format": ("- lamps.xlsx", "C110", 'there is no file or folder "lamps.xlsx"', ""),
}


class TestMistakes:
    @pytest.mark.parametrize("case", MISTAKES)
    def test_is_told(self, case: str) -> None:
        """Each mistake has its code, message, hint and mend, at a place in the text."""
        text, code, message, label = MISTAKES[case]
        inventory = read_inventory_text(text, KINDS)
        finding = inventory.findings[0]

        assert (finding.code, finding.message, finding.label) == (code, message, label)
        assert finding.mend
        assert inventory.has_errors
        assert len(inventory.findings) == 1

    def test_the_text_is_shown_with_a_caret(self) -> None:
        """The offender is underlined as it was written."""
        inventory = read_inventory_text("L-1: {kind: lamp, level: 120 %}\n", KINDS, "x.yaml")

        assert inventory.findings[0].render(inventory.sources) == (
            "x.yaml:1:26: C215 lamp.level: 120 % is out of range\n"
            "   1 | L-1: {kind: lamp, level: 120 %}\n"
            "                                ^^^^^\n"
            "   mend: write a value from 0 to 100 %"
        )

    def test_what_leads_to_a_broken_entity_is_not_told_too(self) -> None:
        """One mistake gives one finding."""
        text = "{s: {kind: segment, lamps: [L-1]}, L-1: {kind: lmp}}"

        assert [code for code, _ in wrong(read_inventory_text(text, KINDS))] == ["C213"]

    def test_a_duplicate_names_both_places(self, tmp_path: Path) -> None:
        """The second is told, the first is named and kept."""
        (tmp_path / "a.yaml").write_text("L-1: {kind: lamp, level: 1}\n")
        (tmp_path / "b.yaml").write_text("\nL-1: {kind: lamp, level: 2}\n")

        inventory = read(tmp_path, "[a.yaml, b.yaml]")

        (finding,) = inventory.findings
        assert finding.message == 'there are two entities "L-1"'
        assert str(finding.at) == f"{tmp_path}/b.yaml:2:1"
        assert finding.label == f"the other: {tmp_path}/a.yaml:1"
        assert inventory.entities[0].values == {"level": 1.0}


ROWS = "number;street;commune;lat;lon;segment;led\n"
MAPPING = """
- {{seg-1: {{kind: segment}}, seg-2: {{kind: segment}}}}
- file: lamps.csv
  kind: lamp
  id: "L-{{number}}"
  name: "{{street}} {{number}}"
  zone: "{{commune}}"
  values: {{position: ["{{lat}}", "{{lon}}"], level: 100 %{values}}}
  member_of: {{relation: lamps, entity: "{{segment}}"}}
  {more}
"""


def mapped(
    folder: Path, rows: str, values: str = "", more: str = "", header: str = ROWS
) -> Inventory:
    (folder / "lamps.csv").write_text(header + rows, encoding="utf-8")
    return read(folder, MAPPING.format(values=values, more=more))


class TestCsv:
    def test_a_row_becomes_an_entity(self, tmp_path: Path) -> None:
        """Templates take columns, constants hold for all, and the segment gets its lamps in order."""
        entities = good(
            mapped(
                tmp_path,
                "7;Rue Verte;Dijon;47.3;5.04;seg-1;oui\n8;Rue Verte;Dijon;47.31;5.05;seg-1;non\n",
                ', led: "{led}"',
            )
        )

        assert entities["L-7"] == EntitySpec(
            "L-7",
            "lamp",
            "Rue Verte 7",
            {"position": Position(47.3, 5.04), "level": 100.0, "led": True},
            {},
            "Dijon",
        )
        assert entities["L-8"].values["led"] is False
        assert entities["seg-1"].relations == {"lamps": ("L-7", "L-8")}

    def test_an_empty_field_gives_no_value(self, tmp_path: Path) -> None:
        """What the table does not know stays unknown."""
        entities = good(mapped(tmp_path, "7;;;;;;\n", ', led: "{led}"'))

        assert entities["L-7"].values == {"level": 100.0}
        assert (entities["L-7"].name, entities["L-7"].zone) == ("7", "")

    def test_map_and_default(self, tmp_path: Path) -> None:
        """Codes of the table are translated, and an empty field may have a default."""
        entities = good(
            mapped(
                tmp_path,
                "1;;;47;5;;L\n2;;;47;5;;S\n3;;;47;5;;\n",
                ', led: {from: "{led}", map: {L: true, S: false}, default: true}',
            )
        )

        assert [entities[f"L-{n}"].values["led"] for n in (1, 2, 3)] == [True, False, True]

    def test_where_and_only_choose_rows(self, tmp_path: Path) -> None:
        """`where` compares columns, `only` names entities."""
        rows = "1;;Dijon;47;5;;\n2;;Talant;47;5;;\n3;;Quetigny;47;5;;\n4;;Dijon;47;5;;\n"

        inventory = mapped(
            tmp_path, rows, more="where: {commune: [Dijon, Talant]}\n  only: [L-1, L-2, L-3]"
        )

        assert list(good(inventory)) == ["seg-1", "seg-2", "L-1", "L-2"]

    def test_quotes_and_line_breaks(self, tmp_path: Path) -> None:
        """A field in quotes may hold the delimiter and a line break; later places stay right."""
        rows = '1;"Rue; de\nla Paix";Dijon;47;5;;\n2;Rue;Dijon;147;5;;\n'

        inventory = mapped(tmp_path, rows)

        assert inventory.entities[2].name == "Rue; de\nla Paix 1"
        (finding,) = inventory.findings
        assert finding.at.line == 4

    def test_french_spreadsheets(self, tmp_path: Path) -> None:
        """Windows encoding, semicolons and decimal commas are three words of the entry at the most."""
        text = ROWS + "1;Rue de la Liberté;Dijon;47,3;5,04;seg-1;\n"
        (tmp_path / "lamps.csv").write_bytes(text.encode("cp1252"))

        entities = good(
            read(tmp_path, MAPPING.format(values="", more="encoding: cp1252\n  decimal: ','"))
        )

        assert entities["L-1"].name == "Rue de la Liberté 1"
        assert entities["L-1"].values["position"] == Position(47.3, 5.04)

    def test_a_byte_order_mark_is_no_part_of_the_first_column(self, tmp_path: Path) -> None:
        """Spreadsheets write one; the column is found all the same."""
        (tmp_path / "lamps.csv").write_text("\ufeff" + ROWS + "1;;;47;5;;\n", encoding="utf-8")

        assert "L-1" in good(read(tmp_path, MAPPING.format(values="", more="")))

    def test_forward_relations_and_references(self, tmp_path: Path) -> None:
        """A column may hold several ids, or the one that a reference leads to."""
        (tmp_path / "cabinets.csv").write_text('id,lamps\nC-1,"L-1 L-2"\n')
        (tmp_path / "lamps.csv").write_text("id,cabinet\nL-1,C-1\nL-2,C-1\n")

        entities = good(
            read(
                tmp_path,
                """
- {file: cabinets.csv, kind: cabinet, id: "{id}", relations: {lamps: "{lamps}"}}
- {file: lamps.csv, kind: lamp, id: "{id}", values: {cabinet: "{cabinet}"}}
""",
            )
        )

        assert entities["C-1"].relations == {"lamps": ("L-1", "L-2")}
        assert entities["L-2"].values == {"cabinet": "C-1"}

    def test_34000_lights(self, tmp_path: Path) -> None:
        """A city's lights are read in about a second of processor time."""
        rows = "".join(
            f"{n};Rue {n % 900};Dijon;47.{300000 + n};5.{40000 + n};seg-{1 + n % 2};oui\n"
            for n in range(34_000)
        )
        begin = time.process_time()

        inventory = mapped(tmp_path, rows, ', led: "{led}"')
        spent = time.process_time() - begin

        assert len(good(inventory)) == 34_002
        assert spent < 3.0  # 0.5 s on an idle machine


CSV_MISTAKES = {
    "column in id": (
        "1;;;47;5;;\n",
        {"header": ROWS.replace("number", "numero")},
        "C203",
        'lamps.csv has no column "number"',
        'did you mean "numero"?',
    ),
    "point": (
        "1;;;47;5;;\n",
        {"values": ", led_: 1"},
        "C214",
        'lamp has no point or relation "led_"',
        'did you mean "led"?',
    ),
    "empty id": (";;;47;5;;\n", {}, "C210", "the id is empty", ""),
    "width": ("1;2\n", {}, "C206", "the row has 2 fields, and the header has 7", ""),
    "value": (
        "1;;;47;5;;perhaps\n",
        {"values": ', led: "{led}"'},
        "C215",
        'lamp.led: "perhaps" is neither true nor false',
        "",
    ),
    "owner": (
        "1;;;47;5;seg-9;\n",
        {},
        "C216",
        'L-1.member_of leads to "seg-9", which is not in the inventory',
        'did you mean "seg-2"?',
    ),
    "decimal comma": (
        "1;;;47,3;5,04;;\n",
        {},
        "C215",
        'lamp.position: "47,3 and 5,04" is no position',
        "",
    ),
    "swapped": (
        "1;;;147.3;5.04;;\n",
        {},
        "C215",
        "lamp.position: the latitude 147.3 is not between -90 and 90",
        "",
    ),
    "where": (
        "1;;;47;5;;\n",
        {"more": "where: {comune: Dijon}"},
        "C203",
        'lamps.csv has no column "comune"',
        'did you mean "commune"?',
    ),
    "nothing left": (
        "1;;;47;5;;\n",
        {"more": "where: {commune: Beaune}"},
        "W204",
        "lamps.csv gives no entity",
        "",
    ),
    "template": (
        "1;;;47;5;;\n",
        {"values": ', led: "{led"'},
        "C205",
        '"{led" is no template: the "{" stands alone',
        "",
    ),
    "key": (
        "1;;;47;5;;\n",
        {"more": "encodng: utf-8"},
        "E110",
        'the mapping of a file has no key "encodng"',
        'did you mean "encoding"?',
    ),
    "encoding": (
        "1;;;47;5;;\n",
        {"more": "encoding: utf-9"},
        "C202",
        'there is no encoding "utf-9"',
        "",
    ),
    "quotes": ('1;"a"b;;47;5;;\n', {}, "C207", "this is no CSV: ';' expected after '\"'", ""),
    "header": (
        "1;;;47;5;;\n",
        {"header": ROWS.replace("led", "lat")},
        "C209",
        'two columns are called "lat"',
        "",
    ),
}


class TestCsvMistakes:
    @pytest.mark.parametrize("case", CSV_MISTAKES)
    def test_is_told(self, tmp_path: Path, case: str) -> None:
        """Each mistake of a table has its code, message, hint and mend."""
        rows, options, code, message, label = CSV_MISTAKES[case]
        finding = mapped(tmp_path, rows, **options).findings[0]

        assert (finding.code, finding.message, finding.label) == (code, message, label)
        assert finding.mend

    def test_the_field_is_underlined(self, tmp_path: Path) -> None:
        """File, line and column are those of the table."""
        inventory = mapped(
            tmp_path, "1;Rue Verte;;47;5;;oui\n2;Rue Verte;;47;5;;perhaps\n", ', led: "{led}"'
        )

        (finding,) = inventory.findings
        assert finding.render(inventory.sources).replace(f"{tmp_path}/", "") == (
            'lamps.csv:3:20: C215 lamp.led: "perhaps" is neither true nor false\n'
            "   3 | 2;Rue Verte;;47;5;;perhaps\n"
            "                          ^^^^^^^\n"
            "   mend: write true or false"
        )

    def test_a_thousand_alike_are_counted(self, tmp_path: Path) -> None:
        """A wrong column gives ten findings and a number, not a thousand."""
        rows = "".join(f"{n};;;147;5;;\n" for n in range(1_000))

        inventory = mapped(tmp_path, rows)

        assert len(inventory.findings) == 11
        assert inventory.findings[-1].message == "990 more findings C215 of this file are left out"

    def test_bytes_of_another_encoding(self, tmp_path: Path) -> None:
        """The line is named, and so is the likely encoding."""
        text = ROWS + "1;;;47;5;;\n2;Rue de la Liberté;;47;5;;\n"
        (tmp_path / "lamps.csv").write_bytes(text.encode("cp1252"))

        (finding,) = read(tmp_path, MAPPING.format(values="", more="")).findings

        assert finding.code == "C202"
        assert (finding.at.line, finding.at.column) == (3, 19)
        assert "cp1252" in finding.mend

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """The nearest name in the folder is proposed."""
        (tmp_path / "lamp.csv").write_text(ROWS)

        (finding,) = read(tmp_path, MAPPING.format(values="", more="")).findings

        assert (finding.code, finding.label) == ("C101", 'did you mean "lamp.csv"?')

    def test_a_table_without_a_mapping(self, tmp_path: Path) -> None:
        """A table alone does not say of what kind its rows are."""
        (tmp_path / "lamps.csv").write_text(ROWS)

        (finding,) = read(tmp_path, "- lamps.csv\n").findings

        assert finding.message == '"lamps.csv" has no "kind"'

    def test_a_relation_that_the_owner_does_not_have(self, tmp_path: Path) -> None:
        """The owner's relations are listed."""
        (tmp_path / "l.csv").write_text("id,s\nL-1,s\n")
        entries = '[{s: {kind: segment}}, {file: l.csv, kind: lamp, id: "{id}", member_of: {relation: lamp, entity: "{s}"}}]'

        (finding,) = read(tmp_path, entries).findings

        assert finding.message == 'segment has no relation "lamp"'
        assert finding.mend == "its relations are: lamps"


class TestGeoJson:
    def features(self, *features: dict[str, object]) -> str:
        return json.dumps({"type": "FeatureCollection", "features": list(features)})

    def test_properties_are_columns_and_the_geometry_is_the_place(self, tmp_path: Path) -> None:
        """GeoJSON has longitude first; nested properties have dotted names."""
        feature = {
            "type": "Feature",
            "id": 12,
            "geometry": {"type": "Point", "coordinates": [5.04, 47.3]},
            "properties": {"street": {"name": "Rue Verte"}, "level": 30, "led": True, "note": None},
        }
        (tmp_path / "l.geojson").write_text(self.features(feature))

        entities = good(
            read(
                tmp_path,
                '[{file: l.geojson, kind: lamp, id: "L-{@id}", name: "{street.name}", '
                'values: {level: "{level}", led: "{led}"}}]',
            )
        )

        assert entities["L-12"] == EntitySpec(
            "L-12",
            "lamp",
            "Rue Verte",
            {"level": 30.0, "led": True, "position": Position(47.3, 5.04)},
        )

    @pytest.mark.parametrize(
        ("geometry", "position"),
        [
            (
                {"type": "LineString", "coordinates": [[5, 47], [6, 48], [7, 49]]},
                Position(48.0, 6.0),
            ),
            (
                {"type": "Polygon", "coordinates": [[[0, 2], [2, 2], [2, 4], [0, 4], [0, 2]]]},
                Position(3.0, 1.0),
            ),
        ],
    )
    def test_lines_and_outlines_have_a_middle(
        self, tmp_path: Path, geometry: object, position: Position
    ) -> None:
        """A line's middle vertex, an outline's mean corner; the kind's only fixed position takes it."""
        feature = {"type": "Feature", "geometry": geometry, "properties": {"id": "C-1"}}
        (tmp_path / "c.json").write_text(self.features(feature))

        entities = good(read(tmp_path, '[{file: c.json, kind: cabinet, id: "{id}"}]'))

        assert entities["C-1"].values == {"place": position}

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("{", "Expecting property name"),
            ("[]", 'it has no list of "features"'),
            ('{"features": [3]}', 'it has no list of "features"'),
        ],
    )
    def test_what_is_none_is_told(self, tmp_path: Path, text: str, why: str) -> None:
        """A file that is cut off, or is something else."""
        (tmp_path / "l.geojson").write_text(text)

        (finding,) = read(tmp_path, '[{file: l.geojson, kind: lamp, id: "{id}"}]').findings

        assert finding.code == "C208"
        assert why in finding.message


class TestMemory:
    def test_nothing_is_left(self, tmp_path: Path) -> None:
        """Of what was read on the way nothing stays, though the collector is held back while an engine starts."""
        (tmp_path / "lamps.csv").write_text("number\n1\n2\n3\n")
        table = "- {file: lamps.csv, kind: lamp, id: 'lamp-{number}', member_of: {relation: lamps, entity: c}}"
        node, _ = load(f"{table}\n- {{c: {{kind: cabinet}}}}\n", "config.yaml")
        assert isinstance(node, ListNode)
        gc.collect()
        gc.disable()
        try:
            found = read_inventory(node, tmp_path, {"lamp": LAMP, "cabinet": CABINET})
            left = [each for each in gc.get_objects() if isinstance(each, (Draft, Membership))]
        finally:
            gc.enable()
        assert len(found.entities) == 4
        assert not left
