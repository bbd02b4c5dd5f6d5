"""The clocks of the engine: the system's, one that runs faster for demonstrations, and that of another process.

A clock never goes back. When the system's time jumps (an NTP correction, a wrong hand), the jump is told, and:
forward, the engine follows at once, and what fell due in between happens once; back, the engine goes on counting from
where it was, so that nothing happens twice and no duration is wrong. It stays ahead of the system's time until a restart
that finds the system's time past its own.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final

JUMP_S: Final = 2.0
UNKEPT: Final = 5
"""What `clock_state` says when no time server keeps the clock: TIME_ERROR of adjtimex(2)."""
_LIBC: Final = ctypes.CDLL(None)  # once: each one makes types of its own, in circles
_TIMEX: Final = ctypes.c_char * 512  # struct timex is 208 bytes long on 64-bit Linux

Jump = Callable[[float], None]
Read = Callable[[], float]


def _nobody(_seconds: float) -> None:
    """Hear of a jump and do nothing."""


class SystemClock:
    """The system's time, watched for jumps."""

    def __init__(
        self, on_jump: Jump = _nobody, wall: Read = time.time, steady: Read = time.monotonic
    ) -> None:
        """Start the comparison.

        Args:
            on_jump: Called with the seconds of a jump of more than 2 s; negative when the time went back.
            wall: Reads the wall time.
            steady: Reads the time that never jumps.
        """
        self.on_jump = on_jump
        self._wall = wall
        self._steady = steady
        self._ahead = 0.0  # how far we are ahead of the system's time since it went back
        self._last = wall()
        self._last_steady = steady()

    @property
    def ahead_s(self) -> float:
        """How many seconds the engine is ahead of the system's time."""
        return self._ahead

    def go_on_from(self, moment: float) -> None:
        """Count on from where an engine stood that was read back, when the system's time is before that.

        Else the engine's time would stand still, and its timers with it, until the system's comes by.
        """
        self._ahead += max(0.0, moment - self.now())
        self._last = max(moment, self._last)

    def now(self) -> float:
        """Return the wall time; never less than the last time."""
        wall, steady = self._wall() + self._ahead, self._steady()
        jump = wall - self._last - (steady - self._last_steady)
        if jump < -JUMP_S:
            self._ahead -= jump
            wall -= jump
        # Below the limit, a step back is waited out: the time stands still for at most two seconds.
        self._last, self._last_steady = max(wall, self._last), steady
        if abs(jump) > JUMP_S:
            self.on_jump(jump)
        return self._last

    def monotonic(self) -> float:
        """Return seconds that no jump changes."""
        return self._steady()

    def delay(self, seconds: float) -> float:
        """Return the same seconds."""
        return max(0.0, seconds)


class ScaledClock:
    """A time that starts where one likes and runs `speed` times as fast."""

    def __init__(
        self, speed: float, start: float | None = None, steady: Read = time.monotonic
    ) -> None:
        """Start the clock.

        Args:
            speed: Seconds of this clock in one real second, above zero.
            start: Its first wall time; None is the system's time now.
            steady: Reads the time that never jumps.

        Raises:
            ValueError: The speed is not above zero.
        """
        if not speed > 0:
            raise ValueError(f"a clock's speed is above zero, not {speed}")
        self.speed = speed
        self._start = time.time() if start is None else start
        self._steady = steady
        self._zero = steady()

    def now(self) -> float:
        """Return the wall time of this clock."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Return the seconds of this clock since its start."""
        return (self._steady() - self._zero) * self.speed

    def delay(self, seconds: float) -> float:
        """Return the real seconds that this clock takes for `seconds`."""
        return max(0.0, seconds) / self.speed


class FollowedClock:
    """The clock of another process of this machine, as it was told last and counted on from there."""

    def __init__(self) -> None:
        """Begin with the system's time."""
        self._told = (time.time(), time.monotonic(), 1.0)

    def follow(self, now: float, monotonic: float, speed: float) -> None:
        """Take over what `reading_of` gave in the other process."""
        self._told = (now, monotonic, speed)

    def now(self) -> float:
        """Return the wall time of the other clock, seconds since 1970."""
        now, monotonic, speed = self._told
        return now + (time.monotonic() - monotonic) * speed

    def monotonic(self) -> float:
        """Return seconds that no jump changes."""
        return time.monotonic() * self._told[2]

    def delay(self, seconds: float) -> float:
        """Return the real seconds that these seconds take."""
        return max(0.0, seconds) / self._told[2]


def reading_of(clock: object) -> tuple[float, float, float]:
    """Return what a `FollowedClock` follows: the clock's time, the machine's monotonic time, and the clock's speed."""
    now: Read = getattr(clock, "now", time.time)
    return now(), time.monotonic(), float(getattr(clock, "speed", 1.0))


def clock_state() -> int:
    """Return the state of the kernel's clock as adjtimex(2) has it: `UNKEPT`, or -1 is not known."""
    try:
        return int(_LIBC.adjtimex(_TIMEX()))  # with `modes` 0 nothing is set
    except (OSError, AttributeError):
        return -1
