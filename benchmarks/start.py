"""Start and reload of a large city: the first start, the return after a stop and after kill -9, one rule file exchanged.

`python -m benchmarks.start [--quick] [--json FILE]`; needs Mosquitto. 10,000 rules and 200,000 points (200 and 3,000 with `--quick`); it
is the fault suite's own measure (`tests/faults/suite_start.py`), so each engine answers for all its equipment before its time is
taken. Beside it stands the *floor* of each start: a Python process that imports what the engine imports, and ends.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.faults import suite_start
from tests.faults.figures import Figure, Size

FLOOR: Final = "import pilotage.cli, pilotage.service"
REPEATS: Final = 3


def floor_s() -> float:
    """Return how long a process takes that only imports the engine, in seconds; the middle of some."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", FLOOR], check=True)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def row(figure: Figure) -> str:
    """Return one line of the table."""
    return f"{figure.what:75} | {figure.wanted:28} | {figure.reached}{'' if figure.holds else '  MISSED'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small city, each start once")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(argv)
    floor = floor_s()
    print(f"floor: a process that imports the engine takes {floor:.2f} s", flush=True)
    size = Size.SHORT if options.quick else Size.LONG
    found = suite_start.measure(size, lambda text: print(f"  {text}", flush=True))
    for figure in found:
        print(row(figure), flush=True)
    if options.json is not None:
        rows = [asdict(figure) for figure in found]
        options.json.write_text(json.dumps({"floor_s": floor, "figures": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
