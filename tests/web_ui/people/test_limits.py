"""Buckets of tries."""

from __future__ import annotations

from pilotage_web.people.limits import Buckets, network_of


class TestBuckets:
    def test_burst_then_one_by_one(self) -> None:
        """So many at once, then one each so many seconds."""
        buckets = Buckets(3, 10.0)

        assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
        assert buckets.wait_s("a", 4.0) == 6.0
        assert not buckets.take("a", 9.9)
        assert buckets.take("a", 10.0)
        assert buckets.take("b", 0.0)

    def test_what_was_right_costs_nothing(self) -> None:
        """A try that is given back is there again, and there are never more than the burst."""
        buckets = Buckets(2, 10.0)
        for _ in range(10):
            assert buckets.take("a", 0.0)
            buckets.give_back("a", 0.0)
        buckets.give_back("a", 0.0)

        assert buckets.left("a", 0.0) == 2.0

    def test_a_clock_that_goes_back(self) -> None:
        """Nothing is won by it, and nothing lost."""
        buckets = Buckets(2, 10.0)
        buckets.take("a", 100.0)

        assert buckets.left("a", 50.0) == 1.0

    def test_a_flood_of_senders(self) -> None:
        """The table is bounded: what was touched longest ago goes."""
        buckets = Buckets(2, 10.0, most=100)
        for number in range(10_000):
            buckets.take(f"sender {number}", 0.0)

        assert len(buckets) == 100
        assert buckets.left("sender 9999", 0.0) == 1.0


class TestNetwork:
    def test_one_sender(self) -> None:
        """An IPv4 address is one sender, and so is a /64 of IPv6 with all its addresses."""
        assert network_of("192.0.2.7") == "192.0.2.7"
        assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
        assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1")
        assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
        assert network_of("testclient") == "testclient"
