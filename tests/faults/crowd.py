"""Thousands of sensors and lamps behind a broker, as a process: sends readings at a rate, answers commands, and times them.

`python -m tests.faults.crowd PORT STREETS RULES RATE SECONDS BURST SETTLE_MS` prints one JSON line with what it saw. The packets are
made by hand, so that a burst is limited by the broker and not by this process.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

ONE_IN: Final = 10
"""One reading in so many changes what a rule wants."""
BUSY, QUIET = 500.0, 20.0
SLICE_S: Final = 0.01


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT 3.1.1 packet. Source: MQTT 3.1.1 (OASIS Standard), 2.2.3 for the length."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)[0], left % 128
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([kind]) + bytes(length) + body


def publish(topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH packet of QoS 0."""
    name = topic.encode()
    return packet(0x30, len(name).to_bytes(2, "big") + name + payload)


def connect(port: int, name: str) -> socket.socket:
    """Return a connected socket."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    id_ = name.encode()
    body = b"\x00\x04MQTT\x04\x02" + (0).to_bytes(2, "big") + len(id_).to_bytes(2, "big") + id_
    link.sendall(packet(0x10, body))
    assert link.recv(4)[:1] == b"\x20", "the broker refused"
    return link


def published(link: socket.socket) -> Iterator[tuple[str, bytes]]:
    """Return topic and payload of each PUBLISH that arrives."""
    data = bytearray()
    while some := link.recv(1 << 16):
        data += some
        while (found := _first(data)) is not None:
            kind, body, size = found
            del data[:size]
            if kind & 0xF0 == 0x30:
                length = int.from_bytes(body[:2], "big")
                yield body[2 : 2 + length].decode(), bytes(body[2 + length :])


def _first(data: bytearray) -> tuple[int, bytes, int] | None:
    """Return kind, body and size of the first packet, None while it is not whole."""
    length = shift = 0
    for at in range(1, min(len(data), 5)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            size = at + 1 + length
            return (data[0], bytes(data[at + 1 : size]), size) if len(data) >= size else None
    return None


class Crowd:
    """The sensors and the lamps."""

    def __init__(self, port: int, streets: int, rules: int, settle_s: float) -> None:
        self._sending = connect(port, "crowd-sensors")
        self._lamps = connect(port, "crowd-lamps")
        topic = b"city/+/level/set"
        self._lamps.sendall(
            packet(0x82, b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x00")
        )
        self._dice = random.Random(1)
        self._streets, self._rules = streets, rules
        self._settle_s = settle_s
        self._quiet: dict[int, bool] = {}
        self._asked: dict[str, float] = {}
        self.level: dict[str, float] = {}
        self.latencies: list[float] = []
        self.commands = self.sent = 0
        threading.Thread(target=self._obey, daemon=True).start()

    def _obey(self) -> None:
        """Do what is commanded, say so, and take the time."""
        for topic, payload in published(self._lamps):
            name = topic.split("/")[1]
            level = float(json.loads(payload)["level"])
            asked = self._asked.pop(name, None)
            if asked is not None:
                self.latencies.append(time.monotonic() - asked)
            self.level[name] = level
            self.commands += 1
            self._lamps.sendall(publish(f"city/{name}/level", b'{"level": %g}' % level))

    def reading(self) -> bytes:
        """Return the next reading as a packet."""
        self.sent += 1
        if self.sent % ONE_IN:
            name = f"b-{self._dice.randrange(self._rules, self._streets)}"
            return publish(f"city/{name}/flow", b'{"flow": %d}' % self._dice.randrange(300, 900))
        n = self._dice.randrange(self._rules)
        self._quiet[n] = quiet = not self._quiet.get(n, False)
        name = f"b-{n}"
        self._asked[name] = time.monotonic()
        return publish(f"city/{name}/flow", b'{"flow": %g}' % (QUIET if quiet else BUSY))

    def calm(self) -> None:
        """Have every street busy, and its lamp at its default, whatever was before."""
        self._quiet = dict.fromkeys(range(self._rules), False)
        self.wrong()
        self.commands, self._quiet = 0, {}

    def flow(self, rate: float, seconds: float) -> None:
        """Send readings at a rate, in slices."""
        began, done = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * rate) - done
            if due > 0:
                self._sending.sendall(b"".join(self.reading() for _ in range(due)))
                done += due
            time.sleep(SLICE_S)

    def burst(self, count: int) -> float:
        """Send so many at once; return the seconds that it took."""
        packets = [self.reading() for _ in range(count)]
        began = time.monotonic()
        for at in range(0, count, 1_000):
            self._sending.sendall(b"".join(packets[at : at + 1_000]))
        return time.monotonic() - began

    def wrong(self) -> int:
        """Say once more what each street's flow is, and count the lamps that are not what its rule wants."""
        for n, quiet in self._quiet.items():
            self._sending.sendall(
                publish(f"city/b-{n}/flow", b'{"flow": %g}' % (QUIET if quiet else BUSY))
            )
            time.sleep(0.0005)
        time.sleep(self._settle_s)
        end = time.monotonic() + 30.0
        while (wrong := self._count_wrong()) and time.monotonic() < end:
            time.sleep(0.05)
        return wrong

    def _count_wrong(self) -> int:
        wanted = {f"b-{n}": 30.0 if quiet else 100.0 for n, quiet in self._quiet.items()}
        return sum(self.level.get(name, 100.0) != level for name, level in wanted.items())


def main() -> None:
    """Run and print."""
    port, streets, rules, rate, seconds, burst, settle_ms = map(int, sys.argv[1:])
    crowd = Crowd(port, streets, rules, settle_ms / 1000)
    crowd.calm()
    crowd.flow(rate, seconds)
    took = crowd.burst(burst) if burst else 0.0
    after = time.monotonic()
    time.sleep(2 * settle_ms / 1000)
    wrong = crowd.wrong()
    found = sorted(crowd.latencies)
    print(
        json.dumps(
            {
                "sent": crowd.sent,
                "commands": crowd.commands,
                "p50": found[len(found) // 2] if found else 0.0,
                "p99": found[int(len(found) * 0.99)] if found else 0.0,
                "burst_s": took,
                "settled_s": time.monotonic() - after,
                "wrong": wrong,
            }
        )
    )


if __name__ == "__main__":
    main()
