"""The reception: `People` over the register. It knows by a request who asks, and has the pages of people.

Also hands to the engine's audit what waits for it, while the process runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute

from pilotage.api import ApiError, RecordAudit
from pilotage_web.city import EngineAway
from pilotage_web.people import (
    People,
    account_pages,
    screen_pages,
    sign_in_pages,
    token_pages,
    user_pages,
)
from pilotage_web.people.accounts import LANGUAGES
from pilotage_web.people.admission import Admitted
from pilotage_web.people.posts import ADMINISTRATION
from pilotage_web.people.records import By, hand_over
from pilotage_web.people.register import Register
from pilotage_web.people.sessions import BROWSER_S, KIOSK, Origin, Session, csrf_of
from pilotage_web.request import NOBODY, Visit, Who
from pilotage_web.rights import Role
from pilotage_web.site import Site

if TYPE_CHECKING:
    from pilotage_web.people.oidc import Provider

T = TypeVar("T")

HAND_OVER_S: Final = 1.0
SHOWN_S: Final = 600.0
MOST_STANDINGS: Final = 5_000
VISITOR: Final = "visitor"
BEARER: Final = "bearer "

log = logging.getLogger("pilotage.web.people")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site asks of people.

    Attributes:
        second_factor: Whether everybody must have one before anything else is shown.
        password: Whether everybody must have a password; the demo lets in by its link alone.
    """

    second_factor: bool = True
    password: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """What the file says of who shows a secret, as long as nobody writes to it; None when no session has it."""

    session: Session | None
    roles: Mapping[str, str]
    csrf: str


class Reception(People):
    """Who comes in and who asks; the pages of people."""

    sign_in: Final = "/sign-in"

    def __init__(
        self,
        site: Site,
        register: Register,
        tell: Callable[[RecordAudit], Awaitable[object]],
        policy: Policy | None = None,
        clock: Callable[[], float] = time.time,
        provider: Provider | None = None,
    ) -> None:
        """Take the register of a site, what gives a row to the engine's audit, and the identity provider, if there is one."""
        self.provider = provider
        self.site = site
        self.register = register
        self.policy = policy or Policy()
        self.now = clock
        self._tell = tell
        self._nobody = replace(NOBODY, language=site.language)
        # Without TLS a browser does not take the prefix that binds a cookie to this very host.
        mark = "__Host-" if site.is_secure else ""
        self._session_cookie = f"{mark}pilotage-session"
        self._browser_cookie = f"{mark}pilotage-browser"
        self.state_cookie = f"{mark}pilotage-provider"
        self.refusals: dict[tuple[str, str, int, int], Response] = {}
        """Refusals of this second, as the sign-in makes them."""
        self._shown: dict[tuple[str, str], tuple[float, list[str]]] = {}
        self._standings: dict[str, Standing] = {}
        self._version = -1
        self._task: asyncio.Task[None] | None = None

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The pages of people."""
        rooms = (sign_in_pages, account_pages, user_pages, token_pages, screen_pages)
        routes = [route for room in rooms for route in room.routes(self)]
        if self.provider is not None:
            from pilotage_web.people import provider_pages  # its libraries are optional

            routes += provider_pages.routes(self, self.provider)
        return routes

    async def open(self) -> None:
        """Begin to hand over what waits for the audit."""
        self._task = asyncio.create_task(self._hand_over())

    async def close(self) -> None:
        """Stop, and close the register."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.provider is not None:
            await self.provider.close()
        await asyncio.to_thread(self.register.close)

    def let_in_once(self, secret: str) -> str:
        """Return the address of a link that lets somebody in as the operator of every post, once; nothing without a secret.

        For a city that is shown and not run: whoever starts the process chooses the secret.
        """
        if not secret:
            return ""
        by, now, accounts = By(VISITOR, "cli"), self.now(), self.register.accounts
        if accounts.get(VISITOR) is None:
            posts = [post for post in self.register.posts if post != ADMINISTRATION]
            roles = dict.fromkeys(posts, Role.OPERATOR)
            language = self.site.language if self.site.language in LANGUAGES else LANGUAGES[0]
            accounts.add(VISITOR, roles, by, now, language=language)
        accounts.new_link(VISITOR, by, now, secret=secret)
        return f"{self.site.url}/sign-in/link/{secret}"

    # ── who asks ─────────────────────────────────────────────────────────────────────────────

    async def who(self, request: HTTPConnection) -> Who:
        """Return who asks, by the session's cookie; nobody when there is none, or it is over."""
        secret = request.cookies.get(self._session_cookie, "")
        now, address = self.now(), _address(request)
        standing = self._standing(secret) if secret else None
        session = None if standing is None else standing.session
        if standing is None or session is None or session.ends <= now:
            return replace(self._nobody, address=address)
        if session.is_touched_by(now) and _is_click(request):
            touched = session
            await self.change(lambda: self.register.sessions.touch(touched, now))
        return Who(
            person=session.person,
            name=session.full_name or session.person,
            roles=standing.roles,
            post=session.post,
            language=session.language,
            theme=session.theme,
            csrf=standing.csrf,
            session=session.id,
            address=address,
            held=self._held(session, now),
        )

    def _standing(self, secret: str) -> Standing:
        """Return what the file says of a secret; it is asked once for as long as nobody writes to it."""
        version = self.register.store.version
        if version != self._version or len(self._standings) >= MOST_STANDINGS:
            self._version, self._standings = version, {}
        found = self._standings.get(secret)
        if found is None:
            found = self._standings[secret] = self._looked_up(secret)
        return found

    def _looked_up(self, secret: str) -> Standing:
        session = self.register.sessions.of(secret, self.now())
        if session is None:
            return Standing(None, {}, "")
        if session.kind == KIOSK:
            return Standing(session, {session.post: Role.VIEWER}, csrf_of(secret))
        return Standing(session, self.register.accounts.roles(session.person), csrf_of(secret))

    async def bearer(self, request: HTTPConnection) -> Who:
        """Return which program asks, by its token."""
        header = request.headers.get("authorization", "")
        address, now = _address(request), self.now()
        nobody = replace(self._nobody, address=address)
        if header[: len(BEARER)].lower() != BEARER:
            return nobody
        token = self.register.tokens.of(header[len(BEARER) :].strip(), now)
        if token is None:
            return nobody
        await self.change(lambda: self.register.tokens.touch(token, now))
        return replace(
            nobody,
            person=token.person,
            name=token.title,
            post=token.post,
            scopes=frozenset(token.scopes),
        )

    async def prefer(
        self, who: Who, *, language: str = "", theme: str = "", post: str = ""
    ) -> None:
        """Remember what somebody prefers; an empty text changes nothing."""
        now = self.now()
        session = self.register.sessions.by_id(who.session, now)
        if session is None or session.kind == KIOSK:
            return
        if language or theme:
            await self.change(
                lambda: self.register.accounts.prefer(who.person, language=language, theme=theme)
            )
        if post:
            await self.change(lambda: self.register.sessions.move(session, post))

    def post_name(self, post: str, language: str) -> str:
        """Return what people call a post; its id where nobody says."""
        known = self.register.posts.get(post)
        return post if known is None else known.title(language)

    def _held(self, session: Session, now: float) -> str:
        """Return what a session waits for before it is whole: `locked`, `password`, `second`, or nothing."""
        if session.kind == KIOSK or session.is_locked(now):
            return "locked"
        if session.has_provider:
            return ""
        if self.policy.password and not session.has_password:
            return "password"
        return "second" if self.policy.second_factor and not session.has_second else ""

    # ── what the pages of people share ───────────────────────────────────────────────────────

    async def change(self, call: Callable[[], T]) -> T:
        """Return what a change gives; it waits for the disk in another thread."""
        return await asyncio.to_thread(call)

    def session_of(self, visit: Visit) -> Session | None:
        """Return the session of who asks."""
        secret = visit.request.cookies.get(self._session_cookie, "")
        return self.register.sessions.of(secret, self.now())

    def secret_of(self, visit: Visit) -> str:
        """Return the secret that a browser shows for its session, empty when it has none."""
        return visit.request.cookies.get(self._session_cookie, "")

    def browser_of(self, visit: Visit) -> str:
        """Return the secret by which a browser is known again."""
        return visit.request.cookies.get(self._browser_cookie, "")

    def origin_of(self, visit: Visit) -> Origin:
        """Return from where a visit comes."""
        return Origin(visit.who.address, visit.request.headers.get("user-agent", ""))

    def by(self, visit: Visit, reason: str = "") -> By:
        """Return who does something on a page, for the audit."""
        return By(visit.who.person, f"web {visit.who.address}", reason, visit.who.post)

    def keep(self, response: Response, admitted: Admitted) -> Response:
        """Give a browser its session, and the secret by which it is known again."""
        self.keep_session(response, admitted.session)
        self._cookie(response, self._browser_cookie, admitted.browser, int(BROWSER_S))
        return response

    def keep_session(self, response: Response, secret: str, seconds: int | None = None) -> Response:
        """Give a browser the secret of its session, until it is closed, or for so long also when it is."""
        self._cookie(response, self._session_cookie, secret, seconds)
        return response

    def forget_session(self, response: Response) -> Response:
        """Take the session's secret from a browser."""
        self._cookie(response, self._session_cookie, "", 0)
        return response

    def _cookie(self, response: Response, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            httponly=True,
            secure=self.site.is_secure,
            samesite="strict",
        )

    def show_once(self, visit: Visit, what: str, lines: list[str]) -> None:
        """Keep secrets for the next page of this session: they are in no file and in no answer that is kept."""
        now = self.now()
        self._shown = {key: kept for key, kept in self._shown.items() if kept[0] > now}
        self._shown[visit.who.session, what] = (now + SHOWN_S, lines)

    def look_at(self, visit: Visit, what: str) -> list[str]:
        """Return secrets that were kept for this session, and keep them on."""
        ends, lines = self._shown.get((visit.who.session, what), (0.0, []))
        return lines if ends > self.now() else []

    def take(self, visit: Visit, what: str) -> list[str]:
        """Return secrets that were kept for this session, and forget them."""
        lines = self.look_at(visit, what)
        self._shown.pop((visit.who.session, what), None)
        return lines

    # ── the audit ────────────────────────────────────────────────────────────────────────────

    async def _hand_over(self) -> None:
        """Give the engine what waits for its audit, as soon as it is there."""
        while True:
            await asyncio.sleep(HAND_OVER_S * (0.75 + secrets.randbelow(512) / 1024))
            try:
                await asyncio.to_thread(self.register.admission.tell_failures, self.now())
                await hand_over(self.register.records, self._to_engine)
            except Exception:
                log.exception("rows for the audit wait", extra={"event": "web.audit_waits"})

    async def _to_engine(self, row: RecordAudit) -> None:
        try:
            await self._tell(row)
        except EngineAway as error:
            raise ApiError("no-engine", error.why) from error


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client is not None else ""


def _is_click(request: HTTPConnection) -> bool:
    """Return whether a person did this, and not a page that refreshes itself."""
    if request.scope.get("method", "GET") not in ("GET", "HEAD"):
        return True
    if "hx-request" in request.headers:
        return False
    return request.headers.get("sec-fetch-mode", "navigate") == "navigate"
