"""W2: end to end over MQTT against a real Mosquitto, beside a bare paho loop with the same rules written by hand.

`python -m benchmarks.w2 [--quick] [--json FILE]`; needs Mosquitto and two cores. 2,000 lamps, a rule for each, one message in
ten changes what a rule wants. The engine does on the way what the floor leaves out: it checks values, keeps a journal on disk
before a command leaves, follows each command until the lamp has confirmed it, and keeps history and audit. A latency runs from
the reading's sending to the command's arrival. A run in which a lamp is not as its rule wants is no figure, and fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from benchmarks.adapters import free_port

LAMPS: Final = 2_000
SECONDS: Final = 8
RATES: Final = {0: (2_000, 10_000, 20_000, 30_000), 1: (2_000, 5_000, 10_000, 15_000)}
QUICK_RATES: Final[dict[int, tuple[int, ...]]] = {0: (10_000,), 1: ()}
SATURATED: Final = 150_000
"""Messages of the run that says how much CPU one takes, sent as fast as the broker takes them."""
START_S: Final = 120.0
BEHIND_S: Final = 1.0
"""Who needs longer after the last message to have everything right has fallen behind."""

CONFIG: Final = """\
site: {{name: bench, time_zone: Europe/Paris, position: [47.32, 5.04]}}
rules: [rules.yaml]
inventory: [inventory.json.yaml]
storage: {{path: var}}
control: {{socket: var/control.sock}}
log: {{level: warning}}
connections:
  lamps:
    adapter: mqtt
    host: 127.0.0.1
    port: {port}
    in_flight: 100
    points:
      - kind: lamp
        read:
          - {{topic: "lamp/{{id}}/power", point: power, path: $.power, qos: {qos}}}
          - {{topic: "lamp/{{id}}/state", point: level, qos: {qos}}}
        write: {{topic: "lamp/{{id}}/set", point: level, qos: {qos}}}
"""
RULE: Final = """\
  dim-{n}:
    title: Dim lamp {n}
    owner: bench
    for_each: {{lamp: {{kind: lamp, where: lamp.id == "l-{n}"}}}}
    while: lamp.power > 500 W
    hold:
      - {{set: lamp.level, to: 30 %, priority: saving}}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one system did with one load; milliseconds and microseconds.

    Attributes:
        system: `bare paho`, `pilotage` or `pilotage, journal in memory`.
        qos: Of readings and commands.
        rate: Messages a second, 0 for as many as it takes.
        taken_per_s: Messages a second until every lamp was right.
        cpu_us: CPU of the system per message, confirmations among them.
        memory_mb: Of the system at the end.
        is_right: Every lamp as its rule wants, every change answered by a command.
    """

    system: str
    qos: int
    rate: int
    p50_ms: float
    p99_ms: float
    taken_per_s: float
    cpu_us: float
    memory_mb: float
    is_right: bool
    is_behind: bool


def write_city(folder: Path, port: int, qos: int) -> None:
    """Write configuration, inventory and rules."""
    (folder / "config.yaml").write_text(CONFIG.format(port=port, qos=qos))
    lamps = {f"l-{n}": {"kind": "lamp"} for n in range(LAMPS)}
    (folder / "inventory.json.yaml").write_text(json.dumps(lamps, indent=0))
    rules = "".join(RULE.format(n=n) for n in range(LAMPS))
    (folder / "rules.yaml").write_text(f"version: 1\nrules:\n{rules}")


@contextlib.contextmanager
def process(command: Sequence[str], log: Path, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process; what it says to standard error is in the log."""
    with log.open("ab") as file:
        running = subprocess.Popen(command, stderr=file, text=True, **more)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """Run Mosquitto; it keeps whatever a slow subscriber has not taken."""
    binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        sys.exit("install mosquitto: apt-get install -y mosquitto")
    config = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_type none\n"
        "max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 1000\n"
    )
    with process([binary, "-c", str(config)], folder / "broker.log"):
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.01)
        yield


@contextlib.contextmanager
def system(name: str, folder: Path, port: int, qos: int) -> Iterator[psutil.Process]:
    """Run the engine, or the loop by hand; returns when it has begun, not yet when it is connected."""
    if name == "bare paho":
        command = [sys.executable, "-m", "benchmarks.w2_floor", str(port), str(LAMPS), str(qos)]
    else:
        write_city(folder, port, qos)
        main = "import sys; from pilotage.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", main, "run", "-c", str(folder / "config.yaml")]
    with process(command, folder / "system.log", stdout=subprocess.DEVNULL) as running:
        until_connected(folder, running, name)
        yield psutil.Process(running.pid)


def until_connected(folder: Path, running: subprocess.Popen[str], name: str) -> None:
    """Wait until the broker has it as a client."""
    end = time.monotonic() + START_S
    watched = psutil.Process(running.pid)
    while time.monotonic() < end:
        if running.poll() is not None:
            sys.exit(f"{name} ended: {(folder / 'system.log').read_text()[-2000:]}")
        if any(c.status == psutil.CONN_ESTABLISHED for c in watched.net_connections("tcp")):
            time.sleep(1.0)
            return
        time.sleep(0.1)
    sys.exit(f"{name} does not connect: {(folder / 'system.log').read_text()[-2000:]}")


def measure(name: str, qos: int, rate: int, messages: int) -> Run:
    """Run one load through one system, each with a broker of its own."""
    memory = Path("/dev/shm") if name.endswith("in memory") else None
    with tempfile.TemporaryDirectory(prefix="w2-", dir=memory) as made:
        folder, port = Path(made), free_port()
        words = [str(port), str(LAMPS), str(rate), str(messages), str(qos)]
        command = [sys.executable, "-m", "benchmarks.w2_crowd", *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with (
            broker(folder, port),
            system(name, folder, port, qos) as watched,
            process(command, folder / "crowd.log", **pipes) as crowd,
        ):
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            ready = json.loads(crowd.stdout.readline() or '{"ready": false, "wrong": -1}')
            if not ready["ready"]:
                sys.exit(f"{name}: {ready['wrong']} of {LAMPS} lamps do not obey: {log_of(folder)}")
            before = watched.cpu_times()
            print("go", file=crowd.stdin, flush=True)
            seen = json.loads(crowd.stdout.readline() or "{}")
            after = watched.cpu_times()
            if not seen:
                sys.exit(f"{name}: the lamps ended: {log_of(folder)}")
            cpu = after.user + after.system - before.user - before.system
            return run_of(name, qos, rate, seen, cpu, watched.memory_info().rss / 1e6)


def log_of(folder: Path) -> str:
    """Return what was said last."""
    return "\n".join(file.read_text()[-1000:] for file in sorted(folder.glob("*.log")))


def run_of(
    name: str, qos: int, rate: int, seen: dict[str, Any], cpu: float, memory_mb: float
) -> Run:
    """Return the figures of a run. Who is told to hurry may skip what was over before it came to it: then fewer commands are right."""
    all_messages = seen["sent"] + seen["commands"]
    is_right = seen["wrong"] == 0 and (not rate or seen["commands"] >= seen["fired"])
    return Run(
        system=name,
        qos=qos,
        rate=rate,
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        taken_per_s=all_messages / seen["all_s"],
        cpu_us=cpu / all_messages * 1e6,
        memory_mb=memory_mb,
        is_right=is_right,
        is_behind=seen["all_s"] - seen["sent_s"] > BEHIND_S,
    )


HEAD: Final = (
    f"{'system':28} | QoS | readings/s | p50 ms |  p99 ms | taken/s | CPU µs a message | MB"
)


def row(run: Run) -> str:
    """Return one line of the table."""
    rate = f"{run.rate:,}" if run.rate else "saturated"
    latency = f"{run.p50_ms:6.2f} | {run.p99_ms:7.2f}" if run.rate else f"{'':6} | {'':7}"
    note = "" if run.is_right else "  WRONG: no figure"
    if run.is_right and run.rate and run.is_behind:
        note = "  falls behind"
    return (
        f"{run.system:28} | {run.qos:3} | {rate:>10} | {latency} | {run.taken_per_s:7,.0f} "
        f"| {run.cpu_us:16.1f} | {run.memory_mb:.0f}{note}"
    )


SYSTEMS: Final = ("bare paho", "pilotage", "pilotage, journal in memory")


def measure_all(*, quick: bool) -> list[Run]:
    """Run every load through every system, and print each line as it is known."""
    rates, found = (QUICK_RATES if quick else RATES), []
    repeats, seconds = (1, 2) if quick else (3, SECONDS)
    systems = SYSTEMS[:2] if quick else SYSTEMS
    print(HEAD, flush=True)
    for qos in (0, 1):
        for rate in (*rates[qos], 0):
            messages = rate * seconds or SATURATED // (1 + 2 * qos)
            for name in systems:
                some = [measure(name, qos, rate, messages) for _ in range(repeats)]
                found.append(middle(some))
                print(row(found[-1]), flush=True)
    return found


def middle(runs: Sequence[Run]) -> Run:
    """Return the medians of some runs of the same; right only when each was."""
    first = asdict(runs[0])
    for name in ("p50_ms", "p99_ms", "taken_per_s", "cpu_us", "memory_mb"):
        first[name] = statistics.median(getattr(run, name) for run in runs)
    first["is_right"] = all(run.is_right for run in runs)
    first["is_behind"] = sum(run.is_behind for run in runs) * 2 > len(runs)
    return Run(**first)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where asked; 1 when a run was not right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w2", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rates, once each")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(argv)
    found = measure_all(quick=options.quick)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(run) for run in found], indent=1) + "\n")
    return 0 if all(run.is_right for run in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
