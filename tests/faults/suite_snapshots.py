"""Power cuts at any moment while snapshots of the state are written: the newest that was answered is there, and none is wrong."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.faults.crash_disk import Operation, Recording, cuts, recorded_files
from tests.faults.figures import Figure, Size

from pilotage.model.diagnostics import Severity
from pilotage.ports import Snapshot
from pilotage.runtime.snapshots import FileSnapshots

GOALS = ("G2",)
CITY: Final = "city"
CUTS_OF_A_DAY: Final = 100
DAYS: Final = {Size.SHORT: 2, Size.LONG: 100}
CONTROLS: Final = {Size.SHORT: 2, Size.LONG: 10}


class _Silent:
    """A health log of which nothing is wanted here: most of what is found is damaged on purpose."""

    def raised(
        self, code: str, text: str, mend: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        """Keep nothing."""

    def cleared(self, code: str) -> None:
        """Keep nothing."""

    def count(self, name: str, by: int = 1) -> None:
        """Keep nothing."""

    def remark(self, key: str, text: str) -> None:
        """Keep nothing."""


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Cut the power of the snapshots, and of snapshots that are not synced."""
    wrong = [text for seed in range(DAYS[size]) for text in _day(seed, is_synced=True)]
    for text in wrong[:5]:
        say(text)
    detected = sum(bool(_day(seed, is_synced=False)) for seed in range(CONTROLS[size]))
    return [
        Figure(
            "G2",
            f"{DAYS[size] * CUTS_OF_A_DAY} power cuts while snapshots are written",
            "0 wrong, 0 lost",
            f"{len(wrong)} wrong or lost",
            not wrong,
        ),
        Figure(
            "G2",
            f"control: {CONTROLS[size]} days of snapshots without syncing",
            "100 % detected",
            f"{detected / CONTROLS[size]:.0%} detected",
            detected == CONTROLS[size],
        ),
    ]


def _day(seed: int, *, is_synced: bool) -> list[str]:
    """Write some snapshots, cut the power at random moments, and return what was wrong."""
    rng = random.Random(f"snapshots {seed}")
    recording, written = Recording(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with recorded_files(folder, recording):
            store = FileSnapshots(folder, _Silent())
            for number in range(1, 9):
                state = rng.randbytes(rng.choice([300, 5_000, 40_000]))
                written[number] = Snapshot(number, number * 3, float(number), "rules", state)
                store.write(CITY, written[number])
                recording.mark(number)
    operations = [o for o in recording.operations if is_synced or o.kind != "sync"]
    return _judge(seed, operations, written, rng)


def _judge(
    seed: int, operations: list[Operation], written: dict[int, Snapshot], rng: random.Random
) -> list[str]:
    wrong = []
    for index, (disk, marks) in enumerate(cuts(operations, CUTS_OF_A_DAY, rng)):
        answered = marks[-1] if marks else 0
        with tempfile.TemporaryDirectory() as name:
            disk.cut(Path(name), rng)
            found = FileSnapshots(Path(name), _Silent()).newest(CITY)
        if found is not None and found != written[found.number]:
            wrong.append(f"seed {seed}, cut {index}: snapshot {found.number} has other bytes")
        elif answered and (found is None or found.number < answered):
            wrong.append(f"seed {seed}, cut {index}: snapshot {answered} is gone")
    return wrong
