"""What every question and answer is made of, and how the engine refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

__all__ = [
    "Answer",
    "ApiError",
    "Done",
    "Explanation",
    "NoEngineError",
    "Question",
    "Receipt",
]

Answer = TypeVar("Answer")


class Question(
    msgspec.Struct,
    Generic[Answer],
    tag_field="method",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Something to ask of the engine; the parameter is the type of its answer.

    `via` says by which way a person asks, for the audit: `cli`, or `web ADDRESS POST` (`-` for no address).
    """

    via: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """Why something is as it is: for people, and for programs."""

    text: str
    details: Any = None


class Receipt(msgspec.Struct, frozen=True):
    """What became of an order; `decision` is the number of the decision that holds it, on disk."""

    taken: bool
    text: str
    decision: int


class Done(msgspec.Struct, frozen=True):
    """The engine does it."""

    text: str = ""


class ApiError(Exception):
    """The engine refused a question: a code that stays, what is wrong, and the mend."""

    def __init__(self, code: str, text: str, mend: str = "") -> None:
        self.code = code
        self.text = text
        self.mend = mend
        super().__init__(f"{text}\n   mend: {mend}" if mend else text)


class NoEngineError(ApiError):
    """Nobody answers at the socket."""

    def __init__(self, path: Path, why: str = "") -> None:
        self.path = path
        because = f" ({why})" if why else ""
        super().__init__(
            "no-engine", f"no engine answers at {path}{because}", "start one with `pilotage run`"
        )
