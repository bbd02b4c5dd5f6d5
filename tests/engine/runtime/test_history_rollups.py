"""Roll-ups: means weighted by time, extremes, how long a value was known, days of the city."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.runtime.history.codec import MISSING, STILL, DamagedBlockError, Sample
from pilotage.runtime.history.rollups import (
    OTHERS,
    Bucket,
    cut,
    day_start,
    decode_pack,
    edges_of,
    encode_pack,
    merge,
    next_day,
    roll,
    roll_day,
)

PARIS = ZoneInfo("Europe/Paris")
STALE = 3


def at(seconds: float, value: object, code: int = 0) -> Sample:
    return (round(seconds * 1000), code, value)


class TestRoll:
    def test_mean_is_weighted_by_time(self) -> None:
        """10 for half a minute and 20 for the other half is 15, however many readings said so."""
        samples = [at(0, 10.0), at(30, 20.0), at(31, 20.0), at(32, 20.0)]
        (bucket,) = roll(samples, [0.0, 60.0])
        assert (bucket.mean, bucket.low, bucket.high) == (15.0, 10.0, 20.0)
        assert (bucket.count, bucket.known) == (4, 1.0)

    def test_a_value_holds_until_the_next(self) -> None:
        """A minute without a reading has the value from before, and no reading."""
        minutes = roll([at(30, 8.0)], [0.0, 60.0, 120.0])
        assert [(b.known_s, b.mean, b.count) for b in minutes] == [(30.0, 8.0, 1), (60.0, 8.0, 0)]

    def test_unknown_time_does_not_count(self) -> None:
        """From a stale value on nothing is known, and the mean is of the known time alone."""
        (bucket,) = roll([at(0, 6.0), at(15, None, STALE)], [0.0, 60.0])
        assert (bucket.mean, bucket.known) == (6.0, 0.25)

    def test_before_the_first_edge(self) -> None:
        """What came before says what holds at the first edge; it is no reading of this stretch."""
        (bucket,) = roll([at(-500, 3.0)], [0.0, 60.0])
        assert (bucket.mean, bucket.count, bucket.known) == (3.0, 0, 1.0)

    def test_words(self) -> None:
        """Of what is no number it is known how long it had which value."""
        (bucket,) = roll([at(0, "up"), at(45, "down"), at(60, "up")], [0.0, 120.0])
        assert bucket.spent == {"up": 105.0, "down": 15.0}
        assert bucket.mean is None
        (switch,) = roll([at(0, True), at(20, False)], [0.0, 60.0])
        assert switch.spent == {"true": 20.0, "false": 40.0}

    def test_an_extreme_of_a_moment(self) -> None:
        """A peak that holds for no time at all is still the largest value."""
        (bucket,) = roll([at(0, 1.0), at(30, 99.0), at(30, 1.0)], [0.0, 60.0])
        assert (bucket.high, bucket.mean) == (99.0, 1.0)

    def test_gaps_are_cut_in(self) -> None:
        """Where nobody recorded, nothing is known until the next sample."""
        samples = cut([at(0, 5.0), at(50, 5.0)], [(20.0, 40.0)])
        assert samples[1] == (20_000, MISSING | STILL, None)
        (bucket,) = roll(samples, [0.0, 60.0])
        assert (bucket.known_s, bucket.count) == (30.0, 2)

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 7_200_000),
                st.sampled_from([0, 1, 2, 3, 4, STILL]),
                st.floats(-100.0, 100.0),
            ),
            min_size=1,
            max_size=40,
        )
    )
    def test_coarse_is_what_fine_says(self, rows: list[tuple[int, int, float]]) -> None:
        """A quarter worked out of its minutes is the quarter worked out of the samples."""
        samples = sorted(
            [(t, c, v if c & 7 <= 1 else None) for t, c, v in rows], key=lambda row: row[0]
        )
        edges = [900.0 * n for n in range(9)]
        direct = roll(samples, edges)
        merged = merge(roll(samples, [60.0 * n for n in range(121)]), edges)
        for one, other in zip(direct, merged, strict=True):
            assert one.count == other.count
            assert one.known_s == pytest.approx(other.known_s, abs=1e-6)
            assert (one.low, one.high) == (other.low, other.high)
            if one.known_s > 1e-3:
                assert one.mean == pytest.approx(other.mean, abs=1e-6)


class TestDays:
    @pytest.mark.parametrize(
        ("date", "hours"), [("2026-03-29", 23), ("2026-06-21", 24), ("2026-10-25", 25)]
    )
    def test_a_day_is_the_citys(self, date: str, hours: int) -> None:
        """Days begin at the city's midnight; where the clock is changed they have 23 or 25 hours."""
        noon = datetime.fromisoformat(f"{date}T12:00").replace(tzinfo=PARIS).timestamp()
        start = day_start(noon, PARIS)
        end = next_day(start, PARIS)
        assert (end - start) / 3600 == hours
        assert datetime.fromtimestamp(start, PARIS).isoformat()[:16] == f"{date}T00:00"
        often = [at(start + second, 1.0) for second in range(0, hours * 3600 + 600, 59)]
        found = roll_day(often, start, end)
        assert [len(found[level]) for level in ("1min", "15min", "1h", "1d")] == [
            hours * 60, hours * 4, hours, 1,
        ]  # fmt: skip
        assert found["1d"][0].known == pytest.approx(1.0)

    def test_no_minutes_of_a_slow_point(self) -> None:
        """A point with less than a sample a minute has no roll-ups of a minute: its samples tell as much."""
        found = roll_day([at(second, 1.0) for second in range(0, 86_400, 90)], 0.0, 86_400.0)
        assert list(found) == ["15min", "1h", "1d"]
        assert found["1d"][0].count == 960

    def test_edges(self) -> None:
        """The last edge is the day's end."""
        assert edges_of(0.0, 3600.0, 900.0) == [0.0, 900.0, 1800.0, 2700.0, 3600.0]


class TestPack:
    def test_comes_back(self) -> None:
        """Buckets come back: numbers exactly, times to the millisecond, unknown ones too."""
        buckets = roll(
            [at(0, 1.5), at(70, 1 / 3), at(90, None, STALE)], [60.0 * n for n in range(6)]
        )
        assert decode_pack(encode_pack(buckets)) == buckets

    def test_words_come_back(self) -> None:
        """Shares of values come back."""
        buckets = roll([at(0, "up"), at(70, "down")], [60.0 * n for n in range(4)])
        assert decode_pack(encode_pack(buckets)) == buckets

    def test_many_words(self) -> None:
        """A text with very many values names the most frequent; the others share a name, and no time is lost."""
        bucket = Bucket(0.0, 3600.0)
        for number in range(200):
            bucket.hold(f"text {number}", 1.0 + number / 100)
        (back,) = decode_pack(encode_pack([bucket]))
        assert len(back.spent) == 33
        assert sum(back.spent.values()) == pytest.approx(bucket.known_s, abs=0.1)
        assert OTHERS in back.spent
        assert "text 199" in back.spent

    def test_damage_is_named(self) -> None:
        """Bytes that are no pack are refused."""
        with pytest.raises(DamagedBlockError):
            decode_pack(b"nothing")
