"""Sign-in through an identity provider: a small one of our own, in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.web_ui.people.house import CLI, NOW, Browser, House, make_house, said

from pilotage_web.people.oidc import BEGUN_S, Provider
from pilotage_web.people.reception import Policy
from pilotage_web.site import ProviderSite

SECRET = "the secret of the pages"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """Where the provider is."""
    command = [sys.executable, str(Path(__file__).with_name("provider_process.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
async def house(tmp_path: Path, issuer: str) -> AsyncIterator[House]:
    """The application; nadia may come in through the provider, ann may not. Second factors are the provider's business."""
    (tmp_path / "secret").write_text(SECRET + "\n", encoding="utf-8")
    provider = ProviderSite(
        issuer=issuer, client="pages", secret=str(tmp_path / "secret"), title="Dijon ID"
    )
    house = make_house(tmp_path / "no.sock", tmp_path / "web", Policy())
    house.site = msgspec.structs.replace(house.site, provider=provider)
    house.provider = Provider(house.site)
    house.open()
    house.now = time.time()  # the provider's clock is the real one
    house.register.accounts.set_provider("nadia", True, CLI, NOW)
    async with httpx.AsyncClient() as client:
        await client.get(f"{issuer}/lie")
    async with house.app.router.lifespan_context(house.app):
        yield house


async def there_and_back(browser: Browser, user: str = "nadia") -> httpx.Response:
    """Follow the way to the provider and back, and return what the pages answer at its end."""
    gone = await browser.get("/sign-in/provider?next=/account")
    assert gone.status_code == 303, said(gone)
    async with httpx.AsyncClient() as outside:
        answer = await outside.get(f"{gone.headers['location']}&user={user}")
    return await browser.get(answer.headers["location"])


class TestProvider:
    async def test_lets_in(self, house: House) -> None:
        """Who has an account that may comes in, and goes on to where they wanted; no password, no code of ours."""
        assert "Sign in through Dijon ID" in said(await house.browser().get("/sign-in"))
        browser = house.browser()
        answer = await there_and_back(browser)

        assert answer.status_code == 200
        assert answer.headers["refresh"] == "0;url=/account"
        assert (await browser.get("/account")).status_code == 200
        assert (await browser.get("/accessibility")).status_code == 200
        row = house.register.records.waiting()[-1][1] if not house.told else house.told[-1]
        assert row.detail["second"] == "provider"

    async def test_the_subject_stays(self, house: House) -> None:
        """After the first time the subject counts: another one of the same name is nobody here."""
        await there_and_back(house.browser())
        account = house.register.accounts.need("nadia")
        assert account.provider.endswith(" subject of nadia")

        house.register.accounts.set_provider("nadia", True, CLI, NOW)
        with house.register.store.writing() as change:
            house.register.accounts.bind(change, "nadia", "somebody else's subject")
        assert (await there_and_back(house.browser())).status_code == 403

    @pytest.mark.parametrize("user", ["ann", "nobody", "../x", "karim"])
    async def test_strangers(self, house: House, user: str) -> None:
        """The provider's word makes no account, and no account of a password is taken over."""
        house.register.accounts.add("karim", {}, CLI, NOW)
        answer = await there_and_back(house.browser(), user)
        assert answer.status_code == 403
        assert "Ask an administrator" in said(answer)
        assert not [c for c in answer.headers.get_list("set-cookie") if "session" in c]

    @pytest.mark.parametrize(
        "how", ["issuer", "audience", "expired", "nonce", "none", "shared secret", "key"]
    )
    async def test_a_token_that_is_not_right(self, house: House, issuer: str, how: str) -> None:
        """A token of another issuer, for others, old, of another sign-in, or signed wrongly lets nobody in."""
        async with httpx.AsyncClient() as client:
            await client.get(f"{issuer}/lie", params={"how": how})
        answer = await there_and_back(house.browser())
        assert answer.status_code == 502
        assert not [c for c in answer.headers.get_list("set-cookie") if "session" in c]

    async def test_another_browser(self, house: House, issuer: str) -> None:
        """An answer that was begun in another browser is none, nor is one that comes twice or late."""
        browser = house.browser()
        gone = await browser.get("/sign-in/provider")
        async with httpx.AsyncClient() as outside:
            back = (await outside.get(gone.headers["location"])).headers["location"]
        assert (await house.browser().get(back)).status_code == 502
        assert (await browser.get(back)).status_code == 502

        gone = await browser.get("/sign-in/provider")
        async with httpx.AsyncClient() as outside:
            back = (await outside.get(gone.headers["location"])).headers["location"]
        house.now += BEGUN_S + 1
        assert (await browser.get(back)).status_code == 502

    async def test_nobody_there(self, house: House) -> None:
        """A provider that does not answer is said; a password still lets in."""
        assert house.provider is not None
        house.provider._issuer = "http://127.0.0.1:9"
        answer = await house.browser().get("/sign-in/provider")
        assert answer.status_code == 502
        assert "sign in with a password" in said(answer)
        assert (await house.browser().sign_in("nadia")).status_code == 303
