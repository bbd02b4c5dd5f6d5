"""The signal controllers, in a process of their own: one OPC UA server for the junctions of the avenue.

`python -m pilotage.demo.controllers --port 4840` writes `ready PORT` when it listens. Each junction is an object
`ns=2;s=ID` with variables `ns=2;s=ID.NAME` and a method `ns=2;s=ID.Ask`: action, vehicle, seconds until it is there, line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.methods import uamethod

from pilotage.demo.child import HOST, until_told
from pilotage.demo.clock import DemoClock, add_clock, clock_of
from pilotage.demo.device import Message
from pilotage.demo.sight import Shown
from pilotage.demo.signals import Junctions

NAMESPACE: Final = "urn:demo:signals"
HELD_BY: Final = ("nobody", "bus", "tram", "emergency", "police")
"""What the numbers of `HeldBy` mean."""

VARIABLES: Final = (
    ("held_by", "HeldBy", 0, ua.VariantType.Int32),
    ("mode", "Mode", "normal", ua.VariantType.String),
    ("cycle", "Cycle", 0.0, ua.VariantType.Double),
    ("comm", "Watchdog", True, ua.VariantType.Boolean),
    ("cross", "CrossOccupancy", 0.0, ua.VariantType.Double),
    ("status", "Priority", "", ua.VariantType.String),
    ("bus", "Vehicle", "", ua.VariantType.String),
)
"""What a controller says of itself: the field, its node, its first value and type."""

LONGEST_NAP_S: Final = 0.05
SHOW_S: Final = 0.5


class Controllers:
    """The junctions behind an OPC UA server: what they say goes to its nodes, what is called comes to them."""

    def __init__(self, group: Junctions, clock: DemoClock, woken: asyncio.Event) -> None:
        self._group = group
        self._clock = clock
        self._woken = woken
        self._server = Server()
        self._index = 0
        self._nodes: dict[tuple[str, str], tuple[Any, ua.VariantType]] = {}

    async def start(self, port: int) -> None:
        """Listen."""
        server = self._server
        await server.init()
        server.set_endpoint(f"opc.tcp://{HOST}:{port}")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self._index = await server.register_namespace(NAMESPACE)
        for id_ in self._group.junctions:
            await self._add(id_)
        await self.say(self._group.step(self._clock.now()))
        await server.start()

    async def stop(self) -> None:
        """Hang up."""
        await self._server.stop()

    async def _add(self, id_: str) -> None:
        index = self._index
        parent = await self._server.nodes.objects.add_object(
            ua.NodeId(id_, index), f"{index}:{id_}"
        )
        for field, name, value, type_ in VARIABLES:
            node_id = ua.NodeId(f"{id_}.{name}", index)
            node = await parent.add_variable(node_id, f"{index}:{name}", value, type_)
            self._nodes[id_, field] = (node.nodeid, type_)
        status, type_ = self._nodes[id_, "status"]  # nobody has asked yet
        waiting = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadWaitingForInitialData))
        await self._server.write_attribute_value(
            status, ua.DataValue(ua.Variant("", type_), waiting)
        )
        text = ua.VariantType.String
        await parent.add_method(
            ua.NodeId(f"{id_}.Ask", index), f"{index}:Ask", self._ask(id_), [text] * 4, []
        )

    def _ask(self, id_: str) -> Any:
        def ask(_parent: Any, action: str, vehicle: str, eta: str, line: str) -> None:
            fields: dict[str, Any] = {"action": action, "bus": vehicle, "line": line}
            with contextlib.suppress(ValueError):
                fields["eta"] = float(eta)
            payload = json.dumps(fields).encode()
            self._group.hear(f"city/signal/{id_}/request", payload, self._clock.now())
            self._woken.set()

        return uamethod(ask)

    async def say(self, messages: Sequence[Message]) -> None:
        """Write what the junctions say into their nodes."""
        for message in messages:
            id_ = message.topic.split("/")[2]
            for field, value in json.loads(message.payload).items():
                node_id, type_ = self._nodes.get((id_, field), (None, None))
                if node_id is not None:
                    value = HELD_BY.index(value) if field == "held_by" else value
                    value = float(value) if type_ is ua.VariantType.Double else value
                    data = ua.DataValue(ua.Variant(value, type_))
                    await self._server.write_attribute_value(node_id, data)


async def serve(port: int, clock: DemoClock, seed: int, eyes: int) -> None:
    """Let the junctions answer until told to end, and everybody who looks at the port `eyes` see them."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    group, woken = Junctions(seed, clock.now()), asyncio.Event()
    controllers, shown = Controllers(group, clock, woken), Shown(eyes)
    told = asyncio.ensure_future(until_told(asyncio.get_running_loop()))
    told.add_done_callback(lambda _: woken.set())
    await controllers.start(port)
    print(f"ready {port}", flush=True)
    seen, seen_at = group.held, 0.0
    while not told.done():
        woken.clear()
        await controllers.say(group.step(clock.now()))
        if group.held != seen or time.monotonic() - seen_at > SHOW_S:
            seen, seen_at = group.held, time.monotonic()
            shown.show(seen)
        nap = min(LONGEST_NAP_S, max(0.001, clock.delay(group.next_due - clock.now())))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), nap)
    shown.close()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(controllers.stop(), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the controllers from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pilotage.demo.controllers", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True, help="to listen on, on 127.0.0.1")
    parser.add_argument("--seed", type=int, default=1, help="another number is another night")
    parser.add_argument("--eyes", type=int, required=True, help="where the lights are seen")
    add_clock(parser)
    given = parser.parse_args(arguments)
    asyncio.run(serve(given.port, clock_of(parser, given), given.seed, given.eyes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
