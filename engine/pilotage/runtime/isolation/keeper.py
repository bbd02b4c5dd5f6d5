"""The process that the engine starts for one isolated connection: it loads the plugin once and forks the children.

A child that dies costs a fork, not a start of Python with all imports. The plugin's code runs here only while it is imported;
if that hangs or aborts, the engine ends this process too, and starts another.

`python -m pilotage.runtime.isolation.keeper FD`
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from pilotage.adapter import AdapterFactory, ConnectionSettings
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.child import live
from pilotage.runtime.isolation.city import RemoteSite
from pilotage.runtime.isolation.limits import confine
from pilotage.runtime.logs import set_up_logs
from pilotage.runtime.plugins import load_one

_CHUNK: Final = 1 << 18


def main() -> None:
    """Serve the engine at the descriptor that is named on the command line."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    os.dup2(2, 1)  # what a plugin prints must not get among anything else
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine says when it is over
    Keeper(control).serve()


class Keeper:
    """Loads what the first message says, then forks when it is told to."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = wire.Decoder(wire.ToKeeper, wire.FROM_ENGINE)
        self._children: dict[int, int] = {}  # descriptors of processes, to their ids
        self._factory: AdapterFactory | None = None
        self._settings = ConnectionSettings("", "", {})
        self._site: RemoteSite | None = None

    def serve(self) -> None:
        """Do what the engine says until it is gone."""
        while True:
            control = self._control.fileno()
            ready, _, _ = select.select([control, *self._children], [], [])
            for descriptor in ready:
                if descriptor == control:
                    self._hear()
                else:
                    self._bury(descriptor)

    def _hear(self) -> None:
        data, sockets, _, _ = socket.recv_fds(self._control, _CHUNK, 1)
        if not data:
            os._exit(0)
        for message in self._decoder.feed(data):
            match message:
                case wire.Keep():
                    self._load(message)
                case wire.Fork():
                    self._fork(sockets.pop())
                case wire.Warm():
                    _import(message.modules)
                    _freeze()

    def _load(self, keep: wire.Keep) -> None:
        confine(keep.memory)
        sys.path[:] = keep.path
        set_up_logs(keep.log_level, keep.log_format)
        self._settings, self._site = keep.settings.thaw(), RemoteSite(keep.site)
        self._site.set_time(keep.time)
        loaded = load_one(keep.entry, Path(keep.lock) if keep.lock else None)
        self._factory = loaded.adapters.get(self._settings.adapter)
        if self._factory is not None:
            _freeze()
            self._say(wire.Loaded())
            return
        why = next((report.why for report in loaded.plugins if report.why), "")
        self._say(wire.Failed(why or f'the plugin brings no adapter "{self._settings.adapter}"'))

    def _fork(self, descriptor: int) -> None:
        assert self._factory is not None
        assert self._site is not None
        if (
            _threads() > 1
        ):  # a fork would copy their locks without them: this process itself becomes the child
            self._say(wire.Forked(os.getpid()))
            live(socket.socket(fileno=descriptor), self._factory, self._settings, self._site)
        pid = os.fork()
        if pid == 0:
            self._control.close()
            for other in self._children:
                os.close(other)
            live(socket.socket(fileno=descriptor), self._factory, self._settings, self._site)
        os.close(descriptor)
        self._children[os.pidfd_open(pid)] = pid
        self._say(wire.Forked(pid))

    def _bury(self, descriptor: int) -> None:
        pid = self._children.pop(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        self._say(wire.Exited(pid, status))

    def _say(self, message: wire.Message) -> None:
        try:
            self._control.sendall(wire.encode(message))
        except OSError:
            os._exit(0)


def _import(modules: list[str]) -> None:
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _freeze() -> None:
    """Leave what is loaded out of every later collection: the children share its memory, and a fork does not wait."""
    gc.collect()
    gc.freeze()


def _threads() -> int:
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 1


if __name__ == "__main__":
    main()
