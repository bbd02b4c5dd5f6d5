"""Equipment at the other end of a wire, for the tests of an adapter: a process that is told by lines, and may be killed.

The process can be written in any language. It prints `ready` once it serves, then answers each line of JSON on its input,
`{"do": "tell", "point": "lamp-1.level", "value": 30}`, with one line of JSON on its output.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from typing import IO, Any, Final, Protocol

READY: Final = "ready"
LONGEST_START_S: Final = 30.0


class CannotError(Exception):
    """This equipment cannot do what the test asks; the test is skipped, and the text says why."""


class Peer(Protocol):
    """What stands at the other end of the wire; `start` and `kill` are called outside of the event loop."""

    def start(self) -> None:
        """Serve on the same address as ever; what was told before may be forgotten. Nothing happens when it serves."""
        ...

    def kill(self) -> None:
        """End without a word, as a power failure would; nothing happens when it has ended already."""
        ...

    async def tell(self, point: str, value: Any) -> None:
        """Have the equipment itself come to another value."""
        ...

    async def held(self, point: str) -> Any:
        """Return what the equipment holds now, in the point's unit; None when it was told nothing yet."""
        ...

    async def flood(self, point: str, values: Sequence[Any]) -> None:
        """Have the equipment come to all these values, as fast as it can."""
        ...

    async def distrust(self, point: str) -> None:
        """Have the equipment say that its own value is not to be trusted.

        Raises:
            CannotError: Its protocol has no word for that.
        """
        ...

    async def garbage(self) -> None:
        """Have the equipment send something that no binding understands.

        Raises:
            CannotError: Its protocol leaves no room for that.
        """
        ...


def free_port() -> int:
    """Return a TCP port on which nobody listens now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LinePeer:
    """A process that is told by lines (`Peer`); it may be killed, and started again with the same words.

    A line is answered with a value, with `{"error": TEXT}`, or with `{"cannot": TEXT}`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the process and wait until it serves; nothing happens when it runs already.

        Raises:
            RuntimeError: It ended, or was not ready in time; the text has what it said.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._end()  # one that ended by itself leaves its pipes behind
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process = process
        # A process that hangs while it starts is killed, so that the line below ends.
        timer = threading.Timer(LONGEST_START_S, process.kill)
        timer.start()
        try:
            said = _output(process).readline().strip()
        finally:
            timer.cancel()
            timer.join()
        if said != READY:
            self._end()
            raise RuntimeError(
                f"{' '.join(self.command)} is not ready; it said: {said or 'nothing'}"
            )

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal: SIGSTOP freezes it, SIGCONT lets it go on."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    async def do(self, what: str, **more: Any) -> Any:
        """Tell the process something and return its answer.

        Raises:
            CannotError: It says that it cannot.
            RuntimeError: It failed, or does not run.
        """
        line = json.dumps({"do": what, **more}) + "\n"
        answer = json.loads(await asyncio.to_thread(self._exchange, line))
        if isinstance(answer, dict) and "cannot" in answer:
            raise CannotError(answer["cannot"])
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{what}: {answer['error']}")
        return answer

    async def tell(self, point: str, value: Any) -> None:
        """Have the equipment itself come to another value."""
        await self.do("tell", point=point, value=value)

    async def held(self, point: str) -> Any:
        """Return what the equipment holds now."""
        return await self.do("held", point=point)

    async def flood(self, point: str, values: Sequence[Any]) -> None:
        """Have the equipment come to all these values, as fast as it can."""
        await self.do("flood", point=point, values=list(values))

    async def distrust(self, point: str) -> None:
        """Have the equipment say that its own value is not to be trusted."""
        await self.do("distrust", point=point)

    async def garbage(self) -> None:
        """Have the equipment send something that no binding understands."""
        await self.do("garbage")

    def _exchange(self, line: str) -> str:
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError("it does not run")
        with self._turn:
            process.stdin.write(line)
            process.stdin.flush()
            answer = _output(process).readline()
        if not answer:
            raise RuntimeError("it ended while it was told something")
        return answer


Obey = Callable[[str, str, Any], Awaitable[Any]]
"""Gets the verb, the point, and its `value` or `values`; returns the answer."""


async def obey_lines(obey: Obey) -> None:
    """Be the other end of a `LinePeer`: say that the equipment serves, then answer each line until the input ends."""
    print(READY, flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        value = order["values"] if "values" in order else order.get("value")
        try:
            answer = await obey(order["do"], order.get("point", ""), value)
        except CannotError as error:
            answer = {"cannot": str(error)}
        except Exception as error:  # told to the test, which fails with it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
