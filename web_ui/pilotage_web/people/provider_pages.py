"""Coming in through the identity provider: there, and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from pilotage_web.people.admission import Refused
from pilotage_web.people.oidc import BACK, BEGUN_S, Provider, ProviderError
from pilotage_web.people.sign_in_pages import attempt_of, refused
from pilotage_web.request import GuardedRoute, Visit, own_path, page
from pilotage_web.rights import Right

if TYPE_CHECKING:
    from pilotage_web.people.reception import Reception

log = logging.getLogger("pilotage.web.people")


def routes(desk: Reception, provider: Provider) -> Sequence[GuardedRoute]:
    """Return the way to the provider and the way back."""

    @page("/sign-in/provider", "sign_in_back.html", Right.OPEN)
    async def go(visit: Visit) -> Response:
        try:
            url, state = await provider.begin(own_path(visit.query("next", "/")), desk.now())
        except ProviderError as error:
            return _failed(visit, error)
        response = RedirectResponse(url, 303)
        # Lax, not strict: the provider's site leads back to us.
        response.set_cookie(
            desk.state_cookie,
            state,
            max_age=int(BEGUN_S),
            httponly=True,
            secure=desk.site.is_secure,
            samesite="lax",
        )
        return response

    @page(BACK, "sign_in_back.html", Right.OPEN)
    async def back(visit: Visit) -> Response:
        cookie = visit.request.cookies.get(desk.state_cookie, "")
        words = (visit.query("code"), visit.query("state"), cookie, visit.query("iss"))
        try:
            identity, there = await provider.finish(*words, desk.now())
        except ProviderError as error:
            return _failed(visit, error)
        found = await desk.register.admission.admit_by_provider(
            identity.subject, identity.name, attempt_of(desk, visit, "-"), desk.now()
        )
        if isinstance(found, Refused):
            return refused(visit, "sign_in_back.html", found, {"there": "/sign-in"})
        # A strict cookie does not go with a redirect that began at another site: our own page goes on.
        response = visit.render("sign_in_back.html", there=there, error="")
        response.headers["Refresh"] = f"0;url={quote(there, safe='/?=&%#:;,+~!*()')}"
        response.delete_cookie(desk.state_cookie, httponly=True, secure=desk.site.is_secure)
        return desk.keep(response, found)

    return (go, back)


def _failed(visit: Visit, error: ProviderError) -> Response:
    log.warning("the identity provider: %s", error, extra={"event": "web.provider"})
    view: dict[str, Any] = {"there": "/sign-in"}
    return refused(visit, "sign_in_back.html", Refused("provider"), view)
