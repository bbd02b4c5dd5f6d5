"""A text that nobody prints by mistake."""

from __future__ import annotations


class Secret(str):
    """A text that shows itself as `***` wherever it is printed, logged or put into another text.

    It is a `str`, so that libraries take it as it is; `reveal` returns an ordinary one.
    """

    __slots__ = ()

    def reveal(self) -> str:
        """Return the secret itself."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _format: str) -> str:
        return "***"
