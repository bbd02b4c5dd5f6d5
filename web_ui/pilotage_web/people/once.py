"""A stand-in for people: one link that works once, one session in memory, no account.

The room `people` replaces it by a store with passwords; `__main__` chooses.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from pilotage_web.request import NOBODY, Visit, Who, page
from pilotage_web.rights import Right, Role
from pilotage_web.site import Site

COOKIE: Final = "pilotage-session"
POSTS: Final = ("control",)


class OncePeople:
    """`People` with one person, who comes in through a link that is printed at the start."""

    def __init__(self, site: Site, token: str = "") -> None:
        """Take a token for the link, or make one."""
        self._site = site
        self._token = token or secrets.token_urlsafe(24)
        self._sessions: dict[str, Who] = {}
        self._nobody = replace(NOBODY, language=site.language)

    sign_in: Final = "/sign-in"

    @property
    def link(self) -> str:
        """The address that signs in, once."""
        return f"{self._site.url}/enter/{self._token}" if self._token else ""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The page that says how to come in, and the link."""

        @page("/sign-in", "sign_in.html", Right.OPEN)
        async def sign_in(visit: Visit) -> dict[str, str]:
            return {}

        @page("/enter/{token}", "sign_in.html", Right.OPEN)
        async def enter(visit: Visit) -> Response:
            token, self._token = self._token, ""
            if not token or not hmac.compare_digest(visit.path("token").encode(), token.encode()):
                self._token = token
                raise HTTPException(404)
            return self._let_in(visit)

        return (sign_in, enter)

    def _let_in(self, visit: Visit) -> Response:
        session = secrets.token_urlsafe(32)
        self._sessions[session] = Who(
            person="operator",
            name="Operator",
            roles=dict.fromkeys(POSTS, Role.OPERATOR),
            post=POSTS[0],
            language=self._site.language,
            csrf=secrets.token_urlsafe(24),
            session=secrets.token_urlsafe(9),
        )
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE, session, httponly=True, samesite="strict", secure=self._site.is_secure
        )
        return response

    async def open(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is kept."""

    async def who(self, request: HTTPConnection) -> Who:
        """Return who has the session."""
        who = self._sessions.get(request.cookies.get(COOKIE, ""), self._nobody)
        address = request.client.host if request.client is not None else ""
        return replace(who, address=address)

    async def bearer(self, request: HTTPConnection) -> Who:
        """There are no tokens."""
        return self._nobody

    async def prefer(
        self, who: Who, *, language: str = "", theme: str = "", post: str = ""
    ) -> None:
        """Remember it as long as the session."""
        for session, known in self._sessions.items():
            if known.session == who.session:
                self._sessions[session] = replace(
                    known,
                    language=language or known.language,
                    theme=theme or known.theme,
                    post=post or known.post,
                )
