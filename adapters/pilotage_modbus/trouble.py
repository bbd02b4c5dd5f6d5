"""What may come of a question: the line is gone, silence, a refusal, or an answer to something else."""

from __future__ import annotations

from typing import Final

EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}
"""V1.1b3, section 7."""


class ConnectionLost(ConnectionError):
    """The line cannot be opened, or is gone; the text says why."""


class Silence(Exception):
    """The unit did not answer in time."""


class Refusal(Exception):
    """The unit answered with an exception code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})")


class BadAnswer(Exception):
    """The unit answered with something else than what was asked."""
