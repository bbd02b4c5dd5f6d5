"""What every `InputLog` and `DecisionLog` promises, with one partition and with four."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pilotage.ports import ConfigSwitch, DecisionRecord, Envelope, Fenced
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


def open_sqlite(folder: Path, partitions: tuple[str, ...]) -> SqliteJournal:
    journal = SqliteJournal(folder / "journal.db", Health(), lazy_s=0.01)
    journal.open(*partitions)
    return journal


LOGS: dict[str, Callable[[Path, tuple[str, ...]], Any]] = {"sqlite": open_sqlite}
"""Every implementation of `InputLog` and `DecisionLog`: a second one is one line."""

PARTITIONS = (("city",), ("city", "east", "south", "west"))


@pytest.fixture(params=PARTITIONS, ids=lambda partitions: f"{len(partitions)}p")
def partitions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


@pytest.fixture(params=LOGS)
def log(
    request: pytest.FixtureRequest, tmp_path: Path, partitions: tuple[str, ...]
) -> Iterator[Any]:
    log = LOGS[request.param](tmp_path, partitions)
    yield log
    log.close()


def record(number: int, now: float | None = None) -> DecisionRecord:
    return DecisionRecord(number, float(number) if now is None else now, b'{"number":%d}' % number)


class TestDecisionLogContract:
    async def test_answers_with_the_number(self, log: Any, partitions: tuple[str, ...]) -> None:
        """An append answers with the decision's number, and the log of its partition ends there."""
        for partition in partitions:
            assert log.last_number(partition) == 0
            assert await log.append(partition, 0, record(1)) == 1
            assert await log.append(partition, 1, record(2)) == 2
            assert log.last_number(partition) == 2

    async def test_many_at_once_keep_their_order(
        self, log: Any, partitions: tuple[str, ...]
    ) -> None:
        """Appends that were not awaited one by one are answered in order, and read back in order, in each partition."""
        answered: dict[str, list[int]] = {partition: [] for partition in partitions}
        waiting = []
        for number, partition in product(range(500), partitions):
            one = asyncio.ensure_future(log.append(partition, number, record(number + 1)))
            one.add_done_callback(lambda done, p=partition: answered[p].append(done.result()))
            waiting.append(one)
        await asyncio.gather(*waiting)
        for partition in partitions:
            assert answered[partition] == list(range(1, 501))
            assert [r.number for r in log.decisions(partition)] == answered[partition]

    async def test_same_bytes(self, log: Any, partitions: tuple[str, ...]) -> None:
        """A record comes back byte for byte, from its partition only."""
        given = {
            partition: DecisionRecord(1, 1_800_000_000.25, f'{{"text":"{partition} ☂"}}'.encode())
            for partition in partitions
        }
        for partition in partitions:
            await log.append(partition, 0, given[partition])
        assert {p: list(log.decisions(p)) for p in partitions} == {p: [given[p]] for p in given}

    async def test_wrong_expectation_is_fenced(self, log: Any, partitions: tuple[str, ...]) -> None:
        """A record that does not follow the last one is refused, and so is all that this writer appends later."""
        first, *others = partitions
        await log.append(first, 0, record(1))
        for expect in (5, 1):
            with pytest.raises(Fenced):
                await log.append(first, expect, record(expect + 1))
        assert log.last_number(first) == 1
        for partition in others:  # a fence in one leaves the others alone
            assert await log.append(partition, 0, record(1)) == 1

    async def test_by_time(self, log: Any, partitions: tuple[str, ...]) -> None:
        """Decisions are found from a time on, before a time, and after a number."""
        for number, partition in product(range(1, 11), partitions):
            await log.append(partition, number - 1, record(number, 100.0 + number))
        for partition in partitions:
            found = log.decisions(partition, since=103.0, until=106.0)
            assert [r.number for r in found] == [3, 4, 5]
            assert [r.number for r in log.decisions(partition, after=8)] == [9, 10]
            assert list(log.decisions(partition, since=200.0)) == []

    async def test_pages(self, log: Any, partitions: tuple[str, ...]) -> None:
        """More decisions than one page holds are read without a gap."""
        waiting = [log.append(p, n, record(n + 1)) for n, p in product(range(1_234), partitions)]
        await asyncio.gather(*waiting)
        for partition in partitions:
            assert [r.number for r in log.decisions(partition)] == list(range(1, 1_235))


class TestInputLogContract:
    async def test_inputs_before_their_decision(
        self, log: Any, partitions: tuple[str, ...]
    ) -> None:
        """Once a decision is answered, the inputs before it are on disk, in order, each at its position."""
        envelopes = [Envelope(float(n), b"[1,%d]" % n, 0, n + 1) for n in range(20)]
        for envelope, partition in product(envelopes, partitions):
            assert log.put(partition, envelope) == envelope.position
        for partition in partitions:
            await log.append(partition, 0, record(1))
            assert list(log.inputs(partition)) == envelopes

    async def test_without_a_decision(
        self, log: Any, partitions: tuple[str, ...], eventually: Eventually
    ) -> None:
        """Inputs that decide nothing are written too, a little later."""
        for partition in partitions:
            log.put(partition, Envelope(1.0, b"[1]", 0))
        await eventually(lambda: all(list(log.inputs(partition)) for partition in partitions))

    async def test_after_a_position(self, log: Any, partitions: tuple[str, ...]) -> None:
        """A replay gets the inputs that came after the position that it starts from, and only its partition's."""
        for number, partition in product(range(3), partitions):
            log.put(partition, Envelope(float(number), partition.encode(), number))
        for partition in partitions:
            assert await log.flushed(partition) == log.position(partition) == 3
            found = list(log.inputs(partition, after_position=1))
            assert [(e.now, e.inputs) for e in found] == [
                (1.0, partition.encode()),
                (2.0, partition.encode()),
            ]
            assert list(log.inputs(partition, after_position=3)) == []

    async def test_switches_in_order(self, log: Any, partitions: tuple[str, ...]) -> None:
        """A switch knows after which input of its partition it came."""
        for partition in partitions:
            log.put(partition, Envelope(1.0, b"[1]", 0))
            log.switch(partition, ConfigSwitch(1.5, "abc"))
            log.put(partition, Envelope(2.0, b"[1]", 0))
            assert await log.flushed(partition) == 2
