from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.model.entities import PointSpec
from pilotage.model.values import NUMBER
from pilotage_modbus.blocks import MAX_BITS, MAX_REGISTERS, Part, coalesce
from pilotage_modbus.codec import BIT, Layout, Table

SPEC = PointSpec("p", NUMBER)


@dataclass(frozen=True)
class Handle:
    id: str
    spec: PointSpec = SPEC


def part(
    address: int,
    type_: str = "uint16",
    unit: int = 1,
    table: Table = Table.HOLDING,
    every_s: float = 1.0,
) -> Part:
    layout = Layout(BIT if table.has_bits else type_)
    handle = Handle(f"{unit}.{table.value}.{address}")
    return Part(handle, unit, table, address, layout, None, every_s, 1.0)


def spans(parts: list[Part], gap: int = 0, most: int = MAX_REGISTERS) -> list[tuple[int, int]]:
    return [(block.start, block.count) for block in coalesce(parts, gap, most)]


class TestCoalesce:
    def test_neighbours(self) -> None:
        """Neighbours are one request, in any order of writing."""
        assert spans([part(12), part(10, "uint32")]) == [(10, 3)]

    @pytest.mark.parametrize(("gap", "wanted"), [(3, [(10, 1), (15, 1)]), (4, [(10, 6)])])
    def test_gap(self, gap: int, wanted: list[tuple[int, int]]) -> None:
        """Addresses that nobody asked for are read along, up to the gap."""
        assert spans([part(10), part(15)], gap) == wanted

    def test_limit(self) -> None:
        """No request is longer than the device allows, and no number is cut in two."""
        assert spans([part(n) for n in range(200)]) == [(0, 125), (125, 75)]
        assert spans([part(n, "float32") for n in range(0, 126, 2)]) == [(0, 124), (124, 2)]
        assert spans([part(n) for n in range(6)], most=4) == [(0, 4), (4, 2)]

    def test_bits(self) -> None:
        """Coils have a limit of their own."""
        coils = [part(n, table=Table.COIL) for n in range(MAX_BITS + 1)]
        assert spans(coils) == [(0, MAX_BITS), (MAX_BITS, 1)]

    def test_company(self) -> None:
        """What differs in unit, table or rate is not read together."""
        parts = [
            part(1),
            part(2, unit=2),
            part(3, table=Table.INPUT),
            part(4, every_s=60.0),
        ]
        assert len(coalesce(parts, 125)) == 4

    @given(
        addresses=st.sets(st.integers(0, 3000), min_size=1, max_size=150),
        gap=st.integers(0, 125),
        most=st.integers(4, 125),
    )
    def test_everything_once(self, addresses: set[int], gap: int, most: int) -> None:
        """Each part is in exactly one block, inside it, and no block is too long."""
        parts = [part(2 * address, "uint32") for address in addresses]
        blocks = coalesce(parts, gap, most)
        assert sorted(p.address for b in blocks for p in b.parts) == sorted(
            2 * a for a in addresses
        )
        for block in blocks:
            assert block.count <= most
            assert all(
                block.start <= p.address and p.end <= block.start + block.count for p in block.parts
            )


class TestSplit:
    def test_halves(self) -> None:
        """Two halves read the same parts, without what lies between."""
        (block,) = coalesce([part(0), part(5), part(9), part(20, "uint32")], 20)
        low, high = block.split()
        assert (low.start, low.count, high.start, high.count) == (0, 6, 9, 13)
        assert low.parts + high.parts == block.parts

    def test_one_place(self) -> None:
        """Two bit fields of one register cannot be read apart."""
        (block,) = coalesce([part(3), part(3)], 0)
        assert block.split() == ()
