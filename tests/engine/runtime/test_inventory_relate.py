"""Relations by geometry, and doubts about where things are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pilotage.language.loader import ListNode, load
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import POSITION, Position
from pilotage.runtime.inventory import Inventory, read_inventory
from pilotage.runtime.inventory_survey import survey
from pilotage.runtime.shapes import Ground, Shape, shape_of

PLACE = PointSpec("position", POSITION, Access.FIXED)
KINDS = {
    kind.name: kind
    for kind in (
        Kind("lamp", "Lamp", (PLACE,)),
        Kind("camera", "Camera", (PLACE,)),
        Kind("segment", "Segment", (), {"lamps": "lamp"}),
        Kind("zone", "Zone", (), {"cameras": "camera"}),
        Kind("junction", "Junction", (PLACE,), {"cameras": "camera"}),
    )
}
# One degree of latitude is 111,195 m on a sphere of 6,371 km: 0.0009 degrees are 100 m.
M = 1 / 111_195
STREETS = [
    ("seg-1", "LineString", [[5.04, 47.32], [5.05, 47.32]]),
    ("seg-2", "LineString", [[5.04, 47.32 + 40 * M], [5.05, 47.32 + 40 * M]]),
]
SQUARE = [[5.04, 47.32], [5.05, 47.32], [5.05, 47.33], [5.04, 47.33], [5.04, 47.32]]
HOLE = [[5.044, 47.324], [5.046, 47.324], [5.046, 47.326], [5.044, 47.326], [5.044, 47.324]]


def geojson(folder: Path, name: str, things: list[tuple[str, str, Any]]) -> None:
    features = [
        {"type": "Feature", "id": id_, "properties": {"number": id_[-1]},
         "geometry": {"type": type_, "coordinates": coordinates}}
        for id_, type_, coordinates in things
    ]  # fmt: skip
    (folder / name).write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def read(folder: Path, entries: str) -> Inventory:
    node, findings = load(entries, "config.yaml")
    assert not findings
    assert isinstance(node, ListNode)
    return read_inventory(node, folder, KINDS)


def relations(inventory: Inventory, name: str) -> dict[str, list[str]]:
    listed = inventory.entities
    return {e.id: sorted(e.relations[name]) for e in listed if e.relations.get(name)}


def wrong(inventory: Inventory) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in inventory.findings]


def lamp(id_: str, north_m: float) -> str:
    return f"{id_}: {{kind: lamp, position: [{47.32 + north_m * M:.7f}, 5.045]}}"


LAMPS = ", ".join(lamp(f"L{north}", north) for north in (-30, 5, 15, 25, 60))
SEGMENTS = "seg-1: {kind: segment}, seg-2: {kind: segment}"


class TestRelate:
    def test_each_lamp_to_the_nearest_line(self, tmp_path: Path) -> None:
        """Of two parallel streets 40 m apart each lamp belongs to the nearer one; who is too far belongs to none."""
        geojson(tmp_path, "streets.geojson", STREETS)
        inventory = read(
            tmp_path,
            f"- {{{SEGMENTS}, {LAMPS}}}\n"
            "- {relate: segment.lamps, shapes: streets.geojson, nearest: 25 m}\n",
        )

        assert wrong(inventory) == []
        assert relations(inventory, "lamps") == {"seg-1": ["L15", "L5"], "seg-2": ["L25", "L60"]}

    def test_all_lines_within_reach(self, tmp_path: Path) -> None:
        """With `within` a lamp between two streets belongs to both."""
        geojson(tmp_path, "streets.geojson", STREETS)
        inventory = read(
            tmp_path,
            f"- {{{SEGMENTS}, {LAMPS}}}\n"
            "- {relate: segment.lamps, shapes: streets.geojson, within: 25 m}\n",
        )

        assert relations(inventory, "lamps") == {
            "seg-1": ["L15", "L25", "L5"],
            "seg-2": ["L15", "L25", "L60"],
        }

    @pytest.mark.parametrize(("within", "found"), [("0 m", ["in"]), ("50 m", ["in", "near"])])
    def test_cameras_in_and_near_an_outline(
        self, tmp_path: Path, within: str, found: list[str]
    ) -> None:
        """0 m is inside only; a hole is outside, and its rim is near."""
        geojson(tmp_path, "zones.geojson", [("Z1", "Polygon", [SQUARE, HOLE])])
        inventory = read(
            tmp_path,
            f"""
- Z1: {{kind: zone}}
  in: {{kind: camera, position: [47.322, 5.042]}}
  near: {{kind: camera, position: [{47.32 - 40 * M:.7f}, 5.045]}}
  far: {{kind: camera, position: [47.31, 5.045]}}
  hole: {{kind: camera, position: [47.325, 5.045]}}
- {{relate: zone.cameras, shapes: zones.geojson, within: {within}}}
""",
        )

        assert relations(inventory, "cameras") == {"Z1": found}

    def test_cameras_near_a_place(self, tmp_path: Path) -> None:
        """Without shapes the owner's own position counts; what was named by id stays."""
        inventory = read(
            tmp_path,
            f"""
- J1: {{kind: junction, position: [47.32, 5.04], cameras: [named]}}
  near: {{kind: camera, position: [{47.32 + 79 * M:.7f}, 5.04]}}
  far: {{kind: camera, position: [{47.32 + 81 * M:.7f}, 5.04]}}
  named: {{kind: camera, position: [47.4, 5.04]}}
- {{relate: junction.cameras, within: 80 m}}
""",
        )

        assert relations(inventory, "cameras") == {"J1": ["named", "near"]}

    def test_an_id_is_made_of_properties(self, tmp_path: Path) -> None:
        """As in a mapping."""
        geojson(tmp_path, "streets.geojson", STREETS)
        inventory = read(
            tmp_path,
            f"- {{S1: {{kind: segment}}, S2: {{kind: segment}}, {LAMPS}}}\n"
            '- {relate: segment.lamps, shapes: streets.geojson, id: "S{number}", nearest: 25 m}\n',
        )

        assert set(relations(inventory, "lamps")) == {"S1", "S2"}

    def test_what_is_left_over_is_named(self, tmp_path: Path) -> None:
        """Owners without members, members without a place, shapes of nobody: one warning each."""
        geojson(tmp_path, "streets.geojson", [*STREETS, ("seg-9", "Point", [5.0, 47.0])])
        inventory = read(
            tmp_path,
            "- {seg-1: {kind: segment}, seg-2: {kind: segment}, L0: {kind: lamp}, "
            f"{lamp('L1', 2)}}}\n- {{relate: segment.lamps, shapes: streets.geojson, nearest: 25 m}}\n",
        )

        assert sorted(wrong(inventory)) == [
            ("W221", "1 of 2 segment have no lamps: seg-2"),
            ("W222", "1 could not join segment.lamps, since they have no position: L0"),
            ("W223", "1 shapes of streets.geojson belong to no segment: seg-9"),
        ]
        assert not inventory.has_errors

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            ("{relate: street.lamps, within: 5 m}", ("C213", 'no plugin declares a kind "street"')),
            ("{relate: segment.trees, within: 5 m}", ("C218", 'segment has no relation "trees"')),
            ("{relate: segment.lamps}", ("C220", 'relate: it needs either "within" or "nearest"')),
            ("{relate: segment.lamps, within: 5 m, nearest: 5 m}", ("C220", 'relate: it needs either "within" or "nearest"')),
            ("{relate: segment.lamps, within: far}", ("C220", 'relate: "far" is no length')),
            ("{relate: segment.lamps, within: 5 m, id: x}", ("C220", 'relate: "id" is of the shapes, and there are none')),
            ("{relate: segment.lamps, within: 5 m, shapes: no.geojson}", ("C101", None)),
            ("{relate: segment.lamps, within: 5 m, colour: red}", ("E110", None)),
        ],
    )  # fmt: skip
    def test_mistakes(self, tmp_path: Path, entry: str, said: tuple[str, str | None]) -> None:
        """Each has its code, and nothing is related."""
        (found,) = read(tmp_path, f"- {entry}\n").findings

        assert found.is_error
        assert found.code == said[0]
        assert said[1] is None or found.message == said[1]

    def test_forty_thousand(self, tmp_path: Path) -> None:
        """A city's lamps find their streets in seconds; bounded generously, it is 1 to 2 s."""
        lines = [
            (f"seg-{row}-{column}", "LineString",
             [[5.0 + column * 0.002, 47.3 + row * 0.0008], [5.0 + (column + 1) * 0.002, 47.3 + row * 0.0008]])
            for row in range(50) for column in range(80)
        ]  # fmt: skip
        geojson(tmp_path, "streets.geojson", lines)
        (tmp_path / "segments.csv").write_text("id\n" + "\n".join(name for name, _, _ in lines))
        rows = [
            f"{number};{47.3 + (number // 800) * 0.0008 + 0.00005:.6f};{5.0 + (number % 800) * 0.0002:.6f}"
            for number in range(40_000)
        ]
        (tmp_path / "lamps.csv").write_text("n;lat;lon\n" + "\n".join(rows))
        began = time.monotonic()
        inventory = read(
            tmp_path,
            """
- {file: segments.csv, kind: segment, id: "{id}"}
- {file: lamps.csv, kind: lamp, id: "L-{n}", values: {position: ["{lat}", "{lon}"]}}
- {relate: segment.lamps, shapes: streets.geojson, nearest: 25 m}
""",
        )
        assert time.monotonic() - began < 60
        assert wrong(inventory) == []
        assert sum(map(len, relations(inventory, "lamps").values())) == 40_000


class TestShapes:
    @pytest.mark.parametrize(
        "geometry",
        [None, {}, {"type": "Circle"}, {"type": "LineString", "coordinates": []},
         {"type": "Point", "coordinates": ["a"]}, {"type": "Polygon", "coordinates": [5]}],
    )  # fmt: skip
    def test_what_is_no_shape(self, geometry: Any) -> None:
        """Broken geometry is none."""
        assert shape_of(geometry) is None

    def test_several_parts(self) -> None:
        """Of several lines the nearest counts; a name that comes twice is found once."""
        line = shape_of({"type": "MultiLineString", "coordinates": [[[5.0, 47.0], [5.1, 47.0]], [[5.0, 47.1], [5.1, 47.1]]]})  # fmt: skip
        points = shape_of({"type": "MultiPoint", "coordinates": [[5.05, 47.0]]})
        area = shape_of({"type": "MultiPolygon", "coordinates": [[SQUARE]]})
        assert line is not None
        assert points is not None
        assert area is not None
        ground = Ground([("a", line), ("a", points), ("z", area)], 100.0)

        ((metres, name),) = ground.near(Position(47.1 + 50 * M, 5.05))
        assert (name, round(metres)) == ("a", 50)
        assert ground.near(Position(47.325, 5.045)) == [(0.0, "z")]
        assert Ground([], 5.0).near(Position(0.0, 0.0)) == []
        assert Ground([("p", Shape(((Position(47.0, 5.0),),)))], 0.0).near(Position(47.0, 5.0))


class TestSurvey:
    def test_doubts(self, tmp_path: Path) -> None:
        """Outside, swapped, twice at a place and without relations: each at its entity's place, all warnings."""
        inventory = read(
            tmp_path,
            """
- in: {kind: lamp, position: [47.3, 5.0]}
  twin: {kind: lamp, position: [47.3, 5.0]}
  cam: {kind: camera, position: [47.3, 5.0]}
  out: {kind: lamp, position: [48.9, 2.3]}
  swap: {kind: lamp, position: [5.0, 47.3]}
  seg: {kind: segment}
  lit: {kind: segment, lamps: [in]}
  Z1: {kind: zone}
""",
        )
        area = (Position(47.2, 4.9), Position(47.4, 5.2))

        found = survey(inventory, KINDS, area)

        assert [(f.code, f.message, f.at.line) for f in found] == [
            ("W225", "twin stands where in stands", 3),
            ("W224", "out stands at 48.90000, 2.30000, outside of the city", 5),
            ("W224", "swap stands at 5.00000, 47.30000, outside of the city", 6),
            ("W221", "1 of 2 segment have no lamps: seg", 7),
        ]
        assert found[2].label == "latitude and longitude seem to be swapped"
        assert not any(f.is_error for f in found)
        assert [f.code for f in survey(inventory, KINDS, None)] == ["W225", "W221"]

    def test_many_are_counted(self, tmp_path: Path) -> None:
        """Ten are shown, the rest is one line."""
        things = ", ".join(f"L{n}: {{kind: lamp, position: [47.3, 5.0]}}" for n in range(40))
        found = survey(read(tmp_path, f"- {{{things}}}\n"), KINDS, None)

        assert len(found) == 11
        assert "29 more findings W225 are left out" in [f.message for f in found]


def test_positions_of_entities() -> None:
    """An entity without a position is nowhere, and nobody doubts it."""
    inventory = Inventory((EntitySpec("L", "lamp"),), [], {})
    assert survey(inventory, KINDS, (Position(0.0, 0.0), Position(1.0, 1.0))) == []
