"""An MQTT broker in a process of its own, on the loopback only; for demonstrations, never for a city.

It speaks MQTT 3.1.1 and keeps nothing. `python -m pilotage.demo.broker --port 18830` writes `ready PORT` when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Sequence
from typing import Any, Final

from pilotage.demo.child import ChildProcess, start_child

HOST: Final = "127.0.0.1"
START_S: Final = 20.0


class BrokerProcess(ChildProcess):
    """The broker as a child process; a context manager. It ends with its parent, however that ends."""

    def __init__(self, port: int = 0) -> None:
        """Choose the port; 0 takes a free one."""
        super().__init__()
        self.port = port or free_port()

    def __enter__(self) -> BrokerProcess:
        """Start the broker and wait until it listens.

        Raises:
            RuntimeError: It did not start; the text says why.
        """
        command = [sys.executable, "-m", "pilotage.demo.broker", "--port", str(self.port)]
        self._process = start_child(command)
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith("ready"):
            why = self.last_words()
            self.stop()
            raise RuntimeError(f"the demo's broker does not start on port {self.port}: {why}")
        return self


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def until_told(loop: asyncio.AbstractEventLoop) -> None:
    """Wait for SIGTERM, SIGINT, or the end of the parent (end of file on standard input)."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    watched = not sys.stdin.isatty() and is_pipe(sys.stdin.fileno())
    if watched:
        loop.add_reader(sys.stdin.fileno(), told.set)
    try:
        await told.wait()
    finally:
        if watched:
            loop.remove_reader(sys.stdin.fileno())


def is_pipe(descriptor: int) -> bool:
    """Return True when a parent may hold the other end."""
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


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
