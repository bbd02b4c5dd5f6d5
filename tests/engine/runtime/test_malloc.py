"""How the C library keeps memory: what threads freed goes back, and large blocks leave no holes."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, threading
from pilotage.runtime import malloc

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

{first}
def work():
    kept.append([bytes(3_000) for _ in range(10_000)])

kept = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()  # a paragraph for each arena, on stderr
full = resident()
for some in kept:
    del some[1::2]  # holes everywhere
kept = [some[-1] for some in kept]
malloc.give_back()
print(full - resident())
"""


def run(first: str) -> tuple[int, int]:
    """Return how many arenas there are, and how many bytes went back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.count("Arena "), int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")
class TestMemory:
    """Each in a process of its own: what is set stays set."""

    def test_together(self) -> None:
        """One arena for all threads, and what they freed goes back to the system."""
        arenas, back = run("malloc.keep_together()")
        assert arenas == 1
        assert back > 80_000_000

    def test_without(self) -> None:
        """The control: else each thread has an arena of its own."""
        assert run("")[0] > 1
