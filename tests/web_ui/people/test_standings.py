"""What each request looks up of who asks is kept, and only until anybody writes to the file of people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection
from tests.web_ui.people.house import CLI, Browser, House, make_house

from pilotage_web.people import reception
from pilotage_web.people.passwords import Hasher
from pilotage_web.people.register import Register, open_register
from pilotage_web.people.sessions import LONGEST_S
from pilotage_web.request import Who
from pilotage_web.rights import Role


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The application; no engine is needed to ask who somebody is."""
    house = make_house(tmp_path / "no.sock", tmp_path / "web")
    async with house.app.router.lifespan_context(house.app):
        yield house


@pytest.fixture
def browser(house: House) -> Browser:
    """A browser in which nadia is signed in at traffic."""
    return house.browser_of("nadia", "traffic")


@pytest.fixture
def cli(house: House) -> Iterator[Register]:
    """The same file, opened by another program."""
    with closing(open_register(house.site.storage, hasher=Hasher(64))) as register:
        yield register


async def who(house: House, secret: str) -> Who:
    """Return who asks with a secret."""
    headers = [(b"cookie", f"pilotage-session={secret}".encode()), (b"hx-request", b"true")]
    return await house.reception.who(
        HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    )


class TestAnotherProgram:
    async def test_shut_out(self, house: House, browser: Browser, cli: Register) -> None:
        """A person whom the command line shuts out is nobody with the next request."""
        assert (await who(house, browser.secret)).person == "nadia"
        cli.accounts.disable("nadia", CLI, house.now)
        assert (await who(house, browser.secret)).person == ""

    async def test_another_role(self, house: House, browser: Browser, cli: Register) -> None:
        """A role that is taken away counts with the next request no more."""
        assert (await who(house, browser.secret)).role == "operator"
        cli.accounts.set_roles("nadia", {"traffic": Role.VIEWER}, CLI, house.now)
        assert (await who(house, browser.secret)).role == "viewer"


class TestOurselves:
    async def test_signed_out(self, house: House, browser: Browser) -> None:
        """Who signs out is nobody with the next request."""
        secret = browser.secret
        assert (await who(house, secret)).person == "nadia"
        await browser.send("/sign-out")
        assert (await who(house, secret)).person == ""

    async def test_over(self, house: House, browser: Browser) -> None:
        """A session that nobody ended is over after its time, though nothing was written."""
        assert (await who(house, browser.secret)).person == "nadia"
        house.now += LONGEST_S
        assert (await who(house, browser.secret)).person == ""

    async def test_asked_once(self, house: House, browser: Browser) -> None:
        """While nothing is written the file is only asked whether anything was."""
        await who(house, browser.secret)
        statements: list[str] = []
        house.register.store._reader.set_trace_callback(statements.append)
        for _ in range(3):
            await who(house, browser.secret)
        assert statements == ["PRAGMA data_version"] * 3

    async def test_bound(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """Secrets that are made up fill no memory."""
        monkeypatch.setattr(reception, "MOST_STANDINGS", 10)
        for number in range(50):
            assert not (await who(house, f"stranger-{number}")).is_signed_in
        assert len(house.reception._standings) <= 10
