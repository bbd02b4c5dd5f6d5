"""A refusal of the JSON interface, as RFC 9457 has it."""

from __future__ import annotations

from typing import Any


class Problem(Exception):
    """A refusal with a code that stays; `more` stands in the answer beside the members of RFC 9457."""

    def __init__(
        self, status: int, code: str, title: str, text: str, mend: str = "", **more: Any
    ) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.text = text
        self.mend = mend
        self.more = more
        super().__init__(f"{status} {code}: {text}")
