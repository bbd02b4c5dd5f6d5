"""Equipment, rules and health in a real browser: accessible, narrow, live, and an override that is held."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from tests.web_ui.browser.conftest import NewPage, axe, is_too_wide, shot, until_true
from tests.web_ui.browser.town import Town

from pilotage import api

LAMP = "/equipment/lamp/L-7"
POINT = "L-7.level"
PAGES = {
    "equipment-list": "/equipment",
    "equipment": LAMP,
    "equipment-past": f"{LAMP}?at=2020-01-01T00:00",
    "rules": "/rules",
    "rule": "/rules/lamps-that-burn",
    "rule-why-not": "/rules/lamps-that-burn?target=L-7",
    "health": "/health",
}


@pytest.fixture
def released(town: Town) -> Iterator[None]:
    """Give the lamp back at the end, whoever took it."""
    yield
    with contextlib.suppress(api.ApiError):
        town.ask(api.ReleaseOverride(point=POINT, person="tests"))


def override(town: Town, value: str = "30 %", person: str = "nadia") -> None:
    town.ask(
        api.SetOverride(point=POINT, value=value, for_s=600.0, person=person, reason="travaux")
    )


class TestLooks:
    @pytest.mark.parametrize("name", PAGES)
    def test_accessible_and_narrow(
        self, new_page: NewPage, released: None, name: str, town: Town
    ) -> None:
        """axe-core finds nothing, at 1280 and at 320 pixels, in the dark and in the light; no page scrolls sideways."""
        override(town)
        page = new_page(PAGES[name])
        found: list[str] = []
        for theme in ("dark", "light"):
            page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            found += [f"{theme}: {each}" for each in axe(page)]
            shot(page, f"why-{name}-{theme}")
        page.set_viewport_size({"width": 320, "height": 640})
        shot(page, f"why-{name}-320")
        assert found == []
        assert not is_too_wide(page)

    def test_without_scripts(self, new_page: NewPage, town: Town, released: None) -> None:
        """The sentence, the levels and the values of the chart are there without scripts, and an order has two steps."""
        override(town)
        page = new_page(LAMP, js=False)
        assert "parce que l'opérateur nadia le veut" in page.inner_text(".sentence")
        assert page.locator("table.levels tbody tr").count() >= 1
        page.fill("input[name=value]", "45")
        page.fill("input[name=reason]", "sans script")
        page.click("button.hold")
        assert "Forcer level à 45 %" in page.inner_text("h1")
        page.click("button.main")
        assert "« sans script »" in page.inner_text(".sentence").replace("\u00a0", " ")


class TestActs:
    def test_the_sentence_follows(self, new_page: NewPage, town: Town, released: None) -> None:
        """What changes is on the page within moments, without losing what is being typed."""
        page = new_page(LAMP)
        page.wait_for_selector("html[data-link=live]")
        page.fill("input[name=reason]", "half a rea")
        began = time.monotonic()
        override(town, "25 %", "karim")
        until_true(page, "document.querySelector('.sentence').textContent.includes('karim')")
        took = time.monotonic() - began
        assert took < 10.0
        assert page.input_value("input[name=reason]") == "half a rea"

    def test_held(self, new_page: NewPage, town: Town, released: None) -> None:
        """A click takes nothing; held for its time, the lamp is taken, and the equipment confirms it."""
        page = new_page(LAMP)
        page.wait_for_selector("html[data-link=live]")
        page.fill("input[name=value]", "35")
        page.fill("input[name=reason]", "essai")
        page.click("button.hold")
        page.wait_for_timeout(300)
        assert town.ask(api.WhyPoint(point=POINT)).who.sort != "person"
        _hold(page)
        page.wait_for_url(re.compile(r"point=level"))
        why = town.ask(api.WhyPoint(point=POINT))
        assert (why.who.sort, why.text) == ("person", "35 %")
        town.report("L-7", level=35)
        until_true(page, "document.querySelector('.way').textContent.includes('confirmé')")

    def test_chart(self, new_page: NewPage, town: Town) -> None:
        """The values of the table are drawn beside it."""
        town.report("L-7", level=61)
        page = new_page(LAMP)
        page.wait_for_selector("#chart canvas")
        assert page.locator("#chart-table tbody tr").count() >= 1


def _hold(page: Page) -> None:
    """Press the mouse on the button for its whole time."""
    page.wait_for_timeout(2_600)  # what the short press said has gone
    box = page.locator("button.hold").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.wait_for_timeout(1_100)
    page.mouse.up()
