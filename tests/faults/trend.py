"""Whether a figure grows: a straight line by least squares through blocks of samples, and how sure its slope is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

BLOCKS: Final = 20
WARM: Final = 0.3
"""Share of the time after which a figure should stand: caches are full, the first snapshots are written."""
# Student's t, 95 %, two-sided, by degrees of freedom. Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
_T: Final = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    6: 2.447,
    8: 2.306,
    10: 2.228,
    14: 2.145,
    18: 2.101,
}


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope with its band.

    Attributes:
        level: Median of the samples.
        per_min: Slope, in the figure's unit a minute.
        band: Half of the 95 % interval of the slope: what noise alone could make of a level figure.
        minutes: Length of what was looked at.
    """

    level: float
    per_min: float
    band: float
    minutes: float

    @property
    def grows(self) -> bool:
        """Whether it rises by more than noise would, and over the whole time by more than 2 % of its level."""
        return self.per_min > self.band and self.per_min * self.minutes > 0.02 * max(
            self.level, 1.0
        )

    def __str__(self) -> str:
        """Return the slope with its band, and the level."""
        return f"{self.per_min:+.3g} ± {self.band:.2g} a minute at {self.level:.4g}"


def trend(samples: Sequence[tuple[float, float]]) -> Trend:
    """Return the trend of (seconds, value), without the warm-up.

    Neighbouring samples are no independent witnesses: blocks of them are, roughly. The line goes through the medians of
    twenty blocks, so that one peak of a moment is no slope.

    Raises:
        ValueError: There are fewer than three samples after the warm-up.
    """
    later = samples[int(len(samples) * WARM) :]
    if len(later) < 3:
        raise ValueError("too short to say anything")
    count = min(BLOCKS, len(later))
    cuts = [round(n * len(later) / count) for n in range(count + 1)]
    blocks = [later[a:b] for a, b in pairwise(cuts)]
    xs = [fmean(t for t, _ in block) / 60.0 for block in blocks]
    ys = [median(v for _, v in block) for block in blocks]
    mean_x, mean_y = fmean(xs), fmean(ys)
    over = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / over
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    free = count - 2
    wide = _T[max(n for n in _T if n <= max(1, free))]
    minutes = (later[-1][0] - later[0][0]) / 60.0
    return Trend(median(v for _, v in later), slope, wide * (rest / free / over) ** 0.5, minutes)
