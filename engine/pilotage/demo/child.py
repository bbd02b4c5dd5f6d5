"""A part of the demo in a process of its own: started, waited for, asked to end, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
STOP_S: Final = 5.0


class ChildProcess:
    """A child process as a context manager; a part of the demo adds how it starts.

    It ends by itself when its standard input closes, as it does when we are killed.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """Return the last line that the ended process wrote as an error."""
        process = self._process
        said = "" if process is None or process.stderr is None else process.stderr.read()
        return (said.strip().splitlines() or ["it said nothing"])[-1]

    def stop(self) -> None:
        """Ask it to end, and end it when it does not listen."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Peer(ChildProcess):
    """A part that others connect to: it says `ready` when it listens on its port.

    Several can be started at once with `start`, and waited for afterwards with `until_ready`; entering does both.
    """

    name = "part"
    module = ""

    def __init__(self, port: int = 0, options: Sequence[str] = ()) -> None:
        """Choose the port; 0 takes a free one."""
        super().__init__()
        self.port = port or free_port()
        self._options = options

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", self.module, "--port", str(self.port), *self._options]
        self._process = start_child(command)

    def until_ready(self) -> None:
        """Wait until it listens.

        Raises:
            RuntimeError: It did not start; the text says why.
        """
        assert self._process is not None and self._process.stdout is not None
        if not self._process.stdout.readline().startswith("ready"):
            why = self.last_words()
            self.stop()
            raise RuntimeError(f"the demo's {self.name} does not start on port {self.port}: {why}")

    def __enter__(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: It did not start; the text says why.
        """
        self.start()
        self.until_ready()
        return self


def start_child(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a part of the demo, with pipes to all that it says."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the parent, which stops its children in order
    )


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback that nobody uses now."""
    with contextlib.closing(socket.socket(type=kind)) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


# ── inside the child ─────────────────────────────────────────────────────────────────────────


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
