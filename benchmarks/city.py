"""A city as large as Dijon over three protocols, for minutes: what it costs, how late commands are, and whether all came right.

`python -m benchmarks.city [--minutes 10] [--quick] [--json FILE]`; needs Mosquitto. 34,000 lamps in 500 streets, 113 junctions with
their loops, 180 buses, 205 vehicles, 269 cameras, 180 buildings and 26 bollards in 23 communes speak through Mosquitto, an OPC UA
server and a Modbus gateway, each in a process of its own. First dusk falls on every lamp at once; then the city speaks at a
rate, with bursts, while people walk, buses ask for green, vehicles open bollards, fires free gates, intrusions turn cameras and
peaks change plans. Each change that must have an answer is noted by who makes it, each command by who gets it. A run in which a
command is missing, or a device is not at the end as the last change wants it, prints no figure and fails. At the end `city_floor` hears the same with the bare libraries, for its CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from benchmarks import city_plan as plan
from benchmarks.adapters import free_port
from benchmarks.city_answers import Answers, answers
from benchmarks.w2 import broker, log_of, process
from benchmarks.watch import Watch, watching
from pilotage import api

PROTOCOLS: Final = ("mqtt", "opcua", "modbus")
WAYS: Final = {
    "dusk": "dusk: cell to all the lamps, MQTT",
    "people": "walker to the lamps of the street, MQTT",
    "bus": "bus to junction, MQTT to OPC UA",
    "vehicle": "vehicle to bollard, MQTT to Modbus",
    "loops": "loops to signal plan, OPC UA",
    "fire": "fire panel to gate, Modbus polled every 2 s",
    "guard": "intrusion to camera, Modbus polled every 2 s to MQTT",
}
RATE: Final = 2_000
QUICK_LAMPS: Final = 3_400
"""A quarter: every kind of change is there, and it is over within a minute; the aims are for the whole city."""
ORDERS_PER_S: Final = 1_000
"""To the lamps, as a city would declare it for its gateways; more than the engine carries would expire in line."""
BURST: Final = 50_000
BURST_EVERY_S: Final = 60.0
ORDER_EVERY_S: Final = 0.5
AFTER_BURST_S: Final = 10.0
"""So long after a burst counts as the burst: what came in it is taken, and the history catches up."""

FLOOR_S: Final = 30.0
SETTLE_S: Final = 180.0
START_S: Final = 180.0
QUIET_S: Final = 2.5
"""Longer than the slowest poll: who has noted nothing for so long has been told all."""


def in_burst(at: float, bursts: Sequence[float]) -> bool:
    """Whether a moment belongs to a burst."""
    return any(0.0 <= at - burst <= AFTER_BURST_S for burst in bursts)


def cpu_percent(watch: Watch, bursts: Sequence[float]) -> tuple[float, float]:
    """Return per cent of one core: apart from bursts, and in all."""
    at, cpu_s = watch.at, watch.cpu_s
    calm_s = calm_cpu = 0.0
    for n in range(1, len(at)):
        if not in_burst(at[n], bursts) and not in_burst(at[n - 1], bursts):
            calm_s += at[n] - at[n - 1]
            calm_cpu += cpu_s[n] - cpu_s[n - 1]
    whole = (cpu_s[-1] - cpu_s[0]) / (at[-1] - at[0])
    return 100.0 * calm_cpu / calm_s if calm_s else float("nan"), 100.0 * whole


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile, in ms; not a number when there is nothing."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * share))] * 1e3 if found else float("nan")


# ── the run ──────────────────────────────────────────────────────────────────────────────────────


class Equipment:
    """The three processes of the equipment."""

    def __init__(
        self, parts: dict[str, subprocess.Popen[str]], ports: dict[str, int], folder: Path
    ) -> None:
        self.ports = ports
        self._parts = parts
        self._folder = folder
        for name in parts:
            self._answer(name)

    def tell(self, *words: object, only: str = "") -> int:
        """Tell them something and wait until they have understood; returns how much they have noted so far."""
        names = [only] if only else list(self._parts)
        for name in names:
            pipe = self._parts[name].stdin
            assert pipe is not None
            print(*words, file=pipe, flush=True)
        return sum(self._answer(name) for name in names)

    def _answer(self, name: str) -> int:
        pipe = self._parts[name].stdout
        assert pipe is not None
        said = pipe.readline()
        if not said:
            sys.exit(f"the {name} equipment ended: {log_of(self._folder)}")
        return int(said)

    def notes(self) -> list[dict[str, Any]]:
        """Return what they noted so far."""
        self.tell("note")
        return [json.loads((self._folder / f"{name}.json").read_text()) for name in self._parts]


@contextlib.contextmanager
def city(folder: Path, lamps: int) -> Iterator[tuple[Equipment, psutil.Process]]:
    """Run broker, equipment and engine."""
    ports = {protocol: free_port() for protocol in PROTOCOLS}
    plan.write_city(folder, ports, lamps, ORDERS_PER_S)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with contextlib.ExitStack() as stack:
        stack.enter_context(broker(folder, ports["mqtt"]))
        parts = {}
        for name in PROTOCOLS:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.city_peers", name]
            command += [str(ports[name]), str(folder / f"{name}.json"), str(lamps)]
            parts[name] = stack.enter_context(process(command, folder / f"{name}.log", **pipes))
        equipment = Equipment(parts, ports, folder)
        main = "import sys; from pilotage.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", main, "run", "-c", str(folder / "config.yaml")]
        engine = stack.enter_context(
            process(command, folder / "engine.log", stdout=subprocess.DEVNULL)
        )
        yield equipment, psutil.Process(engine.pid)


def until_up(socket: Path, folder: Path) -> float:
    """Wait until every connection is up; returns how many seconds that took."""
    began = time.monotonic()
    while time.monotonic() - began < START_S:
        with contextlib.suppress(api.ApiError), api.Client(socket, 5.0) as client:
            if all(c.state == "up" for c in client.ask(api.GetStatus()).connections):
                return time.monotonic() - began
        time.sleep(0.2)
    sys.exit(f"the engine does not come up: {log_of(folder)}")


def figures(socket: Path) -> api.Figures:
    """Return the engine's own figures."""
    try:
        with api.Client(socket, 30.0) as client:
            return client.ask(api.GetFigures())
    except api.ApiError as error:
        sys.exit(f"{error}: {log_of(socket.parent.parent)}")


def until_still(socket: Path) -> None:
    """Wait until nothing waits in the engine."""
    end = time.monotonic() + SETTLE_S
    before = -1
    while time.monotonic() < end:
        now = figures(socket)
        if not now.waiting and not sum(now.orders.values()) and now.inputs - before < 1_000:
            return
        before = now.inputs
        time.sleep(0.5)


def until_right(equipment: Equipment) -> Answers:
    """Wait until nobody is asked or told anything any more, and every device is as the last change wants it."""
    end = time.monotonic() + SETTLE_S
    while True:
        until_quiet(equipment, end)
        found = answers(equipment.notes())
        if not found.wrong or time.monotonic() > end:
            return found


def until_quiet(equipment: Equipment, end: float) -> None:
    """Wait until nothing is noted any more: to count is cheap, to read all notes is not."""
    count, since = -1, time.monotonic()
    while time.monotonic() < min(end, since + QUIET_S):
        now = equipment.tell("count")
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.1)


def floor(ports: dict[str, int], seconds: float) -> tuple[float, float]:
    """Return how many messages a second a bare script hears of the equipment, and what per cent of a core that takes."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.city_floor"]
    command += [*(str(ports[protocol]) for protocol in PROTOCOLS), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the floor failed: {done.stderr[-1_000:]}")
    failed, messages, percent = done.stdout.split()[-3:]
    if int(failed):
        sys.exit(f"the floor stopped {failed} of its polls: {done.stderr[-1_000:]}")
    return float(messages), float(percent)


def measure(
    lamps: int, seconds: float, rate: int, burst: int, burst_every_s: float
) -> dict[str, Any]:
    """Run it and return what was seen."""
    with tempfile.TemporaryDirectory(prefix="city-") as made:
        folder = Path(made)
        socket = folder / "var" / "control.sock"
        with city(folder, lamps) as (equipment, watched):
            start_s = until_up(socket, folder)
            equipment.tell("begin")
            until_still(socket)
            before_dusk = watched.cpu_times()
            equipment.tell("dusk", only="mqtt")
            dusk = until_right(equipment)
            after_dusk = watched.cpu_times()
            before, began = figures(socket), time.monotonic()
            bursts: list[float] = []
            with watching(watched, socket, [f"{plan.SPARE_LAMP}.level"], ORDER_EVERY_S) as watch:
                equipment.tell("flow", rate, seconds)
                while (passed := time.monotonic() - began) < seconds:
                    if passed >= burst_every_s * (len(bursts) + 0.5):
                        bursts.append(time.monotonic())
                        equipment.tell("burst", burst, only="mqtt")
                    time.sleep(0.05)
                flowed_s, after = time.monotonic() - began, figures(socket)
            equipment.tell("rest")
            found = until_right(equipment)
            with api.Client(socket, 30.0) as client:
                health = client.ask(api.GetHealth())
            bare = floor(equipment.ports, min(FLOOR_S, seconds / 4))
    taken = sum(after.readings.values()) - sum(before.readings.values())
    calm, whole = cpu_percent(watch, bursts)
    trouble = {
        name: count
        for name, count in health.counters.items()
        if name.startswith(("refused.", "faults.", "engine.", "journal.", "inbox.", "over_rate."))
    }
    return {
        "lamps": lamps,
        "start_s": start_s,
        "dusk_cpu_s": sum(after_dusk[:2]) - sum(before_dusk[:2]),
        "seconds": flowed_s,
        "bursts": len(bursts),
        "readings_per_s": taken / flowed_s,
        "inputs_per_s": (after.inputs - before.inputs) / flowed_s,
        "ticks_per_s": (after.ticks - before.ticks) / flowed_s,
        "cpu_calm_percent": calm,
        "cpu_percent": whole,
        "floor_messages_per_s": bare[0],
        "floor_cpu_percent": bare[1],
        "memory_mb": watch.memory_mb[-1],
        "slope_mb_per_min": watch.slope_mb_per_min(),
        "ways": ways_of(found, bursts),
        "order_ms": [percentile([s for _, s in watch.orders], share) for share in (0.5, 0.99, 1.0)],
        "orders_refused": watch.refused,
        "missing": dict(found.missing),
        "wrong": found.wrong[:20],
        "wrong_at_dusk": len(dusk.wrong),
        "shown": [*dusk.shown, *found.shown],
        "trouble": trouble,
        "findings": [finding.text for finding in health.findings],
    }


def ways_of(found: Answers, bursts: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return for each way how many changes had an answer, and how late it was, in ms."""
    rows = {}
    for way in WAYS:
        late = found.late.get(way, [])
        calm = [took for at, took in late if not in_burst(at, bursts)]
        rows[way] = {
            "answers": len(late),
            "p50_ms": percentile(calm, 0.5),
            "p99_ms": percentile(calm, 0.99),
            "burst_p99_ms": percentile([took for at, took in late if in_burst(at, bursts)], 0.99),
            "max_ms": percentile([took for _, took in late], 1.0),
        }
    return rows


def is_right(seen: dict[str, Any]) -> bool:
    """Whether everything was done."""
    return not (
        seen["wrong"]
        or seen["missing"]
        or seen["wrong_at_dusk"]
        or seen["orders_refused"]
        or seen["trouble"]
    ) and all(row["answers"] for row in seen["ways"].values())


def show(seen: dict[str, Any]) -> None:
    """Print the table, or what was not right."""
    if not is_right(seen):
        print("not done right, so no figures:")
        for name in ("wrong", "missing", "wrong_at_dusk", "orders_refused", "trouble"):
            print(f"  {name}: {seen[name]}")
        for line in (*seen["shown"], *seen["findings"]):
            print(f"  {line}")
        return
    print(
        f"{seen['lamps']:,} lamps, {seen['seconds']:.0f} s, {seen['readings_per_s']:,.0f} readings a second, {seen['bursts']} bursts"
    )
    print(f"start, cold: {seen['start_s']:.1f} s; dusk: {seen['dusk_cpu_s']:.1f} s of CPU")
    print(
        f"CPU: {seen['cpu_calm_percent']:.1f} % of one core, with the bursts {seen['cpu_percent']:.1f} % (aim: under 10 %);"
        f" {seen['ticks_per_s']:.0f} ticks a second"
    )
    print(
        f"a bare script that only hears the same, {seen['floor_messages_per_s']:,.0f} messages a second: {seen['floor_cpu_percent']:.1f} %,"
        f" so that ours is {seen['cpu_calm_percent'] / seen['floor_cpu_percent']:.1f} times the floor"
    )
    print(
        f"memory: {seen['memory_mb']:.0f} MB (aim: under 400), {seen['slope_mb_per_min']:+.2f} MB a minute"
    )
    p50, p99, most = seen["order_ms"]
    print(
        f"an operator's order: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {most:.0f} ms (aim: under 200)"
    )
    print(
        f"{'from a change to its command':54} | answers | p50 ms | p99 ms | p99 in bursts | longest"
    )
    for way, row in seen["ways"].items():
        print(
            f"{WAYS[way]:54} | {row['answers']:7,} | {row['p50_ms']:6.1f} | {row['p99_ms']:6.0f}"
            f" | {row['burst_p99_ms']:13.0f} | {row['max_ms']:7.0f}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where asked; 1 when something was not right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.city", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=RATE, help="readings a second")
    parser.add_argument(
        "--burst", type=int, default=BURST, help="readings in a second, each minute"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the lamps, and a quarter of a minute after dusk; one burst",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args(argv)
    if given.quick:
        seen = measure(QUICK_LAMPS, 14.0, given.rate, given.burst // 4, 14.0)
    else:
        seconds = given.minutes * 60.0
        every_s = min(BURST_EVERY_S, seconds)
        seen = measure(plan.LAMPS, seconds, given.rate, given.burst, every_s)
    show(seen)
    if given.json is not None:
        given.json.write_text(json.dumps(seen, indent=1) + "\n")
    return 0 if is_right(seen) else 1


if __name__ == "__main__":
    sys.exit(main())
