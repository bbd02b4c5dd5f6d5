"""Runs the benchmarks one after another, each in a process of its own, and prints their tables.

`python -m benchmarks [--quick] [--only NAME …] [--minutes 10] [--json FILE]`. A benchmark whose work was not done right prints no figure, and
makes the whole fail.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pilotage.core.compiled import is_compiled

BENCHES: Final = {
    "w1": "the core alone, beside rules written by hand",
    "w2": "end to end over MQTT, beside a bare paho loop",
    "city": "a city as large as Dijon over three protocols, for minutes",
    "curves": "what an update costs as the city grows",
    "mqtt_adapter": "the MQTT adapter alone, beside a bare paho loop",
    "journal": "what the journal costs between a reading and its command",
    "adapters": "MQTT, Modbus and OPC UA at once into one engine",
    "start": "start, return and reload of a large city",
    "push": "one frame of the live pages to a room full of operators",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, in some two minutes")
    parser.add_argument("--only", nargs="+", choices=BENCHES, help="these alone")
    parser.add_argument("--minutes", help="how long the city runs, 10 unless given")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(argv)
    core = "compiled core" if is_compiled() else "core from its source"
    machine = (
        f"CPython {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {core}"
    )
    print(machine, flush=True)
    figures: dict[str, Any] = {"machine": machine}
    failed = []
    for name in options.only or BENCHES:
        print(f"\n== {name}: {BENCHES[name]}", flush=True)
        more = ["--minutes", options.minutes] if name == "city" and options.minutes else []
        began = time.monotonic()
        figures[name] = run(name, more, quick=options.quick)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
        if figures[name] is None:
            failed.append(name)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if failed:
        print(f"\nnot done right: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str, more: Sequence[str] = (), *, quick: bool) -> Any:
    """Run one benchmark, with more options; returns its figures, None when it failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder, "figures.json")
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file), *more]
        done = subprocess.run([*command, "--quick"] if quick else command, check=False)
        if done.returncode or not file.exists():
            return None
        return json.loads(file.read_text())


if __name__ == "__main__":
    sys.exit(main())
