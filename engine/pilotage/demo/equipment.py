"""The sensors, lamps and vehicles of the simulated city, in a process of their own: each group is one ordinary MQTT client.

`python -m pilotage.demo.equipment --port 18830 --speed 60 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pilotage.demo.child import HOST, ChildProcess, start_child, until_told
from pilotage.demo.clock import DemoClock, add_clock, clock_of
from pilotage.demo.device import Group, Message
from pilotage.demo.safety import Cameras, Panels, Roadside
from pilotage.demo.sight import look
from pilotage.demo.street import Detectors, Lamps
from pilotage.demo.transport import Ambulance, Buses
from pilotage.demo.winter import Fleet, Weather

GROUPS: Final[tuple[type[Group], ...]] = (
    *(Lamps, Detectors, Buses, Ambulance, Panels, Cameras, Roadside, Weather, Fleet),
)
LONGEST_NAP_S: Final = 0.05
LONGEST_GREETING_S: Final = 0.5


class Player:
    """One group at its MQTT client: what it hears and says crosses between paho's thread and ours here."""

    def __init__(self, group: Group, clock: DemoClock, port: int, wake: Callable[[], Any]) -> None:
        self.group = group
        self._clock = clock
        self._port = port
        self._wake = wake
        self._states: dict[str, Message] = {}
        self._is_new = True
        self.is_ready = False
        self._heard: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            f"demo-{group.name}",
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 2)

    def start(self) -> None:
        """Connect; a broker that goes away is waited for."""
        self._client.connect_async(HOST, self._port, keepalive=10)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def play(self) -> float:
        """Hear, act and speak; return the city's time when there is something to do again."""
        now = self._clock.now()
        while not self._heard.empty():
            self.group.hear(*self._heard.get(), now)
        said = self.group.step(now)
        self._states.update((message.topic, message) for message in said if message.keep)
        if not self._client.is_connected():
            return self.group.next_due
        if self._is_new:
            # A device that is at its broker, or back there, says how it is; not all that happened meanwhile.
            self._is_new = False
            said = [*self._states.values(), *(message for message in said if not message.keep)]
        for message in said:
            self._client.publish(message.topic, message.payload, qos=0, retain=message.keep)
        return self.group.next_due

    def _on_connect(self, *_: Any) -> None:
        self._is_new = True
        if self.group.listens:
            self._client.subscribe([(topic, 1) for topic in self.group.listens])
        else:
            self.is_ready = True
        self._wake()

    def _on_subscribe(self, *_: Any) -> None:
        self.is_ready = True
        self._wake()

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._heard.put((message.topic, bytes(message.payload)))
        self._wake()


def _send_at_once(_client: mqtt.Client, _userdata: Any, sock: Any) -> None:
    """Keep the second of two short messages from waiting 40 ms for the acknowledgement of the first."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class EquipmentProcess(ChildProcess):
    """The equipment as a child process; a context manager. It ends with its parent, however that ends."""

    def __init__(self, port: int, clock: DemoClock, seed: int = 1, eyes: int = 0) -> None:
        super().__init__()
        self.port = port
        self.clock = clock
        self.seed = seed
        self.eyes = eyes

    def __enter__(self) -> EquipmentProcess:
        """Start the equipment."""
        command = [sys.executable, "-m", "pilotage.demo.equipment", "--port", str(self.port)]
        command += ["--seed", str(self.seed), "--eyes", str(self.eyes), *self.clock.options]
        self._process = start_child(command)
        return self


async def begin(players: Sequence[Player], woken: asyncio.Event) -> None:
    """Connect one after the other: the demo's broker drops clients that come while another one subscribes."""
    for player in players:
        player.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_GREETING_S):
                while not player.is_ready:
                    woken.clear()
                    await woken.wait()


async def live(port: int, clock: DemoClock, seed: int, eyes: int) -> None:
    """Let the city live until told to end; what its drivers see comes to the port `eyes`."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    wake = partial(loop.call_soon_threadsafe, woken.set)
    groups = [make(seed, clock.now()) for make in GROUPS]
    players = [Player(group, clock, port, wake) for group in groups]
    told = asyncio.ensure_future(until_told(loop))
    drivers = next(group for group in groups if isinstance(group, Buses))
    seeing = await look(eyes, drivers.see)
    try:
        await begin(players, woken)
        while not told.done():
            woken.clear()
            due = min(player.play() for player in players)
            nap = min(LONGEST_NAP_S, max(0.001, clock.delay(due - clock.now())))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), nap)
    finally:
        seeing.close()
        for player in players:
            player.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the equipment from the command line."""
    parser = argparse.ArgumentParser(prog="python -m pilotage.demo.equipment", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the broker's port on 127.0.0.1")
    parser.add_argument("--seed", type=int, default=1, help="another number is another night")
    parser.add_argument("--eyes", type=int, default=0, help="where the lights are seen")
    add_clock(parser)
    given = parser.parse_args(arguments)
    asyncio.run(live(given.port, clock_of(parser, given), given.seed, given.eyes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
