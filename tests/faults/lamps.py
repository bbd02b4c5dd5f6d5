"""The street behind a broker, as a process of its own: counters that report, lamps that obey and write down what they did.

Run as `python -m tests.faults.lamps PORT LOG STREETS`. A lamp obeys no order after its deadline, as the manual advises; each
order that arrives is a line of the log, with what the lamp did.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

EVERY_S: Final = 0.1
FLOWS: Final = (41.0, 200.0)


class Street:
    """All lamps and counters, on one client."""

    def __init__(self, port: int, log: TextIO, streets: int) -> None:
        self.levels = [100.0] * streets
        self.flows = [200.0] * streets
        self._log = log
        self._port = port
        self._is_calm = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "street")
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take
        self._client.max_queued_messages_set(1)

    def run(self) -> None:
        """Report for ever; what cannot be sent now is never sent."""
        rng = random.Random(1)
        while True:
            if not self._client.is_connected():
                self._connect()
            if not self._is_calm:
                self.flows[rng.randrange(len(self.flows))] = rng.choice(FLOWS)
            for street in range(len(self.flows)):
                self._say(f"street/s-{street}/flow", {"flow": self.flows[street]})
                self._say(f"lamp/s-{street}/state", {"level": self.levels[street]})
            end = time.monotonic() + EVERY_S
            while (left := end - time.monotonic()) > 0:
                if self._client.loop(left) != paho.MQTT_ERR_SUCCESS:
                    time.sleep(0.02)
                    break

    def _connect(self) -> None:
        try:
            self._client.connect("127.0.0.1", self._port)
        except OSError:
            time.sleep(0.05)
            return
        end = time.monotonic() + 1.0
        while not self._client.is_connected() and time.monotonic() < end:
            self._client.loop(0.05)

    def _say(self, topic: str, what: dict[str, Any]) -> None:
        if self._client.is_connected():
            self._client.publish(topic, json.dumps(what | {"ts": time.time()}))

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe([("lamp/+/set", 1), ("lamp/+/ring", 1), ("calm", 1)])

    def _take(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        if message.topic == "calm":
            self._is_calm = True
            return
        _, street, point = message.topic.split("/")
        order = json.loads(message.payload)
        now = time.time()
        obeyed = now <= order["until"]
        if obeyed and point == "set":
            self.levels[int(street.removeprefix("s-"))] = order["level"]
            self._say(f"lamp/{street}/state", {"level": order["level"]})
        line = {"street": street, "point": point, "time": now, "obeyed": obeyed, **order}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()


def main() -> None:
    """Run until killed."""
    port, log, streets = sys.argv[1:]
    with Path(log).open("a") as lines:
        Street(int(port), lines, int(streets)).run()


if __name__ == "__main__":
    main()
