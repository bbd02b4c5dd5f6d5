"""Blocks of the history: what goes in comes out, and it takes a few bytes."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pilotage.model.quality import Quality
from pilotage.model.values import Position
from pilotage.runtime.history.codec import (
    CODES,
    MISSING,
    STILL,
    DamagedBlockError,
    Gathered,
    Sample,
    decode_block,
    decode_segment,
    encode_block,
    encode_segment,
    is_known,
    plain,
    quality_of,
)

MS = 1_800_000_000_000

numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
words = st.one_of(st.booleans(), st.text(max_size=20), st.lists(st.text(max_size=5), max_size=3))
places = st.tuples(
    st.integers(-900_000_000, 900_000_000), st.integers(-1_800_000_000, 1_800_000_000)
).map(lambda pair: [pair[0] / 1e7, pair[1] / 1e7])


def samples_of(values: st.SearchStrategy[object]) -> st.SearchStrategy[list[Sample]]:
    """Return samples in order of time, whose value is unknown where the code says so."""
    times = st.integers(MS, MS + 3_600_000)
    codes = st.sampled_from([*CODES.values(), *(code | STILL for code in CODES.values())])
    rows = st.lists(st.tuples(times, codes, values), min_size=1, max_size=60)
    return rows.map(
        lambda found: [(t, c, v if is_known(c) else None) for t, c, v in sorted(found, key=_first)]
    )


def _first(row: tuple[int, int, object]) -> int:
    return row[0]


class TestBlock:
    @settings(max_examples=150, deadline=None)
    @example(samples=[(1, 0, 1.797693134862316e307), (2, 0, 0.5)])
    @given(samples=st.one_of(samples_of(numbers), samples_of(words), samples_of(places)))
    def test_comes_back(self, samples: list[Sample]) -> None:
        """Any samples of a point come back exactly, with their quality."""
        assert decode_block(encode_block(samples)) == samples

    def test_mixed_types(self) -> None:
        """A point whose kind changed its type between two versions is still read."""
        samples: list[Sample] = [(MS, 0, 3.0), (MS + 1, 0, "three"), (MS + 2, 0, True)]
        assert decode_block(encode_block(samples)) == samples

    @pytest.mark.parametrize(
        ("most", "values"),
        [
            (5.0, lambda rng, before: round(before + rng.gauss(0.0, 0.2), 1)),
            (6.0, lambda rng, before: float(rng.randrange(900))),
            (4.5, lambda rng, before: rng.choice(["up", "down", "moving"])),
            (4.5, lambda rng, before: rng.random() < 0.5),
        ],
        ids=["temperature", "count", "enumeration", "switch"],
    )
    def test_takes_a_few_bytes(self, most: float, values: object) -> None:
        """An hour of a point that reports every 100 s takes a few bytes a sample."""
        rng, before, at = random.Random(1), 20.0, MS
        samples: list[Sample] = []
        for _ in range(36):
            at += round(rng.gauss(100_000, 300))
            value = values(rng, before)  # type: ignore[operator]
            before = value if isinstance(value, float) else before
            samples.append((at, 0, value))
        assert len(encode_block(samples)) / len(samples) < most

    @pytest.mark.parametrize("data", [b"", b"x" * 40, zlib.compress(b"\x01"), zlib.compress(b"")])
    def test_damage_is_named(self, data: bytes) -> None:
        """Bytes that are no block are refused, whatever they are."""
        with pytest.raises(DamagedBlockError):
            decode_block(data)

    def test_newer_version_is_refused(self) -> None:
        """A block of another version is not guessed at."""
        block = zlib.decompress(encode_block([(MS, 0, 1.0)]))
        with pytest.raises(DamagedBlockError, match="version 9"):
            decode_block(zlib.compress(block.replace(b"\x01", b"\x09", 1)))


class TestSegment:
    def test_one_point_of_many(self) -> None:
        """The samples of many points come back, or those of one."""
        written: dict[int, list[Sample]] = {
            3: [(MS, 0, 1.0), (MS + 5, MISSING, None)],
            8: [(MS + 1, 1, "up")],
        }
        assert decode_segment(encode_segment(written)) == written
        assert decode_segment(encode_segment(written), 8) == {8: written[8]}


class TestGathered:
    @settings(max_examples=50, deadline=None)
    @given(
        parts=st.lists(
            st.tuples(st.integers(1, 4), st.one_of(samples_of(numbers), samples_of(words))),
            max_size=6,
        )
    )
    def test_comes_back(self, parts: list[tuple[int, list[Sample]]]) -> None:
        """What was added comes back by point, in order, also when a number is followed by a word."""
        gathered = Gathered()
        wanted: dict[int, list[Sample]] = {}
        for number, part in parts:
            gathered.add(number, part)
            wanted.setdefault(number, []).extend(part)
        assert list(gathered.by_point(lambda: None)) == sorted(
            (number, samples) for number, samples in wanted.items() if samples
        )


class TestSample:
    def test_values_as_json_has_them(self) -> None:
        """A position is a list of two, a reference its id, unknown nothing."""
        assert plain(Position(47.3220001, 5.041)) == [47.3220001, 5.041]
        assert plain(None) is None

    @pytest.mark.parametrize("quality", Quality)
    def test_quality(self, quality: Quality) -> None:
        """Each quality has a code, with and without a reading behind it."""
        assert quality_of(CODES[quality]) is quality_of(CODES[quality] | STILL) is quality
        assert is_known(CODES[quality]) is quality.is_usable
