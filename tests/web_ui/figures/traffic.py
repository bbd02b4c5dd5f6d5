"""The field of a large town as a process: lamps that go on and off, and lamps that break.

`python -m tests.web_ui.figures.traffic PORT LAMPS RATE ALARMS` reports every lamp once, prints a line, and then changes RATE lamps and
ALARMS alarms a second until it is ended. Lamp 0 is left alone: a test watches it.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from typing import Final

from tests.faults.crowd import packet, publish

SLICE_S: Final = 0.02
AT_ONCE: Final = 200
BREAKING: Final = 200
"""Alarms come from so many lamps."""


def connect(port: int) -> socket.socket:
    """Return a connection to the broker, as MQTT 3.1.1 without a session."""
    link = socket.create_connection(("127.0.0.1", port))
    name = b"\x00\x07traffic"
    link.sendall(packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + name))
    link.recv(4)
    return link


def main() -> None:
    """Report until ended."""
    port, lamps, rate, alarms = map(int, sys.argv[1:5])
    link = connect(port)
    level, broken = [60] * lamps, [False] * lamps
    for first in range(0, lamps, AT_ONCE):
        link.sendall(b"".join(_level(n, 60) for n in range(first, min(first + AT_ONCE, lamps))))
        time.sleep(0.01)
    print("all were reported", flush=True)
    chance = random.Random(1)
    began, lamps_done, alarms_done = time.monotonic(), 0, 0
    while True:
        time.sleep(SLICE_S)
        passed = time.monotonic() - began
        out = []
        while lamps_done < passed * rate:
            lamps_done += 1
            n = chance.randrange(BREAKING + 1, lamps)
            level[n] = 60 - level[n]
            out.append(_level(n, level[n]))
        while alarms_done < passed * alarms:
            alarms_done += 1
            n = chance.randrange(1, BREAKING)
            broken[n] = not broken[n]
            out.append(publish(f"city/L-{n}/fail", json.dumps({"fail": broken[n]}).encode()))
        if out:
            link.sendall(b"".join(out))


def _level(lamp: int, level: int) -> bytes:
    return publish(f"city/L-{lamp}/level", b'{"level": %d}' % level)


if __name__ == "__main__":
    main()
