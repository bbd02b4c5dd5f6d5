"""Which registers are read together: as few requests as the limits allow; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pilotage.model.messages import PointHandle
from pilotage_modbus.codec import Convert, Layout, Table

MAX_REGISTERS = 125
"""In one request: V1.1b3, 6.3 and 6.4."""

MAX_BITS = 2_000
"""In one request: V1.1b3, 6.1 and 6.2."""


@dataclass(frozen=True, slots=True)
class Part:
    """One point and where it stands.

    Attributes:
        unit: Unit identifier of the device.
        every_s: How often it is read.
        timeout_s: How long the device may take to answer.
        invalid: Numbers that the device sends when it has none.
    """

    point: PointHandle
    unit: int
    table: Table
    address: int
    layout: Layout
    convert: Convert | None
    every_s: float
    timeout_s: float
    invalid: frozenset[float] = frozenset()

    @property
    def end(self) -> int:
        """The address after its last."""
        return self.address + self.layout.width


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbours that one request reads."""

    unit: int
    table: Table
    start: int
    count: int
    parts: tuple[Part, ...]
    every_s: float
    timeout_s: float

    def split(self) -> tuple[Block, ...]:
        """Return two halves, or nothing when there is only one place left to read."""
        places = sorted({(part.address, part.end) for part in self.parts})
        if len(places) < 2:
            return ()
        middle = places[len(places) // 2][0]
        halves = (
            [part for part in self.parts if part.address < middle],
            [part for part in self.parts if part.address >= middle],
        )
        return tuple(_block(half) for half in halves)


def coalesce(
    parts: Iterable[Part], gap: int, max_registers: int = MAX_REGISTERS, max_bits: int = MAX_BITS
) -> list[Block]:
    """Return the blocks that read all parts; only what has the same unit, table, rate and time-out is read together.

    Args:
        parts: In any order.
        gap: Up to so many addresses that nobody asked for may lie between two neighbours.
        max_registers: In one block.
        max_bits: In one block of coils or discrete inputs.
    """
    blocks: list[Block] = []
    for _, group in groupby(sorted(parts, key=_order), key=_company):
        members = list(group)
        most = max_bits if members[0].table.has_bits else max_registers
        blocks.extend(_block(run) for run in _runs(members, gap, most))
    return blocks


def _company(part: Part) -> tuple[int, str, float, float]:
    return part.unit, part.table.value, part.every_s, part.timeout_s


def _order(part: Part) -> tuple[tuple[int, str, float, float], int, int]:
    return _company(part), part.address, part.end


def _runs(parts: Sequence[Part], gap: int, most: int) -> Iterator[list[Part]]:
    run: list[Part] = []
    end = 0
    for part in parts:
        if run and (part.address - end > gap or max(end, part.end) - run[0].address > most):
            yield run
            run = []
        end = max(end, part.end) if run else part.end
        run.append(part)
    if run:
        yield run


def _block(parts: Sequence[Part]) -> Block:
    first = parts[0]
    end = max(part.end for part in parts)
    return Block(
        first.unit,
        first.table,
        first.address,
        end - first.address,
        tuple(parts),
        first.every_s,
        first.timeout_s,
    )
