"""`pilotage discover`: what a broker and a server show, as proposals that a site can take over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pilotage.adapter import ConnectionSettings
from pilotage.adapter.discovery import Discovery, Found, entity_id, likeness
from pilotage.cli import main
from pilotage.cli.discover import flow, proposal
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import BOOLEAN, number

LAMP = Kind(
    "lamp", "Lamp", (PointSpec("level", number("%"), Access.BOTH), PointSpec("lamp_fail", BOOLEAN))
)
METER = Kind("meter", "Meter", (PointSpec("power", number("W")), PointSpec("level", number("m"))))
KINDS = {kind.name: kind for kind in (LAMP, METER)}


class TestLikeness:
    @pytest.mark.parametrize(
        ("fields", "words", "kind", "points"),
        [
            (["level", "lampFail"], [], "lamp", {"level": "level", "lampFail": "lamp_fail"}),
            (["power", "level"], [], "meter", {"power": "power", "level": "level"}),
            (["level"], ["city", "meters"], "meter", {"level": "level"}),
            (["level"], ["city"], "lamp", {"level": "level"}),
        ],
    )
    def test_most_points_then_the_name(
        self, fields: list[str], words: list[str], kind: str, points: dict[str, str]
    ) -> None:
        """The kind with most points of these names; one that is named beside them goes first."""
        found = likeness(fields, words, KINDS)
        assert found is not None
        assert (found.kind.name, found.points) == (kind, points)

    def test_nothing_alike(self) -> None:
        """A name alone makes no kind: nothing could be bound."""
        assert likeness(["volts"], ["lamp"], KINDS) is None

    @pytest.mark.parametrize(
        ("text", "id_"), [("L-1", "L-1"), ("0x00/ab cd", "0x00-ab-cd"), ("a.b", "a-b"), ("/", "")]
    )
    def test_ids(self, text: str, id_: str) -> None:
        """What an inventory does not take becomes a dash."""
        assert entity_id(text) == id_


class TestProposal:
    def test_is_yaml_with_comments(self) -> None:
        """What looks like nothing is a comment; secrets do not show; the rest is taken as it stands."""
        seen = Discovery(
            [
                Found("L-1", "lamp", 'Rue "A": 1', "city/L-1: 3"),
                Found("X", "", "", "what\nis that"),
            ],
            [{"kind": "lamp", "read": {"topic": "city/{id}", "point": "level"}}],
            ["odd/topic: ?"],
        )
        options = {"host": "127.0.0.1", "port": 1883, "points": [], "password": _Secret("x")}
        text = "\n".join(proposal(seen, ConnectionSettings("street", "mqtt", options), 5.0))

        tree = YAML(typ="safe").load(text)
        assert tree["inventory"] == [{"L-1": {"kind": "lamp", "name": 'Rue "A": 1'}}]
        assert tree["connections"]["street"] == {
            "adapter": "mqtt", "host": "127.0.0.1", "port": 1883, "password": {"secret": "NAME"},
            "points": [{"kind": "lamp", "read": {"topic": "city/{id}", "point": "level"}}],
        }  # fmt: skip
        assert "# - X: " in text
        assert "#   odd/topic: ?" in text

    @pytest.mark.parametrize(
        "value",
        ["no", "1", "a b", "a: b", "# x", "", "é", True, None, 1.5, [1, "x"], {"a": {"b": "on"}}],
    )
    def test_what_is_written_is_read(self, value: Any) -> None:
        """Every value comes back as it was."""
        assert YAML(typ="safe").load(f"- {flow(value)}") == [value]


class _Secret(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "***"


class TestUsage:
    def test_an_adapter_that_cannot(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Those that can are named."""
        assert main(["discover", "modbus"]) == 1
        assert "mqtt, opcua" in capsys.readouterr().err

    def test_nobody_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The text says who."""
        assert main(["discover", "mqtt", "-o", "host=127.0.0.1", "-o", "port=1"]) == 1
        assert "cannot connect to 127.0.0.1:1" in capsys.readouterr().err

    def test_wrong_options(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The adapter's own findings are shown."""
        assert main(["discover", "mqtt", "-o", "hots=x"]) == 1
        said = capsys.readouterr().err
        assert '"hots" is no option here' in said
        assert '"host" is missing' in said
        assert main(["discover", "mqtt", "-o", "host"]) == 1
        assert '"host" is no option' in capsys.readouterr().err

    def test_an_unknown_connection(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The connections of the site are named."""
        config = tmp_path / "config.yaml"
        config.write_text(
            "site: {name: X, position: [47, 5]}\nrules: []\nconnections: {a: {adapter: mqtt}}\n"
        )
        assert main(["discover", "b", "-c", str(config)]) == 1
        assert "its connections are: a" in capsys.readouterr().err
