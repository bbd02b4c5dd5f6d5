"""A request as the pages see it: who asks, what they may, and the guards that every page and every action passes.

`page` and `action` wrap a handler into a route. A page is read only and answers a GET; an action changes something and
answers a POST, once per key, from our own pages alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from pilotage import api
from pilotage_web import sight
from pilotage_web.bar import is_under
from pilotage_web.repeats import Slot
from pilotage_web.rights import ACTING, ORDERS, Right, rights_of
from pilotage_web.texts import Words

if TYPE_CHECKING:
    from pilotage_web.app import Frame

Answer = TypeVar("Answer")

NOTICE: Final = "pilotage-notice"
NOTICE_S: Final = 30
MOST_FIELDS: Final = 200
MOST_FIELD_BYTES: Final = 64 * 1024

_VOLATILE: Final = secrets.token_hex(8)
KEY_MARK: Final = f"key-{_VOLATILE}"
CSRF_MARK: Final = f"csrf-{_VOLATILE}"
TIME_MARK: Final = f"time-{_VOLATILE}"
"""What differs each time a page is sent stands as a mark in its text while its ETag is made."""


# ── who asks ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who is signed in, or an integration with a token.

    Attributes:
        person: Name for signing in; stands in orders and in the audit. Empty for nobody.
        name: As pages show it.
        roles: What they are, by post.
        post: The post that they act for now.
        language: Of their pages.
        theme: `dark` or `light`.
        csrf: Secret of the session that forms must bring.
        session: The session's public id: a stream ends with it.
        address: Of the client, for the audit.
        scopes: Of a token; None for people in a browser.
        held: What the session waits for, and does nothing until then: `locked` (the password again), `password` or `second` (one
            to be chosen first); empty for one that is whole.
    """

    person: str = ""
    name: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    post: str = ""
    language: str = "en"
    theme: str = "dark"
    csrf: str = ""
    session: str = ""
    address: str = ""
    scopes: frozenset[str] | None = None
    held: str = ""

    @property
    def is_signed_in(self) -> bool:
        """True for a person and for a token."""
        return bool(self.person)

    @property
    def role(self) -> str:
        """What they are at their acting post."""
        return self.roles.get(self.post, "")

    def may(self, right: Right) -> bool:
        """True when their role at the acting post has a right, and their token, if it is one, its scope; a token needs no role."""
        if right is Right.OPEN:
            return True
        if not self.is_signed_in or (self.scopes is not None and right not in self.scopes):
            return False
        if right in (Right.SELF, Right.SEE) or (self.scopes is not None and not self.roles):
            return True
        return not self.held and right in rights_of(self.role)

    @property
    def hand_level(self) -> int:
        """The level at which they take equipment by hand: 7 (maintenance) for engineers, 8 for everybody else."""
        return 7 if self.role == "engineer" else 8

    @property
    def via(self) -> str:
        """By which way they come and at which post they act, for the audit."""
        return f"web {self.address or '-'} {self.post}".strip()


NOBODY: Final = Who()


# ── what a handler gets ──────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Visit:
    """One request: who asks, and what an answer needs.

    Attributes:
        request: Starlette's.
        frame: What the application holds together: site, city, people, texts, assets, …
        who: Who asks.
        form: What an action was sent; empty for a page.
        key: Idempotency key of an action.
        lists: Versions of the lists when the request came: what is shown is at least as new.
    """

    request: Request
    frame: Frame
    who: Who
    form: FormData = field(default_factory=FormData)
    key: str = ""
    lists: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Note the versions before anything is asked of the engine."""
        self.lists = self.frame.hub.lists

    @property
    def words(self) -> Words:
        """Texts, numbers and times in the language of who asks."""
        return self.frame.texts[self.who.language]

    def say(self, text: str, **values: Any) -> str:
        """Return a text in the language of who asks."""
        return self.words.say(text, **values)

    def path(self, name: str) -> str:
        """Return a part of the address, such as the `plan` of `/plans/{plan}`."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address."""
        return self.request.query_params.get(name, default)

    def field(self, name: str, default: str = "") -> str:
        """Return a text of the form, without space around it."""
        value = self.form.get(name)
        return value.strip() if isinstance(value, str) else default

    async def ask(self, question: api.Question[Answer]) -> Answer:
        """Return the engine's answer; the question says by which way it comes.

        Raises:
            EngineAway: No engine answers; shown as a page by itself.
            ApiError: The engine refused; shown as a page by itself.
        """
        if not question.via:
            question = msgspec.structs.replace(question, via=self.who.via)
        return await self.frame.city.ask(question)

    def render(self, template: str, status: int = 200, **view: Any) -> Response:
        """Return a page of a template."""
        return _sent(self, self.text_of(template, **view), status)

    def text_of(self, template: str, **view: Any) -> str:
        """Return a template's text with marks where it differs each time."""
        environment = self.words.environment
        return environment.get_template(template).render(
            **view,
            visit=self,
            who=self.who,
            site=self.frame.site,
            asset=self.frame.assets.url,
            bar=self.frame.bar,
            here=self.request.url.path,
            is_under=is_under,
            languages=self.frame.languages,
            post_name=lambda post: self.frame.people.post_name(post, self.who.language),
            may=self.who.may,
            Right=Right,
            key_mark=KEY_MARK,
            csrf_mark=CSRF_MARK,
            time_mark=TIME_MARK,
            glass=self.frame.hub.glass,
            notice=self._notice(),
        )

    def back(self, to: str, notice: str = "", kind: str = "done") -> Response:
        """Go on to a page after an action; `notice` is shown there once, `kind` is done, warning or refused."""
        response = RedirectResponse(own_path(to), 303)
        if notice:
            packed = urlsafe_b64encode(f"{kind}\n{notice}".encode()[:2_000]).decode()
            self._cookie(response, packed, NOTICE_S)
        return response

    def _notice(self) -> tuple[str, str] | None:
        raw = self.request.cookies.get(NOTICE, "")
        try:
            kind, _, text = urlsafe_b64decode(raw).decode("utf-8", "replace").partition("\n")
        except ValueError:
            return None
        return (kind if kind in ("done", "warning", "refused") else "done", text) if text else None

    def _cookie(self, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            NOTICE,
            value,
            max_age=seconds,
            httponly=True,
            secure=self.frame.site.is_secure,
            samesite="strict",
        )


def own_path(to: str) -> str:
    """Return a path of ours: what leads elsewhere becomes the first page."""
    parts = urlsplit(to)
    is_ours = not parts.scheme and not parts.netloc and to.startswith("/")
    return to if is_ours and not to.startswith(("//", "/\\")) and to.isprintable() else "/"


# ── the guards ───────────────────────────────────────────────────────────────────────────────

PageHandler = Callable[[Visit], Awaitable[Mapping[str, Any] | Response]]
ActionHandler = Callable[[Visit], Awaitable[Response]]


class GuardedRoute(Route):
    """A route that says what it asks for: the tests try each against every role."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        method: str,
        right: Right,
    ) -> None:
        super().__init__(path, endpoint, methods=[method], name=f"{method} {path}")
        self.right = right


def page(
    path: str, template: str, right: Right = Right.SEE
) -> Callable[[PageHandler], GuardedRoute]:
    """Make a handler a page: who is not signed in is led to the sign-in, who may not is told who can.

    The handler returns what its template shows, or a whole response. A page that has not changed is answered with 304.
    """

    def wrap(handler: PageHandler) -> GuardedRoute:
        async def endpoint(request: Request) -> Response:
            frame: Frame = request.app.state.frame
            who = await frame.people.who(request)
            visit = Visit(request, frame, who)
            request.state.visit = visit
            if right is not Right.OPEN and not who.is_signed_in:
                there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(f"{frame.people.sign_in}?next={quote(there, safe='')}", 303)
            allow(who, right)
            found = await handler(visit)
            if isinstance(found, Response):
                return found
            return _sent(visit, visit.text_of(template, **found), 200)

        return GuardedRoute(path, endpoint, "GET", right)

    return wrap


def action(path: str, right: Right) -> Callable[[ActionHandler], GuardedRoute]:
    """Make a handler an action: a form of our own pages, of somebody who may, carried out once per key.

    The form brings `csrf` and `key`; the macro `form_keys` writes both. The handler mostly ends with `visit.back(…)`.
    """

    def wrap(handler: ActionHandler) -> GuardedRoute:
        async def endpoint(request: Request) -> Response:
            frame: Frame = request.app.state.frame
            who = await frame.people.who(request)
            visit = Visit(request, frame, who)
            request.state.visit = visit
            refuse_strangers(request, frame.site.origins)
            if right is not Right.OPEN and not who.is_signed_in:
                raise HTTPException(401)
            body = await request.body()
            visit.form = await request.form(
                max_files=0, max_fields=MOST_FIELDS, max_part_size=MOST_FIELD_BYTES
            )
            if right is not Right.OPEN:
                sent = visit.field("csrf") or request.headers.get("x-csrf", "")
                if not is_csrf_right(sent, who.csrf):
                    raise HTTPException(403, "csrf")
            allow(who, right)
            if right is Right.OPEN:
                return await handler(visit)
            visit.key = visit.field("key") or request.headers.get("idempotency-key", "")
            if not visit.key:
                raise HTTPException(400, "key")
            # What somebody changes in a form before they send it again is another order.
            digest = hashlib.sha256(body).hexdigest()
            slot = Slot(who.person, f"{request.url.path} {digest}", visit.key)

            async def carry_out() -> Response:
                if right in ORDERS:
                    sight.check_engine(visit)
                if right in ACTING:
                    sight.check_view(visit)
                return await handler(visit)

            return await frame.repeats.once(slot, "", carry_out)

        return GuardedRoute(path, endpoint, "POST", right)

    return wrap


def allow(who: Who, right: Right) -> None:
    """Let somebody on who has a right.

    Raises:
        HTTPException: 403 to who has it not, 303 to where a session becomes whole that is not yet.
    """
    if who.held in ("password", "second") and right not in (Right.OPEN, Right.SELF):
        raise HTTPException(303, headers={"Location": "/account"})
    if not who.may(right):
        is_locked = who.held == "locked" and right in rights_of(who.role)
        raise HTTPException(403, "locked" if is_locked else f"right:{right.value}")


def refuse_strangers(request: HTTPConnection, origins: frozenset[str]) -> None:
    """Refuse what another site has a browser send us.

    Raises:
        HTTPException: The origin is not ours, or a browser's word of it is missing.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        is_ours = origin.lower() in origins
    else:
        is_ours = request.headers.get("sec-fetch-site") == "same-origin"
    if not is_ours:
        raise HTTPException(403, "origin")


# ── what differs each time ───────────────────────────────────────────────────────────────────


def _sent(visit: Visit, text: str, status: int) -> Response:
    """Return a page with its marks filled in, or 304 when the browser has it."""
    tag = f'W/"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Content-Language": visit.who.language}
    if status == 200 and tag in visit.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    text = text.replace(KEY_MARK, secrets.token_urlsafe(12))
    text = text.replace(CSRF_MARK, masked_csrf(visit.who.csrf))
    text = text.replace(TIME_MARK, visit.words.clock(visit.frame.hub.city_now))
    response = HTMLResponse(text, status, headers)
    if NOTICE in visit.request.cookies:
        response.delete_cookie(
            NOTICE, httponly=True, secure=visit.frame.site.is_secure, samesite="strict"
        )
    return response


def masked_csrf(secret: str) -> str:
    """Return a session's secret under a mask that differs each time: compressed pages would tell it otherwise (BREACH)."""
    if not secret:
        return ""
    plain = secret.encode()
    mask = secrets.token_bytes(len(plain))
    hidden = bytes(a ^ b for a, b in zip(plain, mask, strict=True))
    return urlsafe_b64encode(mask + hidden).decode()


def is_csrf_right(sent: str, secret: str) -> bool:
    """True when a form brought the secret of its session."""
    try:
        raw = urlsafe_b64decode(sent.encode())
    except (ValueError, UnicodeEncodeError):
        return False
    half = len(raw) // 2
    plain = bytes(a ^ b for a, b in zip(raw[:half], raw[half:], strict=False))
    return bool(secret) and hmac.compare_digest(plain, secret.encode())
