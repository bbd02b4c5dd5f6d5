"""What a server shows becomes proposals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pilotage.cli import main
from pilotage.model.entities import Kind, PointSpec
from pilotage.model.values import number
from pilotage_opcua.looking import Thing, propose

LAMP = Kind("lamp", "Lamp", (PointSpec("level", number("%")), PointSpec("power", number("W"))))
KINDS = {"lamp": LAMP}


class TestPropose:
    def test_node_ids_that_name_the_thing_share_a_binding(self) -> None:
        """Three of one form are one binding; the fourth, with numbers, has its own."""
        things = [
            Thing(name, ("City", name), {"Level": f"ns=2;s=City.{name}.Level"})
            for name in ("L-1", "L-2", "L-3")
        ]
        things.append(Thing("L 4", ("City", "L 4"), {"Level": "ns=2;i=77"}))

        seen = propose(things, KINDS)

        assert [f.id for f in seen.found] == ["L-1", "L-2", "L-3", "L-4"]
        assert seen.bindings == [
            {"kind": "lamp", "read": {"points": {"level": "ns=2;s=City.{id}.Level"}}},
            {"entity": "L-4", "read": {"points": {"level": "ns=2;i=77"}}},
        ]

    def test_things_of_no_kind_are_noted(self) -> None:
        """They are listed as comments, and bound by nothing."""
        seen = propose([Thing("P", ("Plant", "P"), {"Volts": "ns=2;i=1"})], KINDS)

        assert seen.bindings == []
        assert seen.notes == ["Plant/P (1 alike): no kind has Volts"]


class TestCommand:
    def test_what_is_proposed_is_a_configuration(
        self, plc: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """From a real server: the proposal, taken over as it stands, has no finding."""
        words = ["discover", "opcua", "-o", f"url={plc.url}", "-o", "security=none"]

        assert main(words) == 0
        text = capsys.readouterr().out
        tree = YAML(typ="safe").load(text)
        assert {"lamp-1": {"kind": "lamp"}} in tree["inventory"]
        assert "ns=2;s=City.{id}.Level" in text
        config = tmp_path / "config.yaml"
        config.write_text("site: {name: X, position: [47.3, 5.0]}\nrules: []\n" + text)
        assert main(["check", "-c", str(config)]) == 0, capsys.readouterr().out

    def test_nobody_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The text says who."""
        words = ["discover", "opcua", "-o", "url=opc.tcp://127.0.0.1:1", "-o", "security=none"]

        assert main(words) == 1
        assert "opc.tcp://127.0.0.1:1" in capsys.readouterr().err
