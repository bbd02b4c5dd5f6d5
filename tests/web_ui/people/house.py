"""The application with its real reception, and browsers that come to it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import httpx
import msgspec
from starlette.applications import Starlette

from pilotage.api import RecordAudit
from pilotage_web.app import create_app
from pilotage_web.city import City
from pilotage_web.people.oidc import Provider
from pilotage_web.people.passwords import Hasher
from pilotage_web.people.reception import Policy, Reception
from pilotage_web.people.records import By
from pilotage_web.people.register import Register, open_register
from pilotage_web.people.sessions import Origin, csrf_of
from pilotage_web.request import masked_csrf
from pilotage_web.rights import Role
from pilotage_web.site import Site

NOW = 1_795_000_000.0
CLI = By("root", "cli")
PASSWORD = "seven tin cups on a sill"
OPTIONAL = Policy(second_factor=False)


@dataclass
class House:
    """An application, its register, and a clock that stands still until it is moved."""

    site: Site
    register: Register
    policy: Policy = OPTIONAL
    now: float = NOW
    told: list[RecordAudit] = field(default_factory=list)
    provider: Provider | None = None

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Make the application; once more when the site or the provider is another."""

        async def tell(row: RecordAudit) -> None:
            self.told.append(row)

        self.reception = Reception(
            self.site,
            self.register,
            tell,
            self.policy,
            clock=lambda: self.now,
            provider=self.provider,
        )
        self.app: Starlette = create_app(
            self.site, City(Path(self.site.socket), timeout_s=5.0), self.reception
        )

    @property
    def origin(self) -> str:
        """Where its pages are."""
        return self.site.url

    def browser(self, address: str = "192.0.2.9") -> Browser:
        """Return a browser that has no session."""
        return Browser(self, address)

    def browser_of(self, person: str, post: str) -> Browser:
        """Return a browser in which somebody is signed in."""
        with self.register.store.writing() as change:
            secret = self.register.sessions.begin(
                change, person, post, Origin("192.0.2.9", "test"), self.now
            )
        browser = self.browser()
        browser.client.cookies.set("pilotage-session", secret)
        return browser

    def add(self, person: str, post: str, role: Role, password: str = PASSWORD) -> None:
        """Add somebody with a password."""
        self.register.accounts.add(person, {post: role}, CLI, NOW, language="en")
        if password:
            hashed = self.register.hasher.hash_now(password)
            self.register.accounts.set_password(person, hashed, CLI, NOW)


class Browser:
    """Opens pages and sends their forms, without script."""

    def __init__(self, house: House, address: str) -> None:
        self._house = house
        transport = httpx.ASGITransport(
            house.app, raise_app_exceptions=False, client=(address, 50_000)
        )
        self.client = httpx.AsyncClient(transport=transport, base_url=house.origin)

    @property
    def secret(self) -> str:
        """The session's secret, as the cookie has it."""
        return next((c.value or "" for c in self.client.cookies.jar if "session" in c.name), "")

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path, headers=headers)

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """Send a form as a page of ours would."""
        form = {"key": secrets.token_urlsafe(9), **fields}
        if self.secret:
            form.setdefault("csrf", masked_csrf(csrf_of(self.secret)))
        return await self.client.post(path, data=form, headers={"Origin": self._house.origin})

    async def sign_in(self, name: str, password: str = PASSWORD, code: str = "") -> httpx.Response:
        """Send the form of the sign-in."""
        return await self.send("/sign-in", name=name, password=password, code=code)


def make_house(socket: Path, folder: Path, policy: Policy = OPTIONAL, address: str = "") -> House:
    """Return an application over a new register; ann is its admin."""
    site = Site(name="Dijon", socket=str(socket), folder=str(folder), time_zone="Europe/Paris")
    site = msgspec.structs.replace(site, address=address)
    house = House(site, open_register(folder, hasher=Hasher(memory_kib=64)), policy)
    house.add("ann", "administration", Role.ADMIN)
    house.add("nadia", "traffic", Role.OPERATOR)
    return house


def said(answer: httpx.Response) -> str:
    """Return the words of a page, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())
