"""The engine's end of a keeper: starts it, has it load a plugin and fork children, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final, cast

from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.limits import parent

START_S: Final = 15.0
"""Time to import the plugin, and time to open its adapter."""
FORK_S: Final = 2.0
LOOK_S: Final = 0.005


class Died(Exception):
    """The child, or its keeper, is gone or was ended; the text says why."""


class KeeperLink(asyncio.Protocol):
    """The engine's end of the keeper's socket."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.is_sound = True
        self._process = process
        self._control = control
        self._decoder = wire.Decoder(wire.FromKeeper, wire.FROM_CHILD)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Any] | None = None
        self._exits: dict[int, asyncio.Future[int]] = {}

    @classmethod
    async def start(cls) -> KeeperLink:
        """Start a keeper; it has loaded nothing yet."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = _start_process(theirs.fileno())
        ours.setblocking(False)
        keeper = cls(process, ours)
        try:
            await asyncio.get_running_loop().create_connection(lambda: keeper, sock=ours)
        except BaseException:
            ours.close()
            keeper._kill()
            keeper._reap()
            raise
        return keeper

    async def load(self, keep: wire.Keep) -> None:
        """Have it import the plugin.

        Raises:
            Died: That did not succeed.
        """
        answer = await self._ask(wire.encode(keep), START_S, "did not import its plugin")
        if isinstance(answer, wire.Failed):
            self.is_sound = False
            raise Died(f"cannot load the plugin: {answer.why}")

    async def fork(self, theirs: socket.socket) -> int:
        """Have it start a child with this socket, and return its id."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        # All before was written: descriptors go along with bytes of their own.
        try:
            socket.send_fds(self._control, [wire.encode(wire.Fork())], [theirs.fileno()])
        except OSError as error:
            self.is_sound = False
            raise Died(f"is gone: {error.strerror}") from error
        answer = await self._wait(FORK_S, "did not start again")
        # The plugin's code has run in the keeper: what it says is not believed where it would name a stranger.
        if not isinstance(answer, wire.Forked) or not self._is_family(answer.pid):
            self.is_sound = False
            raise Died("gave a wrong answer when it was to start again")
        self._exits[answer.pid] = asyncio.get_running_loop().create_future()
        return answer.pid

    def _is_family(self, pid: int) -> bool:
        return self._process.pid in (pid, parent(pid))

    def warm(self, modules: Sequence[str]) -> None:
        """Have it import these, when it has time."""
        if self._transport is not None and modules:
            self._transport.write(wire.encode(wire.Warm(list(modules))))

    async def exit_of(self, pid: int) -> str:
        """Return how a child ended, in words; empty when that is not known soon."""
        exit_ = self._exits.get(pid)
        if exit_ is None:
            return ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                return exit_words(os.waitstatus_to_exitcode(await asyncio.shield(exit_)))
        return ""

    def forget(self, pid: int) -> None:
        """Wait for the end of a child no more."""
        self._exits.pop(pid, None)

    async def end(self) -> None:
        """Kill it, with all that it started and that is not ended yet."""
        self.is_sound = False
        if self._transport is not None:
            self._transport.abort()
        self._kill()
        try:
            await self._code(1.0)
        finally:
            self._reap()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Take note of its end even when nobody waits for it any more: it would stay in the table of processes."""
        if self._process.poll() is None:
            threading.Thread(target=self._process.wait, name="pilotage-reaper", daemon=True).start()

    # ── the socket ───────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to it."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take its answer, or the end of a child."""
        try:
            messages = self._decoder.feed(data)
        except wire.GarbledError:
            self.connection_lost(None)
            return
        for message in messages:
            if isinstance(message, wire.Exited):
                exit_ = self._exits.get(message.pid)
                if exit_ is not None and not exit_.done():
                    exit_.set_result(message.status)
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is gone."""
        self.is_sound = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    async def _code(self, within_s: float) -> int | None:
        """Return how the process ended, or None when it has not soon; the event loop goes on meanwhile."""
        for _ in range(int(within_s / LOOK_S)):
            if self._process.poll() is not None:
                break
            await asyncio.sleep(LOOK_S)
        return self._process.returncode

    async def _ask(self, data: bytes, within_s: float, silent: str) -> Any:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._wait(within_s, silent)

    async def _wait(self, within_s: float, silent: str) -> Any:
        assert self._answer is not None
        try:
            async with asyncio.timeout(within_s):
                answer = await self._answer
        except TimeoutError:
            self.is_sound = False
            raise Died(f"{silent} within {within_s:g} s") from None
        if answer is None:
            code = await self._code(0.2)  # its socket is closed: it is at its end
            how = "closed its socket" if code is None else exit_words(code)
            raise Died(f"{how} while its plugin was imported")
        return answer


def _start_process(descriptor: int) -> subprocess.Popen[bytes]:
    """Start Python with the keeper: a fork and an exec, some milliseconds.

    From the thread of the event loop, because a process is told when the thread that started it ends, not the process.
    """
    return subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.keeper", str(descriptor)],
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(),
    )


def environment() -> dict[str, str]:
    """Return what of the environment a plugin's process gets: nothing that may be a secret."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(("LC_", "SSL_CERT_"))}
    # What pilotage itself needs before it is told the engine's whole path; few arenas keep the memory small.
    return kept | {"PYTHONPATH": os.pathsep.join(wire.search_path()), "MALLOC_ARENA_MAX": "2"}


_KEPT: Final = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONWARNINGS", "PYTHONUTF8"}
)


def exit_words(code: int) -> str:
    """Return how a process ended, from its return code as `subprocess` has it."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
