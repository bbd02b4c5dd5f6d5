"""What the browser tests share: a town, a real Chromium, a page of somebody who is signed in, and axe-core to look at it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    StorageState,
    ViewportSize,
    sync_playwright,
)
from tests.faults.city import temporary_folder
from tests.web_ui.browser.town import Town

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
AXE: Final = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
AXE_TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
VIEW: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}

READY_MAP: Final = "document.getElementById('map').dataset.ready === 'looks'"
"""True once the map shows how everything is."""

WATCH: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective + " " + e.blockedURI));
"""


def chromium_path() -> str:
    """Return the installed Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.fail("install chromium: apt-get install -y chromium")


@pytest.fixture(scope="session")
def town() -> Iterator[Town]:
    """A small town at work: 40 lamps that burn, one of them broken."""
    with temporary_folder() as folder:
        town = Town(folder)
        try:
            town.start()
            for number in range(40):
                town.report(f"L-{number}", level=60)
            yield town
        finally:
            town.stop()


# Playwright's own event loop runs as long as its fixture: asynchronous tests of other files could not run beside it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def kept() -> dict[str, StorageState]:
    """What a signed-in browser keeps, for the browsers of the next files: the link of the town works once."""
    return {}


@pytest.fixture(scope="module")
def signed_in(town: Town, browser: Browser, kept: dict[str, StorageState]) -> StorageState:
    """What a browser keeps that is signed in."""
    if "visitor" not in kept:
        kept["visitor"] = sign_in(town, browser)
    return kept["visitor"]


def sign_in(town: Town, browser: Browser) -> StorageState:
    """Sign somebody in by the link of the town; returns what a browser keeps of it."""
    return cast(StorageState, _entered(town, browser))


def _entered(town: Town, browser: Browser) -> dict[str, Any]:
    """Return the cookies that the link of the town gives."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(town.enter)
    page.click("main button")
    page.wait_for_url(f"{town.url}/")
    state = dict(context.storage_state())
    context.close()
    return state


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(town: Town, browser: Browser, signed_in: StorageState) -> Iterator[NewPage]:
    """Opens pages of somebody who is signed in; at the end none of them may have broken the content policy or a script.

    `js=False` is a browser without scripts; other words go to `new_context`.
    """
    contexts: list[BrowserContext] = []
    pages: list[Page] = []
    errors: list[str] = []

    def make(path: str = "/", *, js: bool = True, **more: Any) -> Page:
        words: dict[str, Any] = {"viewport": VIEW, "storage_state": signed_in, **more}
        context = browser.new_context(java_script_enabled=js, base_url=town.url, **words)
        contexts.append(context)
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(page)
        page.goto(path)
        return page

    yield make
    found = [
        each
        for page in pages
        if not page.is_closed()
        for each in page.evaluate("() => window.violations || []")
    ]
    for context in contexts:
        context.close()
    assert errors == [], "scripts that failed"
    assert found == [], "what the content policy refused"


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """The first page, of somebody who is signed in, 1280 × 800."""
    return new_page("/")


def until_true(page: Page, script: str, timeout_s: float = 15.0) -> None:
    """Wait until an expression of JavaScript is true; Playwright's `wait_for_function` evaluates text, which the policy refuses."""
    end = time.monotonic() + timeout_s
    while not page.evaluate(script):
        assert time.monotonic() < end, f"still not true after {timeout_s:g} s: {script}"
        page.wait_for_timeout(20)


def axe(page: Page) -> list[str]:
    """Return what axe-core finds on a page: rule, and the first place; skips where axe-core is not installed."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make axe")
    # Through the debugger, past the content policy: the page itself may not load it.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", list(AXE_TAGS)
    )
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:160]}"
        for each in found["violations"]
    ]


def is_too_wide(page: Page) -> bool:
    """True when a page is wider than its window: it would scroll sideways."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


SHOTS: Final = Path(os.environ["PILOTAGE_SHOTS"]) if "PILOTAGE_SHOTS" in os.environ else None
"""Where `shot` puts pictures; nowhere unless somebody wants to look at them."""


def shot(page: Page, name: str) -> None:
    """Take a picture of a page when somebody asked for pictures."""
    if SHOTS is not None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)
