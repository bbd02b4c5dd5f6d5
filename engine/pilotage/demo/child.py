"""A part of the demo in a process of its own: started, asked to end, and ended."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Final

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
