"""`pilotage inventory import`: a mapping guessed from column names, shown with what it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotage.cli import main
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import BOOLEAN, POSITION, number
from pilotage.runtime.inventory_proposal import propose

SEGMENT = Kind(
    "segment",
    "Segment",
    (
        PointSpec("position", POSITION, Access.FIXED),
        PointSpec("dimmable", BOOLEAN, Access.FIXED),
        PointSpec("lights.level", number("%"), Access.BOTH),
    ),
    {"lamps": "lamp"},
)


class TestPropose:
    def test_columns_are_known_by_their_names(self) -> None:
        """Without accents, case and signs; what only the device knows is not filled."""
        columns = [
            "Numéro",
            "Libellé",
            "Commune",
            "LAT",
            "Lng",
            "Dimmable",
            "lamps",
            "level",
            "note",
        ]

        made = propose("s.csv", columns, SEGMENT, {})

        assert made.entry == {
            "file": "s.csv", "kind": "segment", "id": "{Numéro}", "name": "{Libellé}", "zone": "{Commune}",
            "values": {"position": ["{LAT}", "{Lng}"], "dimmable": "{Dimmable}"},
            "relations": {"lamps": "{lamps}"},
        }  # fmt: skip
        assert made.unused == ("level", "note")

    def test_what_is_given_goes_first(self) -> None:
        """A column that somebody named is not guessed again."""
        made = propose("s.csv", ["id", "code", "d"], SEGMENT, {"id": "code", "dimmable": "d"})

        assert made.entry["id"] == "{code}"
        assert made.entry["values"] == {"dimmable": "{d}"}
        assert made.unused == ("id",)

    def test_without_an_id(self) -> None:
        """The mend names the option."""
        assert "--map" in propose("s.csv", ["a", "b"], SEGMENT, {}).problem


class TestCommand:
    def test_of_csv(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The entry is shown with its first entities, and is what an inventory takes."""
        file = tmp_path / "lamps.csv"
        file.write_text("number;name;lat;lon;colour\nL-1;One;47.3;5.0;red\nL-2;Two;47.31;5.0;red\n")

        assert main(["inventory", "import", str(file), "--kind", "lamp"]) == 0
        out = capsys.readouterr().out
        assert "# 2 entities." in out
        assert "# columns that are not read: colour" in out
        (tmp_path / "inventory.yaml").write_text(out)
        config = tmp_path / "config.yaml"
        config.write_text(
            "site: {name: X, position: [47.3, 5.0]}\nrules: []\ninventory: [inventory.yaml]\n"
        )
        assert main(["inventory", "-c", str(config)]) == 0
        assert "lamp" in capsys.readouterr().out

    def test_of_geojson(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The feature's own id counts, and the place comes from its geometry."""
        feature = {
            "type": "Feature", "id": "L-1", "properties": {"nom": "Une"},
            "geometry": {"type": "Point", "coordinates": [5.0, 47.3]},
        }  # fmt: skip
        file = tmp_path / "lamps.geojson"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))

        assert main(["inventory", "import", str(file), "--kind", "lamp"]) == 0
        out = capsys.readouterr().out
        assert 'id: "{@id}"' in out
        assert 'name: "{nom}"' in out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "are needed"),
            (["FILE"], "are needed"),
            (["FILE", "--kind", "lmap"], 'there is no kind "lmap"'),
            (["FILE", "--kind", "lamp", "--map", "id"], '"id" is no mapping'),
            (["FILE", "--kind", "lamp", "--map", "colour=a"], 'lamp has no "colour"'),
            (["FILE", "--kind", "lamp", "--map", "id=c"], 'there is no column "c"'),
            (["FILE", "--kind", "lamp"], "no column looks like an id"),
        ],
    )
    def test_mistakes(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
    ) -> None:
        """Each with its mend, and nothing on the output."""
        file = tmp_path / "x.csv"
        file.write_text("a;b\n1;2\n")

        assert main(["inventory", "import", *(str(file) if w == "FILE" else w for w in words)]) == 1
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.out == ""

    def test_findings_are_shown(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Two of one id and a place that is none are errors, at their places in the file."""
        file = tmp_path / "x.csv"
        file.write_text("id;lat;lon\nL-1;47;5\nL-1;47;5\nL-2;470;5\n")

        assert main(["inventory", "import", str(file), "--kind", "lamp"]) == 1
        assert "x.csv:3:1: C211" in capsys.readouterr().err
