"""Signing in, the own account, users and tokens, as browsers without script see them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pyotp
import pytest
from starlette.requests import HTTPConnection
from tests.web_ui.people.house import CLI, NOW, PASSWORD, Browser, House, make_house, said

from pilotage_web.people.reception import Policy
from pilotage_web.people.sessions import IDLE_S, LONGEST_S
from pilotage_web.rights import Right, Role


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The application; no engine is needed to come in."""
    house = make_house(tmp_path / "no.sock", tmp_path / "web")
    async with house.app.router.lifespan_context(house.app):
        yield house


def cookies(answer: httpx.Response) -> list[str]:
    """Return what an answer sets."""
    return answer.headers.get_list("set-cookie")


class TestSignIn:
    async def test_in_and_out(self, house: House) -> None:
        """The right password leads to where one wanted to go; after signing out the old cookie is nobody's."""
        browser = house.browser()
        assert (await browser.get("/account")).headers["location"] == "/sign-in?next=%2Faccount"

        answer = await browser.send("/sign-in", name="nadia", password=PASSWORD, next="/account")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert "nadia" in said(await browser.get("/account"))

        before = browser.secret
        assert (await browser.send("/sign-out")).headers["location"] == "/sign-in"
        browser.client.cookies.set("pilotage-session", before)
        assert (await browser.get("/account")).status_code == 303

    async def test_refused(self, house: House) -> None:
        """What is wrong is said once for all; the name stays in the form, the password does not."""
        answer = await house.browser().sign_in("nadia", "not the one")

        assert answer.status_code == 403
        assert "Name, password or code is not right." in said(answer)
        assert 'value="nadia"' in answer.text
        assert "not the one" not in answer.text
        assert cookies(answer) == []

    async def test_too_often(self, house: House) -> None:
        """Who guesses is told to wait, for how long, and by which header programs know it."""
        browser = house.browser()
        answers = [await browser.sign_in("nadia", f"guess {n}") for n in range(20)]

        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert "Try again in" in said(answers[-1])

    @pytest.mark.parametrize(
        "there", ["https://evil.example/", "//evil.example", "/\\evil.example"]
    )
    async def test_leads_nowhere_else(self, house: House, there: str) -> None:
        """A prepared address does not lead to another site after the sign-in."""
        answer = await house.browser().send("/sign-in", name="nadia", password=PASSWORD, next=there)
        assert answer.headers["location"] == "/"

    async def test_not_from_another_site(self, house: House) -> None:
        """Another site cannot sign somebody in as somebody else."""
        browser = house.browser()
        form = {"name": "nadia", "password": PASSWORD}
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
            answer = await browser.client.post("/sign-in", data=form, headers=headers)
            assert (answer.status_code, cookies(answer)) == (403, [])

    async def test_engine_away(self, house: House) -> None:
        """Without an engine people come in all the same; what the audit is to know waits on disk."""
        house.told.clear()
        await house.browser().sign_in("nadia")
        actions = [row.action for _, row in house.register.records.waiting()]
        assert "login" in actions or "login" in [row.action for row in house.told]


class TestCookie:
    async def test_on_this_machine(self, house: House) -> None:
        """No script reads it and no other site sends it; it ends with the browser."""
        answer = await house.browser().sign_in("nadia")
        (session,) = [c for c in cookies(answer) if c.startswith("pilotage-session=")]

        assert "; HttpOnly" in session
        assert "; SameSite=strict" in session
        assert "; Path=/" in session
        assert "Max-Age" not in session

    async def test_over_tls(self, tmp_path: Path) -> None:
        """It is bound to this host and to TLS (ASVS 3.3.1 to 3.3.4)."""
        house = make_house(tmp_path / "no.sock", tmp_path / "web", address="https://p.example")
        async with house.app.router.lifespan_context(house.app):
            answer = await house.browser().sign_in("nadia")
        assert len(cookies(answer)) == 2
        for cookie in cookies(answer):
            assert cookie.startswith("__Host-pilotage-")
            assert "; Secure" in cookie
            assert "; HttpOnly" in cookie
            assert "Domain" not in cookie

    async def test_one_that_was_there_before(self, house: House) -> None:
        """A session that somebody planted in the browser is not taken up (fixation)."""
        browser = house.browser()
        browser.client.cookies.set("pilotage-session", "x" * 32)
        answer = await browser.sign_in("nadia")
        assert "x" * 32 not in str(cookies(answer))


class TestFirstTime:
    async def test_from_link_to_work(self, tmp_path: Path) -> None:
        """A link, then a password, then a second factor; before that no page but the own account is shown."""
        house = make_house(tmp_path / "no.sock", tmp_path / "web", Policy())
        async with house.app.router.lifespan_context(house.app):
            house.register.accounts.add("karim", house.register.accounts.roles("nadia"), CLI, NOW)
            link = house.register.accounts.new_link("karim", CLI, NOW)
            browser = house.browser()
            assert "This link lets karim in" in said(await browser.get(f"/sign-in/link/{link}"))
            assert (await browser.send(f"/sign-in/link/{link}")).status_code == 303

            assert (await browser.get("/")).headers["location"] == "/account"
            assert "mot de passe" in said(await browser.get("/account"))
            await browser.send("/account/password", password=PASSWORD, again=PASSWORD)
            assert (await browser.get("/")).headers["location"] == "/account"

            codes = await self.set_second(browser, house)
            assert len(codes) == 10
            assert codes[0] not in (await browser.get("/account/codes")).text
            assert (await browser.get("/")).headers.get("location") is None

            other = house.browser()
            assert (await other.sign_in("karim")).status_code == 403
            assert (await other.sign_in("karim", code=codes[0])).status_code == 303

    async def set_second(self, browser: Browser, house: House) -> list[str]:
        """Read the key from the page, show its code, and return the recovery codes."""
        page = await browser.get("/account/second")
        (key,) = re.findall(r'<code class="secret">([A-Z2-7 ]+)</code>', page.text)
        wrong = await browser.send("/account/second", code="000000")
        assert wrong.headers["location"] == "/account/second"
        code = pyotp.TOTP(key.replace(" ", "")).at(int(house.now))
        answer = await browser.send("/account/second", code=code)
        assert answer.headers["location"] == "/account/codes"
        return re.findall(
            r"<code>([a-z0-9-]{14})</code>", (await browser.get("/account/codes")).text
        )

    async def test_used_link(self, house: House) -> None:
        """The second who comes by a link is told whom to ask."""
        link = house.register.accounts.new_link("nadia", CLI, NOW)
        await house.browser().send(f"/sign-in/link/{link}")
        for answer in (
            await house.browser().get(f"/sign-in/link/{link}"),
            await house.browser().send(f"/sign-in/link/{link}"),
            await house.browser().get("/sign-in/link/nonsense"),
        ):
            assert answer.status_code == 410
            assert "Ask an administrator" in said(answer)


class TestTime:
    async def test_locked(self, house: House) -> None:
        """After a quarter of an hour pages are shown and nothing is done, until the password is typed again."""
        browser = house.browser()
        await browser.sign_in("ann")
        house.now += IDLE_S + 1

        assert (await browser.get("/account")).status_code == 200
        refused = await browser.send("/users", name="karim")
        assert refused.status_code == 403
        assert "Your session only shows now" in said(refused)

        wrong = await browser.send("/sign-in/again", password="no")
        assert wrong.status_code == 403
        before = browser.secret
        right = await browser.send("/sign-in/again", password=PASSWORD, next="/users")
        assert right.headers["location"] == "/users"
        assert browser.secret != before
        assert (await browser.get("/users")).status_code == 200

    async def test_a_page_that_refreshes_itself_is_no_click(self, house: House) -> None:
        """A list that is read again by a script does not keep a session awake; a person does."""
        browser = house.browser()
        await browser.sign_in("ann")
        for _ in range(20):
            house.now += 60
            headers = {"HX-Request": "true", "Sec-Fetch-Mode": "cors"}
            await browser.get("/account", **headers)
        assert (await browser.get("/users")).status_code == 403

    async def test_over(self, house: House) -> None:
        """After twelve hours one signs in anew."""
        browser = house.browser()
        await browser.sign_in("nadia")
        house.now += LONGEST_S
        assert (await browser.get("/account")).headers["location"].startswith("/sign-in")

    async def test_again_before_what_lets_people_in(self, house: House) -> None:
        """Ten minutes after the sign-in a user is added only after the password again (ASVS 7.5.1)."""
        browser = house.browser()
        await browser.sign_in("ann")
        for _ in range(11):
            house.now += 60
            await browser.get("/account")

        answer = await browser.send("/users", name="karim")
        assert answer.headers["location"] == "/sign-in/again?next=%2Faccount"
        assert house.register.accounts.get("karim") is None

    async def test_form_of_another_session(self, house: House) -> None:
        """The password again is not taken from another site's form."""
        browser = house.browser()
        await browser.sign_in("nadia")
        answer = await browser.send("/sign-in/again", password=PASSWORD, csrf="AAAA")
        assert answer.status_code == 403


class TestAccount:
    async def test_password(self, house: House) -> None:
        """A weak one is refused with why; a good one ends the other sessions."""
        browser, other = house.browser(), house.browser()
        await browser.sign_in("nadia")
        await other.sign_in("nadia")
        await browser.send("/account/password", password="Password123456", again="Password123456")
        assert "everybody tries first" in said(await browser.get("/account"))
        await browser.send(
            "/account/password", password="four grey herons", again="four gray herons"
        )
        assert "not the same" in said(await browser.get("/account"))

        await browser.send(
            "/account/password", password="four grey herons", again="four grey herons"
        )
        assert "is changed" in said(await browser.get("/account"))
        assert (await other.get("/account")).status_code == 303
        assert (await house.browser().sign_in("nadia")).status_code == 403
        assert (await house.browser().sign_in("nadia", "four grey herons")).status_code == 303

    async def test_sessions(self, house: House) -> None:
        """A person ends the own sessions, and nobody else's."""
        mine, other, ann = house.browser(), house.browser(), house.browser()
        for browser, name in ((mine, "nadia"), (other, "nadia"), (ann, "ann")):
            await browser.sign_in(name)
        (anns,) = house.register.sessions.of_person("ann", NOW)
        assert (await mine.send(f"/account/sessions/{anns.id}")).status_code == 404

        (link,) = re.findall(r"/account/sessions/[0-9a-f]{12}", (await mine.get("/account")).text)
        await mine.send(link)
        assert (await other.get("/account")).status_code == 303
        assert (await ann.get("/account")).status_code == 200
        assert (await mine.get("/account")).status_code == 200


class TestUsers:
    async def test_add_and_shut_out(self, house: House) -> None:
        """An admin adds a person, hands a link over, changes roles, and shuts out at once."""
        ann = house.browser()
        await ann.sign_in("ann")
        added = await ann.send(
            "/users", name="Karim", full_name="Karim B.", language="en", **{"role-snow": "operator"}
        )
        assert added.headers["location"] == "/users/karim"
        page = await ann.get("/users/karim")
        (link,) = re.findall(r"/sign-in/link/([\w-]+)", page.text)
        assert link not in (await ann.get("/users/karim")).text

        karim = house.browser()
        assert (await karim.send(f"/sign-in/link/{link}")).status_code == 303
        assert "Karim B." in said(await karim.get("/account"))
        await ann.send("/users/karim/roles", **{"role-snow": "viewer", "role-video": "engineer"})
        assert house.register.accounts.roles("karim") == {"snow": "viewer", "video": "engineer"}
        await ann.send("/users/karim/disable")
        assert (await karim.get("/account")).status_code == 303
        assert "disabled" in said(await ann.get("/users"))

    async def test_two_admins(self, house: House) -> None:
        """Who changes an account on the sight of before changes nothing: not its roles, nor another person of the same name."""
        ann = house.browser()
        await ann.sign_in("ann")
        seen = re.findall(r'name="seen" value="(\w+)"', (await ann.get("/users/nadia")).text)
        assert len(seen) >= 4 and len(set(seen)) == 1
        house.register.accounts.set_roles("nadia", {"snow": Role.VIEWER}, CLI, NOW)
        for word in ("roles", "link", "code-reset", "disable", "remove"):
            answer = await ann.send(f"/users/nadia/{word}", seen=seen[0])
            assert (answer.status_code, "/users/nadia" in answer.text) == (409, True), word
        assert house.register.accounts.roles("nadia") == {"snow": "viewer"}
        found = house.register.accounts.get("nadia")
        assert found is not None
        assert (await ann.send("/users/nadia/disable", seen=found.standing)).status_code == 303

    async def test_refusals_say_what_to_do(self, house: House) -> None:
        """A name that is taken or none, the last admin, a person who is not there."""
        ann = house.browser()
        await ann.sign_in("ann")
        for path, fields, text in (
            ("/users", {"name": "nadia"}, "Choose another one."),
            ("/users", {"name": "a b"}, "2 to 32 small letters"),
            ("/users/ann/disable", {}, "Make somebody else one first."),
            ("/users/ann/roles", {}, "Make somebody else one first."),
        ):
            answer = await ann.send(path, **fields)
            assert answer.status_code == 303
            assert text in said(await ann.get(answer.headers["location"]))
        assert (await ann.send("/users/nobody/disable")).status_code == 404

    async def test_hostile_names(self, house: House) -> None:
        """What somebody is called is text."""
        ann = house.browser()
        await ann.sign_in("ann")
        await ann.send("/users", name="karim", full_name="<img src=x onerror=alert(1)>")
        for path in ("/users", "/users/karim"):
            assert "<img" not in (await ann.get(path)).text

    async def test_nobody_else(self, house: House) -> None:
        """An operator neither sees nor changes users."""
        nadia = house.browser()
        await nadia.sign_in("nadia")
        assert (await nadia.get("/users")).status_code == 403
        assert (await nadia.send("/users", name="karim")).status_code == 403
        assert (
            await nadia.send("/users/nadia/roles", **{"role-snow": "engineer"})
        ).status_code == 403
        assert house.register.accounts.roles("nadia") == {"traffic": "operator"}


class TestTokens:
    async def test_made_used_and_taken_away(self, house: House) -> None:
        """A token is shown once and let in with its scopes, until it is taken away."""
        ann = house.browser()
        await ann.sign_in("ann")
        fields = {"title": "open data", "post": "traffic", "days": "7", "scope-see": "yes"}
        await ann.send("/tokens", **fields)
        (token,) = re.findall(r"pil_[\w-]+", (await ann.get("/tokens")).text)
        assert token not in (await ann.get("/tokens")).text

        who = await house.reception.bearer(request_of(token))
        assert (who.person, who.post) == ("token:open data", "traffic")
        assert who.may(Right.SEE)
        assert not who.may(Right.OVERRIDE)
        assert not who.may(Right.SELF)
        (kept,) = house.register.tokens.all()
        await ann.send(f"/tokens/{kept.id}/remove")
        assert not (await house.reception.bearer(request_of(token))).is_signed_in

    async def test_mistakes(self, house: House) -> None:
        """Without scopes, title or end there is no token."""
        ann = house.browser()
        await ann.sign_in("ann")
        for fields in (
            {"title": "x", "days": "7"},
            {"title": "", "days": "7", "scope-see": "yes"},
            {"title": "x", "days": "9999", "scope-see": "yes"},
            {"title": "x", "days": "-1", "scope-see": "yes"},
        ):
            await ann.send("/tokens", **fields)
        assert house.register.tokens.all() == []


def request_of(token: str) -> HTTPConnection:
    """Return a request that shows a token."""
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return HTTPConnection({"type": "http", "headers": headers, "client": ("192.0.2.5", 1)})


class TestAudit:
    async def test_told(self, house: House) -> None:
        """What happens at the door reaches the audit within seconds, with address and post."""
        browser = house.browser("192.0.2.44")
        await browser.sign_in("nadia", "wrong")
        await browser.sign_in("nadia")
        await browser.send("/sign-out")
        for _ in range(100):
            if house.told and house.told[-1].action == "logout":
                break
            await asyncio.sleep(0.05)

        rows = [(row.action, row.person, row.via) for row in house.told[-3:]]
        assert rows == [
            ("login_failed", "nadia", "web 192.0.2.44"),
            ("login", "nadia", "web 192.0.2.44 traffic"),
            ("logout", "nadia", "web 192.0.2.44 traffic"),
        ]


class TestScreens:
    async def test_made_and_ended(self, house: House) -> None:
        """An admin makes a browser a wall screen: it shows, does nothing, and is ended from elsewhere."""
        wall, desk = house.browser(), house.browser()
        for browser in (wall, desk):
            await browser.sign_in("ann")
        made = await wall.send("/screens")
        assert (made.status_code, made.headers["location"]) == (303, "/wall")
        (cookie,) = [c for c in cookies(made) if "session" in c]
        assert "Max-Age=2592000" in cookie
        for path in ("/users", "/screens"):
            assert (await wall.get(path)).status_code == 403
        assert (await wall.send("/screens")).status_code == 403
        page = (await desk.get("/screens")).text
        id_ = re.search(r"/screens/(\w+)/end", page)
        assert id_ is not None
        assert (await desk.send(f"/screens/{id_[1]}/end")).status_code == 303
        assert (await wall.get("/users")).status_code == 303
        assert (await desk.send(f"/screens/{id_[1]}/end")).status_code == 404
        assert house.register.sessions.screens(NOW) == []

    async def test_who_may_not(self, house: House) -> None:
        """Only admins, and none of them ends a person's session there."""
        browser = house.browser()
        await browser.sign_in("nadia")
        assert (await browser.get("/screens")).status_code == 403
        assert (await browser.send("/screens")).status_code == 403
