"""Who works here: what the pages need of people, whoever keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from pilotage_web.request import Who


class People(Protocol):
    """Knows who asks."""

    @property
    def sign_in(self) -> str:
        """Path of the page on which people sign in."""
        ...

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """Pages of its own: signing in and out, accounts."""
        ...

    async def open(self) -> None:
        """Open what it keeps."""
        ...

    async def close(self) -> None:
        """Close it."""
        ...

    async def who(self, request: HTTPConnection) -> Who:
        """Return who asks, by the session's cookie; `NOBODY` in the right language when nobody is signed in."""
        ...

    async def bearer(self, request: HTTPConnection) -> Who:
        """Return which integration asks, by its token; `NOBODY` when the token is none of ours."""
        ...

    async def prefer(
        self, who: Who, *, language: str = "", theme: str = "", post: str = ""
    ) -> None:
        """Remember what somebody prefers; an empty text changes nothing."""
        ...

    def post_name(self, post: str, language: str) -> str:
        """Return what people call a post; its id where nobody says."""
        return post
