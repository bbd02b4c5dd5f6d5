"""Now, in a real browser: the map shows each thing as it is, lists follow, and everything works by keyboard and without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from tests.web_ui.browser.conftest import (
    PHONE,
    READY_MAP,
    NewPage,
    axe,
    is_too_wide,
    shot,
    until_true,
)
from tests.web_ui.browser.town import Town

PIXEL = """number => {
  const layer = document.getElementById('map').looksLayer;
  const [x, y] = layer.pixelOf(number);
  return [...layer._context.getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data].slice(0, 3);
}"""
COLOUR = """look => {
  const probe = document.createElement('canvas').getContext('2d');
  probe.fillStyle = getComputedStyle(document.getElementById('map')).getPropertyValue('--look-' + look).trim();
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def looks_like(page: Page, number: int, look: int) -> None:
    """Wait until the pixel of one has the colour of a look."""
    page.evaluate(f"window.probe = {{pixel: {PIXEL}, colour: {COLOUR}}}")
    until_true(page, f"String(probe.pixel({number})) === String(probe.colour({look}))")


@pytest.fixture
def now(page: Page) -> Page:
    """The page, with its map."""
    until_true(page, READY_MAP)
    return page


@pytest.fixture
def broken(town: Town) -> Iterator[str]:
    """A lamp that has just broken; mended at the end."""
    town.report("L-7", fail=True)
    yield "L-7"
    town.report("L-7", fail=False)


class TestMap:
    def test_changes(self, town: Town, now: Page) -> None:
        """A lamp that goes out is drawn as at rest, one that burns as at work, without a reload."""
        number = town.number_of("L-5")
        town.report("L-5", level=60)
        looks_like(now, number, 1)
        town.report("L-5", level=0)
        looks_like(now, number, 0)
        shot(now, "now-dark")

    @pytest.mark.ui
    def test_filters(self, town: Town, now: Page) -> None:
        """A filter hides the others on the map, and stands in the address."""
        now.check("#map-filters [value=cabinet]")
        assert now.url.endswith("/?kind=cabinet")
        number = town.number_of("L-5")
        until_true(now, f"isNaN(document.getElementById('map').looksLayer.pixelOf({number})[0])")
        now.reload()
        assert now.is_checked("#map-filters [value=cabinet]")

    @pytest.mark.ui
    def test_counts(self, town: Town, now: Page) -> None:
        """The table beside the map counts what the map shows, and follows."""
        cell = "#park [data-kind=lamp] [data-count='5']"
        until_true(now, f"document.querySelector(\"{cell}\").textContent === '0'")
        assert now.inner_text("#park [data-kind=lamp] td") == "40"

    @pytest.mark.ui
    def test_by_keyboard(self, now: Page) -> None:
        """The map is one stop; what stands in its middle is said, and arrow keys move it."""
        now.focus("#map")
        now.wait_for_selector("#map-said:not(:empty)")
        before = now.evaluate("document.getElementById('map').looksLayer.pixelOf(1)")
        now.keyboard.press("ArrowRight")
        until_true(
            now,
            f"String(document.getElementById('map').looksLayer.pixelOf(1)) !== '{before[0]},{before[1]}'",
        )


class TestLists:
    def test_alarm_comes(self, town: Town, now: Page, broken: str) -> None:
        """A new alarm stands in the list within moments, and on the map."""
        now.wait_for_selector("#now-lists .now-alarms >> text=Lampe en panne", timeout=5_000)
        looks_like(now, town.number_of(broken), 6)
        shot(now, "now-alarm")

    def test_without_scripts(self, new_page: NewPage) -> None:
        """Without scripts the lists are there, and the map says where else to look."""
        page = new_page("/", js=False)
        assert page.is_visible("#park")
        assert "listes d'équipements" in page.inner_text("#map")


class TestForAll:
    @pytest.mark.parametrize(
        ("path", "theme"),
        [
            ("/", "dark"),
            pytest.param("/", "light", marks=pytest.mark.ui),
            pytest.param("/wall", "dark", marks=pytest.mark.ui),
            pytest.param("/wall", "light", marks=pytest.mark.ui),
        ],
    )
    def test_no_barrier(self, new_page: NewPage, path: str, theme: str) -> None:
        """axe-core finds nothing, and the page is as wide as a phone's window."""
        page = new_page(path)
        until_true(page, READY_MAP)
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert axe(page) == []
        shot(page, f"{path.strip('/') or 'now'}-{theme}")
        page.set_viewport_size(PHONE)
        shot(page, f"{path.strip('/') or 'now'}-{theme}-phone")
        page.set_viewport_size({"width": 320, "height": 640})
        assert not is_too_wide(page)
