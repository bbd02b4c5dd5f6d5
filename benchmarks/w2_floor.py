"""The floor of W2: the same rules written by hand around a bare paho loop. `python -m benchmarks.w2_floor PORT LAMPS QOS`."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

LIMIT = 500


def main() -> None:
    """Dim a lamp whose power is high, light it when it is low; remember what it says of itself."""
    port, lamps, qos = map(int, sys.argv[1:4])
    client = paho.Client(CallbackAPIVersion.VERSION2, "floor")
    decode = msgspec.json.Decoder().decode
    wants_dim: dict[str, bool] = dict.fromkeys((f"l-{n}" for n in range(lamps)), False)
    is_dim: dict[str, bool | None] = dict.fromkeys(wants_dim)
    reported: dict[str, float] = {}

    def on_message(client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        _, lamp, what = message.topic.split("/")
        if what == "state":
            reported[lamp] = decode(message.payload)
            return
        dim = wants_dim[lamp] = decode(message.payload)["power"] > LIMIT
        if dim is not is_dim[lamp]:
            is_dim[lamp] = dim
            client.publish(f"lamp/{lamp}/set", b"30" if dim else b"100", qos)

    def on_connect(client: paho.Client, *_: Any) -> None:
        client.subscribe([("lamp/+/power", qos), ("lamp/+/state", qos)])

    client.on_message = on_message
    client.on_connect = on_connect
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main()
