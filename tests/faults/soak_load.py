"""A city's sensors and lamps that outlive their broker, as a process: a steady rate of readings, commands answered.

`python -m tests.faults.soak_load PORT STREETS RULES RATE` runs until it is ended; each second it writes one JSON line: what it
sent, what it was told, and what it sent while it had a broker.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from typing import Final

from tests.faults.crowd import BUSY, ONE_IN, QUIET, connect, packet, publish, published

SLICE_S: Final = 0.02
AGAIN_S: Final = 0.2


class Field:
    """What stands in the streets."""

    def __init__(self, port: int, streets: int, rules: int) -> None:
        self._port, self._streets, self._rules = port, streets, rules
        self._dice = random.Random(1)
        self._quiet = [False] * rules
        self.sent = self.lost = self.commands = 0

    def obey(self) -> None:
        """Do what is commanded and say so, for ever."""
        topic = b"city/+/level/set"
        subscribe = packet(0x82, b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x00")
        while True:
            try:
                with connect(self._port, "soak-lamps") as link:
                    link.sendall(subscribe)
                    for name, payload in published(link):
                        level = float(json.loads(payload)["level"])
                        street = name.split("/")[1]
                        link.sendall(publish(f"city/{street}/level", b'{"level": %g}' % level))
                        self.commands += 1
            except (OSError, AssertionError):
                pass
            time.sleep(AGAIN_S)

    def flow(self, rate: float) -> None:
        """Send readings at a rate, for ever; what falls due while there is no broker is lost, as with real sensors."""
        link: socket.socket | None = None
        began, done = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate) - done
            done += due
            some = b"".join(self._reading() for _ in range(due))
            try:
                link = link or connect(self._port, "soak-sensors")
                link.settimeout(5.0)
                link.sendall(some)
                self.sent += due
            except (OSError, AssertionError):
                link, self.lost = None, self.lost + due
                time.sleep(AGAIN_S)
            time.sleep(SLICE_S)

    def _reading(self) -> bytes:
        kind = self._dice.randrange(2 * ONE_IN)
        if kind == 0:
            lux = self._dice.randrange(50_000)
            return publish(f"yard/b-{self._dice.randrange(100)}/lux", b'{"lux": %d}' % lux)
        if kind > 2:
            name = f"b-{self._dice.randrange(self._rules, self._streets)}"
            return publish(f"city/{name}/flow", b'{"flow": %d}' % self._dice.randrange(300, 900))
        n = self._dice.randrange(self._rules)
        self._quiet[n] = not self._quiet[n]
        flow = QUIET if self._quiet[n] else BUSY
        return publish(f"city/b-{n}/flow", b'{"flow": %g}' % flow)


def main() -> None:
    """Run for ever."""
    port, streets, rules, rate = map(int, sys.argv[1:])
    field = Field(port, streets, rules)
    for work in (field.obey, lambda: field.flow(rate)):
        threading.Thread(target=work, daemon=True).start()
    while True:
        time.sleep(1.0)
        seen = {"sent": field.sent, "lost": field.lost, "commands": field.commands}
        print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
