"""Every page that can be reached by links, in both themes and languages: no barrier, no sideways scrolling, nothing refused by the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page
from tests.web_ui.browser.conftest import PHONE, NewPage, axe, is_too_wide, shot
from tests.web_ui.browser.town import Town

MOST_PAGES = 40
NOT_PAGES = re.compile(
    r"/(static|api|live|sign-out|metrics|healthz|readyz)\b|\.(csv|json|txt)$|/export\b"
)


def route_of(path: str) -> str:
    """Return a path with what differs between things of one kind taken out: one page of a route is looked at."""
    return re.sub(
        r"/[^/]*\d[^/]*|(?<=/plans)/[^/]+|(?<=/rules)/[^/]+|(?<=/equipment)/[^/]+(?=/)", "/…", path
    )


def links_of(page: Page) -> Iterator[str]:
    """Yield the paths of our own pages that a page leads to."""
    for href in page.evaluate("[...document.querySelectorAll('a[href]')].map((a) => a.href)"):
        parts = urlsplit(href)
        if page.url.startswith(f"{parts.scheme}://{parts.netloc}/") and not NOT_PAGES.search(
            parts.path
        ):
            yield parts.path


def every_page(page: Page, dead: list[str]) -> dict[str, str]:
    """Return one path per route, found by following links from the first page on; `dead` gets links that lead nowhere."""
    found: dict[str, str] = {}
    waiting = ["/", "/wall", "/accessibility"]
    while waiting and len(found) < MOST_PAGES:
        path = waiting.pop(0)
        if route_of(path) in found:
            continue
        answer = page.goto(path)
        assert answer is not None
        if answer.status == 404 and path != "/":
            dead.append(path)
            continue
        assert answer.status < 400, f"{path}: {answer.status}"
        found[route_of(path)] = path
        waiting += links_of(page)
    return found


def prefer(page: Page, language: str, theme: str) -> None:
    """Choose a language and a theme as a person does."""
    page.goto("/accessibility")
    page.click(".bar-person summary")
    page.select_option("select[name=language]", language)
    page.select_option("select[name=theme]", theme)
    page.click(".bar-menu form[action='/preferences'] button")
    page.wait_for_selector(f"html[lang={language}][data-theme={theme}]")


@pytest.mark.ui
class TestEveryPage:
    @pytest.mark.parametrize("language", ["fr", "en"])
    @pytest.mark.parametrize("theme", ["dark", "light"])
    def test_no_barrier(self, town: Town, new_page: NewPage, theme: str, language: str) -> None:
        """axe-core finds nothing, nothing is wider than the window at 320 px, and the policy refused nothing."""
        town.report("L-3", fail=True)
        page = new_page("/accessibility")
        try:
            prefer(page, language, theme)
            wrong: list[str] = []
            dead: list[str] = []
            pages = every_page(page, dead)
            wrong += [f"{path}: a link leads there, and there is no page" for path in dead]
            for route, path in pages.items():
                page.set_viewport_size({"width": 1280, "height": 800})
                page.goto(path)
                page.wait_for_timeout(150)
                name = f"{route.strip('/').replace('/', '-').replace('…', 'x') or 'now'}-{language}-{theme}"
                shot(page, name)
                wrong += [f"{path}: {each}" for each in axe(page)]
                page.set_viewport_size(PHONE)
                shot(page, f"{name}-phone")
                page.set_viewport_size({"width": 320, "height": 640})
                if is_too_wide(page):
                    wrong.append(f"{path}: wider than 320 px")
                wrong += [f"{path}: policy: {each}" for each in page.evaluate("window.violations")]
            print(f"{len(pages)} pages, {language}, {theme}: {' '.join(pages)}")
            assert wrong == [], "\n".join(wrong)
        finally:
            prefer(page, "fr", "dark")
            town.report("L-3", fail=False)

    def test_colours_forced(self, new_page: NewPage) -> None:
        """With forced colours the first page still says everything in words."""
        page = new_page("/", forced_colors="active")
        assert page.is_visible("#legend")
        shot(page, "now-forced")
