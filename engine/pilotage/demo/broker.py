"""An MQTT broker in a process of its own, on the loopback only; for demonstrations, never for a city.

It speaks MQTT 3.1.1 and keeps nothing. `python -m pilotage.demo.broker --port 18830` writes `ready PORT` when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import Any

from pilotage.demo.child import HOST, Peer, until_told


class BrokerProcess(Peer):
    """The broker as a child process; a context manager. It ends with its parent, however that ends."""

    name = "broker"
    module = "pilotage.demo.broker"


async def serve(port: int) -> None:
    """Run a broker until told to end."""
    from amqtt.broker import Broker

    logging.disable(logging.CRITICAL)  # it logs every client and every lost one
    config: dict[str, Any] = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}", "max_connections": 100}},
        "timeout_disconnect_delay": 2,
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    await broker.start()
    print(f"ready {port}", flush=True)
    await until_told(asyncio.get_running_loop())
    with contextlib.suppress(Exception):
        await asyncio.wait_for(broker.shutdown(), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the broker from the command line."""
    parser = argparse.ArgumentParser(prog="python -m pilotage.demo.broker", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args(arguments).port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
