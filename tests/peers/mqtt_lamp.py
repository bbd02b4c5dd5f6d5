"""A lamp behind MQTT: `mqtt_lamp.py PORT`; it obeys `city/lamp/lamp-1/set` and says its state, as paho speaks it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from pilotage.testing.peers import obey_lines

TOPIC = "city/lamp/lamp-1"


class Lamp:
    """Its level, None until it was told one."""

    def __init__(self, port: int) -> None:
        self.level: Any = None
        self.subscribed = False
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe(f"{TOPIC}/set", 1)
        self.client.on_subscribe = self._subscribed
        self.client.on_message = self._told
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        while not self.subscribed:
            time.sleep(0.005)

    def _subscribed(self, *_: Any) -> None:
        self.subscribed = True

    def _told(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.level = json.loads(message.payload)["level"]
        self.say("good")

    def say(self, quality: str) -> None:
        state = {"level": self.level, "quality": quality, "ts": time.time()}
        self.client.publish(f"{TOPIC}/state", json.dumps(state), qos=1)

    async def obey(self, what: str, _point: str, value: Any) -> Any:
        match what:
            case "held":
                return self.level
            case "tell":
                self.level = value
                self.say("good")
            case "flood":
                for each in value:
                    self.level = each
                    self.say("good")
            case "distrust":
                self.say("bad")
            case "garbage":
                for payload in (b"\xff\xfe", b"{", b"[]", b'{"level": "x"}', b'{"level": {}}', b""):
                    self.client.publish(f"{TOPIC}/state", payload, qos=1)
        return None


if __name__ == "__main__":
    asyncio.run(obey_lines(Lamp(int(sys.argv[1])).obey))
