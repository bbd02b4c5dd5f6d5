"""The engine of the demo, in a process of its own: the ordinary service on an ordinary configuration, with the city's time.

`python -m pilotage.demo.engine --config config.yaml --speed 20`
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pilotage.demo.child import STOP_S, ChildProcess, is_pipe
from pilotage.demo.clock import DemoClock, add_clock, clock_of
from pilotage.ports import LogUnusableError, OwnedElsewhereError
from pilotage.runtime.config import load_settings
from pilotage.runtime.logs import set_up_logs
from pilotage.runtime.workshop import CityWorkshop
from pilotage.service import run_service

LAST_LINES: Final = 12


class EngineProcess(ChildProcess):
    """The engine as a child process that logs into a file; a context manager. It ends with its parent."""

    def __init__(
        self,
        config: Path,
        log: Path,
        clock: DemoClock,
        *,
        uvloop: bool | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare it; `environment` is added to our own."""
        super().__init__()
        self._environment = dict(environment or {})
        self.config = config
        self.log = log
        self.clock = clock
        self.uvloop = uvloop

    def __enter__(self) -> EngineProcess:
        """Start the engine; it answers at its control socket a second or two later."""
        command = [sys.executable, "-m", "pilotage.demo.engine", "--config", str(self.config)]
        command += self.clock.options
        if self.uvloop is not None:
            command.append("--uvloop" if self.uvloop else "--no-uvloop")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env={**os.environ, **self._environment},
                start_new_session=True,  # Ctrl-C is for the parent, which stops its children in order
            )
        return self

    def stop(self) -> None:
        """Stop the engine in order, by force when that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            # Its standard input stays open meanwhile: a second signal would end it before it has stopped in order.
            self._process.wait(timeout=2 * STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.communicate()
        self._process = None

    def last_words(self) -> str:
        """Return the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])


def end_with_parent() -> None:
    """Have this process stopped in order when its standard input closes, as it does when the parent is killed."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    if is_pipe(sys.stdin.fileno()):
        threading.Thread(target=wait, daemon=True, name="parent").start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engine from the command line."""
    parser = argparse.ArgumentParser(prog="python -m pilotage.demo.engine", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    add_clock(parser)
    parser.add_argument("--uvloop", action=argparse.BooleanOptionalAction)
    given = parser.parse_args(arguments)
    clock = clock_of(parser, given)
    settings = load_settings(given.config)
    set_up_logs(settings.log.level, settings.log.format)
    end_with_parent()
    try:
        run_service(
            settings, CityWorkshop(), uvloop=given.uvloop, speed=clock.speed, start=clock.now()
        )
    except (LogUnusableError, OwnedElsewhereError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
