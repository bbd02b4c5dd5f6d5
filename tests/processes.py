"""Whether processes of others have ended: nobody here waits for them, so that one which has ended may stay as a zombie."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]


def still_run(processes: Iterable[psutil.Process], within_s: float = 10.0) -> list[psutil.Process]:
    """Return those that have not ended after a while; empty as soon as all have."""
    end = time.monotonic() + within_s
    while (alive := [each for each in processes if _runs(each)]) and time.monotonic() < end:
        time.sleep(0.01)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
