"""The cell of a point: who reads it, in the order in which they came."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.core.store import FEW, Cell
from pilotage.model.entities import PointSpec
from pilotage.model.values import number


class Reader:
    """Somebody who reads."""


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3 * FEW])
def test_readers(count: int) -> None:
    """Few and many are kept alike: each once, in order, and whoever leaves is gone."""
    cell = Cell("L.level", PointSpec("level", number("%")))
    readers: list[Any] = [Reader() for _ in range(count)]
    for reader in (*readers, *readers):
        cell.add_watch(reader)
        cell.add_node(reader)
    assert [*cell.watches] == readers
    assert [*cell.nodes] == readers
    strange: Any = Reader()
    for reader in (readers[0], strange):
        cell.drop_watch(reader)
        cell.drop_node(reader)
    assert [*cell.watches] == readers[1:]
    assert [*cell.nodes] == readers[1:]
