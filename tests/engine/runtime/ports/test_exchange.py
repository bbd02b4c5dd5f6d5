"""What every `Exchange` and every `Placement` promises, with one partition and with four."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.ports import Exchange, Placement
from pilotage.runtime.exchange import ExchangeFullError, LocalExchange, Sieve
from pilotage.runtime.placement import OnePartition, ZonePlacement

Reads = Mapping[str, Collection[str]]
Message = tuple[str, int, int, bytes]

EXCHANGES: dict[str, Callable[[Reads], Exchange]] = {"local": LocalExchange}
"""Every implementation of `Exchange`: a second one is one line."""

PLACEMENTS: dict[str, Callable[[], Placement]] = {
    "one": OnePartition,
    "zones": lambda: ZonePlacement({"centre": "south", "Talant": "west", "Quetigny": "east"}),
}
"""Every implementation of `Placement`: a second one is one line."""

FOUR = ("city", "east", "south", "west")
READS: dict[str, Reads] = {
    "1 partition": {"city": ["city"]},
    "4 partitions": {partition: [p for p in FOUR if p != partition] for partition in FOUR},
}


@pytest.fixture(params=product(EXCHANGES, READS), ids=str)
def exchange_of(request: pytest.FixtureRequest) -> tuple[Exchange, Reads]:
    name, reads = request.param
    return EXCHANGES[name](READS[reads]), READS[reads]


class TestExchangeContract:
    def test_all_readers(self, exchange_of: tuple[Exchange, Reads]) -> None:
        """Each reader gets every message of what it reads, in order per source, and nothing else."""
        exchange, reads = exchange_of
        heard: dict[str, list[Message]] = {reader: [] for reader in reads}
        for reader in reads:
            exchange.subscribe(
                reader, lambda *message, reader=reader: heard[reader].append(message)
            )
        sent = [(source, 1, n, b"%d" % n) for n in range(50) for source in reads]
        for message in sent:
            exchange.publish(*message)
        for reader, sources in reads.items():
            assert heard[reader] == [message for message in sent if message[0] in sources]

    def test_late_reader(self, exchange_of: tuple[Exchange, Reads]) -> None:
        """Who comes later gets what waits for it."""
        exchange, reads = exchange_of
        reader, sources = next(iter(reads.items()))
        source = next(iter(sources))
        exchange.publish(source, 1, 1, b"early")
        heard: list[Message] = []
        exchange.subscribe(reader, lambda *message: heard.append(message))
        exchange.publish(source, 1, 2, b"late")
        assert heard == [(source, 1, 1, b"early"), (source, 1, 2, b"late")]

    def test_at_least_once(self, exchange_of: tuple[Exchange, Reads]) -> None:
        """A message that its reader could not take comes again, before the next; what came twice can be dropped."""
        exchange, reads = exchange_of
        reader, sources = next(iter(reads.items()))
        source = next(iter(sources))
        heard: list[Message] = []
        sieve, new = Sieve(), []
        fails = [False, True, True, False, False]

        def receive(*message: Any) -> None:
            heard.append(message)
            if sieve.is_new(*message[:3]):
                new.append(message[2])
            if fails and fails.pop(0):
                raise ConnectionError("the reader is not there")

        exchange.subscribe(reader, receive)
        for n in range(5):
            exchange.publish(source, 1, n, b"")
        assert [message[2] for message in heard] == [0, 1, 1, 1, 2, 3, 4]
        assert new == [0, 1, 2, 3, 4]

    def test_reader_that_publishes(self, exchange_of: tuple[Exchange, Reads]) -> None:
        """A reader may publish while it receives; the order stays."""
        exchange, reads = exchange_of
        reader, sources = next(iter(reads.items()))
        source = next(iter(sources))
        heard: list[int] = []

        def receive(_source: str, _epoch: int, sequence: int, _message: bytes) -> None:
            heard.append(sequence)
            if sequence < 5:
                exchange.publish(source, 1, sequence + 1, b"")
                heard.append(-1)

        exchange.subscribe(reader, receive)
        exchange.publish(source, 1, 0, b"")
        assert [n for n in heard if n >= 0] == [0, 1, 2, 3, 4, 5]


class TestLocalExchange:
    def test_bounded(self) -> None:
        """What waits for a reader that takes nothing is bounded, and whoever publishes is told."""
        exchange = LocalExchange({"north": ["south"]}, most_waiting=3)
        for n in range(3):
            exchange.publish("south", 1, n, b"")
        with pytest.raises(ExchangeFullError, match="wait for north"):
            exchange.publish("south", 1, 3, b"")


class TestSieve:
    @given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 4))))
    def test_only_forward(self, messages: list[tuple[str, int, int]]) -> None:
        """What passes goes forward per source: an old epoch says nothing any more, and nothing comes twice."""
        sieve = Sieve()
        passed = [message for message in messages if sieve.is_new(*message)]
        for source in "ab":
            places = [message[1:] for message in passed if message[0] == source]
            assert places == sorted(set(places))
        for source, epoch, sequence in messages:
            assert not sieve.is_new(source, epoch, sequence)


@pytest.mark.parametrize("make", PLACEMENTS.values(), ids=PLACEMENTS)
class TestPlacementContract:
    @given(zone=st.text())
    def test_pure_and_known(self, make: Callable[[], Placement], zone: str) -> None:
        """The same zone is always in the same partition, and that is one of the partitions."""
        first, second = make(), make()
        assert first.partition_of(zone) == second.partition_of(zone)
        assert first.partition_of(zone) in first.partitions

    def test_in_order(self, make: Callable[[], Placement]) -> None:
        """Partitions are told once each, in order of name."""
        partitions = list(make().partitions)
        assert partitions == sorted(set(partitions))


class TestZonePlacement:
    def test_table(self) -> None:
        """A zone is where the table says, any other in the default partition."""
        placement = ZonePlacement({"centre": "south", "Talant": "west", "port": "south"}, "rest")
        zones = ("centre", "Talant", "port", "", "Longvic")
        assert [placement.partition_of(zone) for zone in zones] == [
            *("south", "west", "south", "rest", "rest"),
        ]
        assert placement.partitions == ("rest", "south", "west")

    @pytest.mark.parametrize("name", ["", "../x", "Nord", "a b", "9", "a/b"])
    def test_names(self, name: str) -> None:
        """A partition's name can be a file's name."""
        with pytest.raises(ValueError, match="is no name for a partition"):
            ZonePlacement({"centre": name})
