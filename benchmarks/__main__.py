"""Runs the benchmarks and prints one table each: `python -m benchmarks [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import w1

SIZES = (100, 1_000, 10_000)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition, smaller sizes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    repeats = 1 if options.quick else 5
    if options.one is not None:  # one size per process, so that memory is its own
        figures = asdict(w1.measure(options.one, repeats=repeats))
        print(json.dumps(figures))
        return 0
    rows = []
    print(f"W1, in process: CPython {platform.python_version()}, {platform.machine()}")
    print(HEAD)
    for size in SIZES[:2] if options.quick else SIZES:
        command = [
            sys.executable,
            "-m",
            "benchmarks",
            "--one",
            str(size),
            *(["--quick"] if options.quick else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        figures = w1.Figures(**json.loads(done.stdout))
        rows.append(figures)
        print(line(figures))
    if options.json is not None:
        options.json.write_text(json.dumps([summary(r) for r in rows], indent=1) + "\n")
    return 0


HEAD = (
    "fillers | floor k/s | ours k/s | ours is 1/… | load s | memory MB | acting % "
    "| update µs p50 / p99 | action µs p50 / p99"
)


def line(f: w1.Figures) -> str:
    """Return one row of the table."""
    p = w1.percentile
    return (
        f"{f.fillers:7} | {f.floor_per_s / 1e3:9.0f} | {f.ours_per_s / 1e3:8.0f} | {1 / f.ratio:11.1f} "
        f"| {f.load_s:6.2f} | {f.memory_mb:9.0f} | {f.transitions / 1000:8.1f} "
        f"| {p(f.update_us, 0.5):9.2f} / {p(f.update_us, 0.99):5.2f}   "
        f"| {p(f.action_us, 0.5):9.1f} / {p(f.action_us, 0.99):5.1f}"
    )


def summary(f: w1.Figures) -> dict[str, float]:
    """Return the figures without their samples."""
    p = w1.percentile
    return {
        "fillers": f.fillers,
        "floor_per_s": round(f.floor_per_s),
        "ours_per_s": round(f.ours_per_s),
        "ratio": round(f.ratio, 4),
        "load_s": round(f.load_s, 3),
        "memory_mb": round(f.memory_mb, 1),
        "update_p50_us": round(p(f.update_us, 0.5), 2),
        "update_p99_us": round(p(f.update_us, 0.99), 2),
        "action_p50_us": round(p(f.action_us, 0.5), 1),
        "action_p99_us": round(p(f.action_us, 0.99), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
