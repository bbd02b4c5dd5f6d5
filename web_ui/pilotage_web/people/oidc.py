"""Sign-in through the city's identity provider: OpenID Connect, the code flow with PKCE.

The provider proves who somebody is; what they may is said here. Nobody has an account because the provider knows them.
Source: OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 9207.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from pilotage_web.site import Site

BACK: Final = "/sign-in/provider/back"
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
"""What an identity token may be signed with: never `none`, never a shared secret."""
TIMEOUT_S: Final = 5.0
BEGUN_S: Final = 600.0
MOST_BEGUN: Final = 2_000
LEEWAY_S: Final = 60
MOST_BYTES: Final = 1 << 20


class ProviderError(Exception):
    """The provider did not say who it is; the text is for the log, not for the page."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says it is: a subject that stays, and the name that people know."""

    subject: str
    name: str


@dataclass(frozen=True, slots=True)
class _Begun:
    nonce: str
    verifier: str
    there: str
    ends: float


class Provider:
    """Asks one identity provider, whose addresses it reads from the provider itself."""

    def __init__(self, site: Site, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Take what the site says of it; nothing is asked yet.

        Raises:
            OSError: The file with the secret cannot be read.
        """
        settings = site.provider
        assert settings is not None
        self._issuer = settings.issuer.rstrip("/")
        self._client = settings.client
        self._secret = Path(settings.secret).read_text("utf-8").strip()
        self._claim = settings.claim
        self._back = f"{site.url}{BACK}"
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, transport=transport)
        self._begun: dict[str, _Begun] = {}
        self._known: dict[str, Any] = {}

    async def begin(self, there: str, now: float) -> tuple[str, str]:
        """Return where to send a browser, and the state that it must bring back.

        Raises:
            ProviderError: The provider does not answer.
        """
        found = await self._metadata()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._begun = {key: each for key, each in self._begun.items() if each.ends > now}
        while len(self._begun) >= MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        self._begun[state] = _Begun(nonce, verifier, there, now + BEGUN_S)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": self._back,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{found['authorization_endpoint']}?{urlencode(query)}", state

    async def finish(
        self, code: str, state: str, cookie: str, issuer: str, now: float
    ) -> tuple[Identity, str]:
        """Return who it is, and where they wanted to go.

        Args:
            code: What the provider gave the browser.
            state: What the browser brings back.
            cookie: What the browser was given when it was sent: another browser's answer is none.
            issuer: Who says to have answered, empty when nobody does.
            now: Seconds since 1970.

        Raises:
            ProviderError: It was not begun here, is over, was used, or is not what the provider signed.
        """
        begun = self._begun.pop(state, None)
        if begun is None or begun.ends <= now or not hmac.compare_digest(state, cookie):
            raise ProviderError("this sign-in was not begun in this browser, or it is over")
        if issuer and issuer.rstrip("/") != self._issuer:
            raise ProviderError("another provider answered")
        found = await self._metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": begun.verifier,
        }
        given = await self._json("POST", found["token_endpoint"], form)
        return await self._identity(str(given.get("id_token", "")), begun.nonce, now), begun.there

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _identity(self, token: str, nonce: str, now: float) -> Identity:
        found = await self._metadata()
        keys = KeySet.import_key_set(await self._json("GET", found["jwks_uri"]))
        try:
            claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                now=int(now),
                leeway=LEEWAY_S,
                iss={"essential": True, "value": found["issuer"]},
                aud={"essential": True, "value": self._client},
                exp={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except (JoseError, ValueError, KeyError) as error:
            raise ProviderError(f"its token is not taken: {type(error).__name__}") from error
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != self._client:
            raise ProviderError("its token is for others too")
        name = claims.get(self._claim, "")
        return Identity(f"{self._issuer} {claims['sub']}", name if isinstance(name, str) else "")

    async def _metadata(self) -> dict[str, Any]:
        """Return what the provider says of itself; it is asked once."""
        if not self._known:
            found = await self._json("GET", f"{self._issuer}/.well-known/openid-configuration")
            if str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise ProviderError("it says that it is another one")
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if not all(_is_fit(found.get(key), self._issuer) for key in wanted):
                raise ProviderError("its addresses are not fit")
            self._known = found
        return self._known

    async def _json(self, method: str, url: str, form: dict[str, str] | None = None) -> Any:
        auth = httpx.BasicAuth(self._client, self._secret) if form is not None else None
        try:
            answer = await self._http.request(
                method, url, data=form, auth=auth, follow_redirects=False
            )
            if answer.status_code != 200 or len(answer.content) > MOST_BYTES:
                raise ProviderError(f"{url} answered {answer.status_code}")
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderError(f"{url}: {type(error).__name__}") from error
        if not isinstance(found, dict):
            raise ProviderError(f"{url} answered something else")
        return found


def _is_fit(url: object, issuer: str) -> bool:
    """Return whether an address of the provider is one, and as well protected as the provider itself."""
    scheme = "http://" if issuer.startswith("http://") else "https://"
    return isinstance(url, str) and url.startswith(scheme)
