"""The other end of W2: lamps behind a broker, as a process. Says how long each command took, and whether all was done.

`python -m benchmarks.w2_crowd PORT LAMPS RATE MESSAGES QOS` prints one line of JSON. Packets are made beforehand and by hand, so
that this process is never the slow one; a rate of 0 sends as fast as the broker takes it.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

ONE_IN: Final = 10
"""One reading in so many changes what a rule wants."""

VARIANTS: Final = 4
SLICE_S: Final = 0.004
SLICE: Final = 500
SETTLE_S: Final = 30.0
HIGH, LOW = 600, 100
DIMMED, FULL = 30.0, 100.0


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet of less than 2 MB. Source: MQTT 3.1.1 (OASIS Standard), 2.2.3 for the length."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = left >> 7, left & 127
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([kind]) + bytes(length) + body


def connect(port: int, name: str) -> socket.socket:
    """Return a connected socket."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    id_ = name.encode()
    body = b"\x00\x04MQTT\x04\x02" + (0).to_bytes(2, "big") + len(id_).to_bytes(2, "big") + id_
    link.sendall(packet(0x10, body))
    if link.recv(4)[:1] != b"\x20":
        raise ConnectionError("the broker refused")
    return link


def packets(link: socket.socket) -> Iterator[list[tuple[int, bytes]]]:
    """Return kind and body of the packets that arrive, as one read gives them."""
    data = b""
    while some := link.recv(1 << 16):
        data += some
        found, at = [], 0
        while at + 2 <= len(data):
            size, start = data[at + 1], at + 2
            if size > 127:
                if start >= len(data):
                    break
                size, start = size & 127 | data[start] << 7, start + 1
            if start + size > len(data):
                break
            found.append((data[at], data[start : start + size]))
            at = start + size
        data = data[at:]
        yield found


class Crowd:
    """The sensors and the lamps."""

    def __init__(self, port: int, lamps: int, qos: int) -> None:
        self._qos = qos
        self._mid = 0
        self._dice = random.Random(1)
        self._ready = [
            {
                is_high: [
                    self._parts(f"lamp/l-{n}/power", b'{"power": %d}' % (base + 10 * variant))
                    for variant in range(VARIANTS)
                ]
                for is_high, base in ((True, HIGH), (False, LOW))
            }
            for n in range(lamps)
        ]
        self._numbers = {f"l-{n}".encode(): n for n in range(lamps)}
        self.is_high = [False] * lamps
        self.level: list[float | None] = [None] * lamps
        self._asked: list[float] = [0.0] * lamps
        self.latencies: list[float] = []
        self.sent = self.fired = self.commands = 0
        self._sending = connect(port, "sensors")
        self._lamps = connect(port, "lamps")
        topic = b"lamp/+/set"
        self._lamps.sendall(
            packet(0x82, b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + bytes([qos]))
        )
        threading.Thread(target=self._drain, daemon=True).start()
        threading.Thread(target=self._obey, daemon=True).start()

    def _parts(self, topic: str, payload: bytes) -> tuple[bytes, bytes]:
        """Return what stands before and after the packet identifier."""
        name = topic.encode()
        whole = packet(
            0x30 | self._qos << 1,
            len(name).to_bytes(2, "big") + name + (b"\0\0" if self._qos else b"") + payload,
        )
        cut = len(whole) - len(payload)
        return whole[: cut - 2 if self._qos else cut], payload

    def _packet(self, parts: tuple[bytes, bytes]) -> bytes:
        before, after = parts
        if not self._qos:
            return before + after
        self._mid = self._mid % 65_000 + 1
        return before + self._mid.to_bytes(2, "big") + after

    def _drain(self) -> None:
        """Read the broker's acknowledgements away."""
        while self._sending.recv(1 << 16):
            pass

    def _obey(self) -> None:
        """Take the time of each command, acknowledge it, and say what the lamp does now."""
        for found in packets(self._lamps):
            now, answers = time.monotonic(), []
            for kind, body in found:
                if kind & 0xF0 != 0x30:
                    continue
                end = 2 + int.from_bytes(body[:2], "big")
                number = self._numbers[body[2:end].split(b"/")[1]]
                if kind & 0x06:
                    answers.append(b"\x40\x02" + body[end : end + 2])
                    end += 2
                level = float(json.loads(body[end:]))
                self.commands += 1
                asked, self._asked[number] = self._asked[number], 0.0
                if asked:
                    self.latencies.append(now - asked)
                self.level[number] = level
                state = self._parts(f"lamp/l-{number}/state", b"%g" % level)
                answers.append(self._packet(state))
            if answers:
                self._lamps.sendall(b"".join(answers))

    def _flip(self, number: int, now: float) -> bytes:
        self.is_high[number] = high = not self.is_high[number]
        self._asked[number] = now
        self.fired += 1
        self.sent += 1
        return self._packet(self._ready[number][high][0])

    def _reading(self, now: float) -> bytes:
        number = self._dice.randrange(len(self.level))
        if self.sent % ONE_IN == 0 and not self._asked[number]:
            return self._flip(number, now)
        self.sent += 1
        variant = self.sent & (VARIANTS - 1)
        return self._packet(self._ready[number][self.is_high[number]][variant])

    def warm_up(self) -> bool:
        """Have every lamp dimmed and lit again; False when that does not come about."""
        for _ in range(2):
            for start in range(0, len(self.level), SLICE):
                now = time.monotonic()
                some = range(start, min(start + SLICE, len(self.level)))
                self._sending.sendall(b"".join(self._flip(n, now) for n in some))
                time.sleep(0.05)
            if not self.settled():
                return False
        self.latencies.clear()
        self.sent = self.fired = self.commands = 0
        return True

    def flow(self, rate: float, messages: int) -> None:
        """Send so many messages, at a rate or as fast as they are taken."""
        began = time.monotonic()
        while self.sent < messages:
            now = time.monotonic()
            due = SLICE if not rate else int((now - began) * rate) - self.sent
            due = min(due, messages - self.sent)
            if due > 0:
                self._sending.sendall(b"".join([self._reading(now) for _ in range(due)]))
            if rate:
                time.sleep(SLICE_S)

    def settled(self) -> bool:
        """Wait until every lamp is as its rule wants; False when that takes too long."""
        end = time.monotonic() + SETTLE_S
        while self.wrong():
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def wrong(self) -> int:
        """Return how many lamps are not as their rule wants."""
        wanted = (DIMMED if high else FULL for high in self.is_high)
        return sum(a != b for a, b in zip(self.level, wanted, strict=True))


def main() -> None:
    """Say `ready` when every lamp has obeyed twice, run when told to, and print what was seen."""
    port, lamps, rate, messages, qos = map(int, sys.argv[1:6])
    crowd = Crowd(port, lamps, qos)
    ready = crowd.warm_up()
    print(json.dumps({"ready": ready, "wrong": crowd.wrong()}), flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    crowd.flow(rate, messages)
    sent_s = time.monotonic() - began
    crowd.settled()
    print(json.dumps(summary(crowd, sent_s, time.monotonic() - began)), flush=True)


def summary(crowd: Crowd, sent_s: float, all_s: float) -> dict[str, Any]:
    """Return what was seen; latencies in ms."""
    found = sorted(crowd.latencies)

    def at(share: float) -> float:
        return found[min(len(found) - 1, int(len(found) * share))] * 1e3 if found else 0.0

    return {
        "sent": crowd.sent,
        "fired": crowd.fired,
        "commands": crowd.commands,
        "wrong": crowd.wrong(),
        "sent_s": sent_s,
        "all_s": all_s,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
    }


if __name__ == "__main__":
    main()
