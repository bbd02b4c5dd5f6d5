"""What an inventory says of points otherwise than their kind, and what it must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.core.engine import Engine
from pilotage.language.loader import ListNode, load
from pilotage.language.program import Program
from pilotage.model.entities import Access, Kind, OnLoss, PointSpec, Rate
from pilotage.model.values import enum, number
from pilotage.runtime.inventory import read_inventory, read_inventory_text

POST = Kind(
    "post",
    "Post",
    (
        PointSpec("position", enum("up", "down"), Access.BOTH, default="up", on_loss_by_site=True, max_rate=Rate(1, 10.0)),
        PointSpec("light", number("%"), Access.BOTH, low=0.0, high=100.0, on_loss=OnLoss(100.0, 60.0)),
        PointSpec("car", enum("yes", "no")),
    ),
)  # fmt: skip
KINDS = {"post": POST}


def said(text: str) -> list[tuple[str, int]]:
    return [(f.code, f.at.line) for f in read_inventory_text(text, KINDS).findings]


class TestEntities:
    def test_said(self) -> None:
        """A value and a time, a value alone with the kind's time, a rate: the entity's points have them."""
        inventory = read_inventory_text(
            "b-1: {kind: post, on_loss: {position: {value: down, after: 1 min}, light: 50}, max_rate: {position: 2 per 1 min}}\n"
            "b-2: {kind: post, on_loss: {position: up}}\n",
            KINDS,
        )
        assert inventory.findings == []
        first, second = inventory.entities
        position, light, _ = (first.point(p) for p in POST.points)
        assert (position.on_loss, position.max_rate) == (OnLoss("down", 60.0), Rate(2, 60.0))
        assert light.on_loss == OnLoss(50.0, 60.0)
        position, light, car = (second.point(p) for p in POST.points)
        assert (position.on_loss, position.max_rate) == (OnLoss("up", 30.0), Rate(1, 10.0))
        assert (light, car) == POST.points[1:]

    def test_reaches_the_engine(self) -> None:
        """The points of the running city are the entity's own."""
        inventory = read_inventory_text("b-1: {kind: post, on_loss: {position: down}}", KINDS)
        engine = Engine(Program(KINDS, {}, {}), inventory.entities, 0.0)
        assert engine.cells["b-1.position"].spec.on_loss == OnLoss("down", 30.0)

    def test_unsaid(self) -> None:
        """What the kind leaves to the site and nobody says is an error at the entity."""
        assert said("b-1: {kind: post}\nb-2: {kind: post, on_loss: {light: 5}}") == [
            ("C227", 1),
            ("C227", 2),
        ]

    @pytest.mark.parametrize(
        ("written", "code"),
        [
            ("on_loss: {position: sideways}", "C215"),
            ("on_loss: {position: {value: down, after: 30}}", "C215"),
            ("on_loss: {position: {value: down, later: 30 s}}", "E110"),
            ("on_loss: {position: down, light: 101}", "C215"),
            ("on_loss: {position: down, car: yes}", "C214"),
            ("on_loss: {position: down}, max_rate: {position: often}", "C226"),
            ("on_loss: {position: down}, max_rate: {position: 0 per 10 s}", "C226"),
        ],
    )
    def test_wrong(self, written: str, code: str) -> None:
        """Each mistake is found at its place."""
        assert code in [c for c, _ in said(f"b-1: {{kind: post, {written}}}")]


class TestFiles:
    def test_mapping(self, tmp_path: Path) -> None:
        """A mapping says it for all its rows."""
        (tmp_path / "posts.csv").write_text("id\nb-1\nb-2\n")
        text = '- {file: posts.csv, kind: post, id: "{id}", on_loss: {position: down}, max_rate: {light: 1 per 5 s}}'
        node, _ = load(text, "x.yaml")
        assert isinstance(node, ListNode)
        inventory = read_inventory(node, tmp_path, KINDS)
        assert inventory.findings == []
        assert [e.point(POST.points[0]).on_loss for e in inventory.entities] == [OnLoss("down")] * 2
        assert inventory.entities[0].point(POST.points[1]).max_rate == Rate(1, 5.0)
