"""In a real browser: a full hold acts and a slip does not, two presses serve who cannot hold, lists go by keyboard."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from tests.web_ui.conftest import Roles

from pilotage import api
from pilotage_web.__main__ import listen
from pilotage_web.app import create_app
from pilotage_web.city import City
from pilotage_web.request import Who
from pilotage_web.site import Site

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
HOLD_MS = 1_000
SNOW = "#form-snow button.hold"


@pytest.fixture(scope="module")
def url(engine_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages, served by a real server in a thread of their own."""
    folder = str(tmp_path_factory.mktemp("web"))
    site = Site(name="Dijon", socket=str(engine_socket), folder=folder, port=0)
    with listen(site) as listener:
        port = listener.getsockname()[1]
        site = Site(name="Dijon", socket=str(engine_socket), folder=folder, port=port)
        people = Roles()
        csrf = secrets.token_urlsafe(24)
        people.add(
            Who("karim", "Karim", {"control": "operator"}, "control", csrf=csrf, session="k")
        )
        app = create_app(site, City(engine_socket), people)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        yield site.url
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """What opens a page as the operator."""
    contexts = []

    def opened(path: str = "/plans", *, scripts: bool = True) -> Page:
        context = chromium.new_context(java_script_enabled=scripts)
        contexts.append(context)
        context.add_cookies([{"name": "person", "value": "karim", "url": url}])
        page = context.new_page()
        page.goto(url + path)
        return page

    yield opened
    for context in contexts:
        context.close()


def level(city: api.Client) -> int:
    return next(p.level for p in city.ask(api.ListPlans()) if p.name == "snow")


def press(page: Page, ms: int, *, slide: bool = False) -> None:
    """Press the mouse on the button for some time; `slide` leaves it before the end."""
    box = page.locator(SNOW).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    if slide:
        page.wait_for_timeout(200)
        page.mouse.move(box["x"] + box["width"] + 200, box["y"] + 5)
    page.wait_for_timeout(ms)
    page.mouse.up()


class TestHold:
    def test_slips_do_nothing(self, browse: Callable[..., Page], city: api.Client) -> None:
        """A click, a double click, a short press, sliding off and a tap of Enter: nothing happens."""
        page = browse()
        page.locator(SNOW).scroll_into_view_if_needed()
        page.locator(SNOW).click()
        page.locator(SNOW).dblclick()
        press(page, 500)
        press(page, HOLD_MS, slide=True)
        page.locator(SNOW).focus()
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert page.url.endswith("/plans")
        assert level(city) == 0

    def test_a_full_hold_acts(self, browse: Callable[..., Page], city: api.Client) -> None:
        """Holding the pointer for 0.9 s sets the plan, and the page offers to undo it."""
        page = browse()
        page.locator(SNOW).scroll_into_view_if_needed()
        press(page, HOLD_MS)
        page.wait_for_url("**/plans/snow")
        assert level(city) == 1
        page.get_by_role("button", name="Undo").click()
        page.wait_for_load_state()
        assert level(city) == 0

    def test_four_keys(self, browse: Callable[..., Page], city: api.Client) -> None:
        """`g`, `p`, the plan's number and Enter held: the plan is set."""
        page = browse("/accessibility")
        page.keyboard.press("g")
        page.keyboard.press("p")
        page.wait_for_url("**/plans")
        number = page.locator(SNOW).get_attribute("data-digit")
        assert number is not None
        page.keyboard.press(number)
        page.keyboard.down("Enter")
        page.wait_for_timeout(HOLD_MS)
        page.keyboard.up("Enter")
        page.wait_for_url("**/plans/snow")
        assert level(city) == 1

    def test_two_steps(self, browse: Callable[..., Page], city: api.Client) -> None:
        """A click that no hand made arms the button and says so; the second one acts."""
        page = browse()
        page.locator(SNOW).evaluate("button => button.click()")
        assert page.locator(SNOW).inner_text() == "Press again to confirm"
        assert level(city) == 0
        page.locator(SNOW).evaluate("button => button.click()")
        page.wait_for_url("**/plans/snow")
        assert level(city) == 1

    def test_refused_while_frozen(self, browse: Callable[..., Page], city: api.Client) -> None:
        """A button that the frozen view has refused cannot be held."""
        page = browse()
        page.wait_for_selector("html[data-link=live]")  # becoming live gives buttons back
        page.locator(SNOW).evaluate("button => button.setAttribute('aria-disabled', 'true')")
        page.locator(SNOW).scroll_into_view_if_needed()
        press(page, HOLD_MS)
        assert level(city) == 0

    def test_without_scripts(self, browse: Callable[..., Page], city: api.Client) -> None:
        """Without scripts a press leads to a page that asks once more."""
        page = browse(scripts=False)
        page.locator(SNOW).click()
        assert level(city) == 0
        page.get_by_role("button", name="Yes, order it").click()
        assert level(city) == 1


class TestAlarms:
    @pytest.fixture
    def dark(self, city: api.Client) -> str:
        """An alarm that waits."""
        order = api.SetOverride(
            point="seg-3.lights.level", value=5, for_s=600, person="t", reason="t"
        )
        assert city.ask(order).taken
        return "dark-street[seg-3]"

    def state(self, city: api.Client, id_: str) -> str:
        return next(a.state for a in city.ask(api.ListAlarms(all=True)) if a.id == id_)

    def test_keys(self, browse: Callable[..., Page], city: api.Client, dark: str) -> None:
        """`j` goes to a line and `a` acknowledges it."""
        page = browse("/alarms")
        page.wait_for_selector("html[data-link=live]")
        for _ in range(20):
            page.keyboard.press("j")
            if page.evaluate("document.activeElement.id") == f"line-{dark}":
                break
        with (
            page.expect_request(lambda sent: sent.method == "POST") as sent,
            page.expect_navigation(),
        ):
            page.keyboard.press("a")
        assert self.state(city, dark) == "acknowledged"
        # The form said how far the live view had come, and how old it was.
        assert re.search(r"seen-live=\w+\.\d+(\+|%20)\d{1,4}&", f"{sent.value.post_data}&")

    def test_taken_meanwhile(
        self, browse: Callable[..., Page], city: api.Client, dark: str
    ) -> None:
        """A page that was left open does not take what a colleague has taken since: it says so, and leads back."""
        page = browse("/alarms", scripts=False)
        city.ask(api.ActOnAlarm(alarm=dark, action="take", person="nadia"))
        page.locator(f"[id='line-{dark}'] button", has_text="Take").click()
        assert "It has changed since you looked" in page.content()
        page.get_by_role("link", name="Look again").click()
        assert "taken by nadia" in page.content()

    def test_without_scripts(
        self, browse: Callable[..., Page], city: api.Client, dark: str
    ) -> None:
        """Without scripts a click acknowledges."""
        page = browse("/alarms", scripts=False)
        page.locator(f"[id='line-{dark}'] button", has_text="Acknowledge").click()
        assert self.state(city, dark) == "acknowledged"
