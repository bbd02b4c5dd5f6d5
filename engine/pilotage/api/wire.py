"""The wire: a question is one line of JSON with its `method`, the answer one line with `ok` or `error`."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from pilotage.api import (
    alarms,
    audit,
    decisions,
    equipment,
    figures,
    glass,
    history,
    incidents,
    live,
    overrides,
    plans,
    points,
    preview,
    rules,
    service,
    vitals,
    why,
    why_rules,
)
from pilotage.api.question import Answer, ApiError, Question

__all__ = [
    "MAX_QUESTION_BYTES",
    "AnyQuestion",
    "decode_answer",
    "decode_question",
    "decoded",
    "encode_answer",
    "encode_error",
    "encode_question",
]

MAX_QUESTION_BYTES: Final = 64 * 1024

AnyQuestion = (
    service.Questions
    | figures.Questions
    | points.Questions
    | overrides.Questions
    | rules.Questions
    | plans.Questions
    | preview.Questions
    | alarms.Questions
    | incidents.Questions
    | glass.Questions
    | decisions.Questions
    | history.Questions
    | live.Questions
    | audit.Questions
    | why.Questions
    | vitals.Questions
    | why_rules.Questions
    | equipment.Questions
)
"""Every question; a new room of the interface adds its line."""

_encode: Final = msgspec.json.Encoder().encode
_RESPONSE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_QUESTION: Final = msgspec.json.Decoder(AnyQuestion)


def encode_question(question: Question[Any]) -> bytes:
    """Return a question as its line."""
    return _encode(question) + b"\n"


def decode_question(line: bytes) -> AnyQuestion:
    """Return the question that a line asks.

    Raises:
        ApiError: It is no question of this interface; the text says where it differs.
    """
    try:
        question: AnyQuestion = _QUESTION.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError("bad-question", f"not understood: {error}") from error
    return question


def encode_answer(answer: Any) -> bytes:
    """Return an answer as its line."""
    return _encode({"ok": answer}) + b"\n"


def encode_error(error: ApiError) -> bytes:
    """Return a refusal as its line."""
    return _encode({"error": {"code": error.code, "text": error.text, "mend": error.mend}}) + b"\n"


def decode_answer(question: Question[Answer], line: bytes) -> Answer:
    """Return the answer to a question, of its type.

    Raises:
        ApiError: The engine refused the question.
    """
    return decoded(line, get_args(type(question).__orig_bases__[0])[0])  # type: ignore[attr-defined,no-any-return]


def decoded(line: bytes, type_: Any) -> Any:
    """Return an answer of a type, or raise the refusal that the line holds."""
    try:
        response = _RESPONSE.decode(line)
        if "error" in response:
            raise ApiError(**msgspec.json.decode(response["error"], type=dict[str, str]))
        return msgspec.json.decode(response["ok"], type=type_)
    except (msgspec.MsgspecError, KeyError) as error:
        raise ApiError(
            "bad-answer",
            f"the engine's answer is not understood: {error}",
            "use the same version of pilotage on both sides",
        ) from error
