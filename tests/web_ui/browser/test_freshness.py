"""The freshness bar in a real browser: it says live, late and frozen in time, and nothing is ordered on stale sight."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from playwright.sync_api import Page
from tests.web_ui.browser.conftest import NewPage, shot, until_true
from tests.web_ui.browser.town import Town


def wait_for(page: Page, state: str, timeout_s: float = 15.0) -> float:
    """Wait until the bar says something; return how long that took, in seconds."""
    began = time.monotonic()
    page.wait_for_selector(f"html[data-link={state}]", timeout=timeout_s * 1000)
    return time.monotonic() - began


class TestFreshness:
    def test_live(self, page: Page) -> None:
        """A page is live within seconds and says so in words, with the three ages."""
        wait_for(page, "live")
        assert page.inner_text("#link-word") == "direct"
        until_true(
            page,
            r"/serveur\s[0-9].*\ss\s.*\smoteur\s[0-9].*\ss/.test(document.getElementById('link-ages').textContent)",
        )
        assert page.is_hidden("#frozen")

    @pytest.mark.ui
    def test_nine_windows(self, new_page: NewPage) -> None:
        """Nine windows of one browser share one stream, and all are live: a browser opens six connections to a host."""
        first = new_page("/accessibility")
        pages = [first, *(first.context.new_page() for _ in range(8))]
        for page in pages[1:]:
            page.goto("/accessibility")
        for page in pages:
            wait_for(page, "live")
        for page in pages[1:]:
            page.close()

    def test_without_scripts(self, new_page: NewPage) -> None:
        """Without scripts the bar says when the page was made."""
        page = new_page("/accessibility", js=False)
        assert re.fullmatch(r"\d\d:\d\d:\d\d", page.inner_text("#link-clock"))


class TestFrozen:
    @pytest.mark.ui
    def test_engine_frozen(self, town: Town, new_page: NewPage) -> None:
        """A stopped engine: late, then frozen with a banner, commands stopped; live again when it goes on."""
        page = new_page("/")
        wait_for(page, "live")
        assert town.process is not None
        os.kill(town.process.pid, signal.SIGSTOP)
        try:
            assert wait_for(page, "late") <= 4.0
            assert wait_for(page, "lost") <= 4.0
            assert page.is_visible("#frozen")
            assert "FIGÉES" in page.inner_text("#frozen")
            shot(page, "frozen")
        finally:
            os.kill(town.process.pid, signal.SIGCONT)
        wait_for(page, "live")
        assert page.is_hidden("#frozen")

    @pytest.mark.ui
    def test_planned_restart(self, town: Town, new_page: NewPage) -> None:
        """An engine that is stopped on purpose is no alarm: the page says so calmly, orders nothing, and is live again by itself."""
        page = new_page("/accessibility")
        wait_for(page, "live")
        assert town.process is not None
        town.process.terminate()
        wait_for(page, "restart", 5.0)
        assert page.inner_text("#link-word") == "redémarrage prévu"
        town.process.wait(20)
        page.wait_for_timeout(6_000)  # longer than what would be a loss
        assert page.is_visible("#planned")
        assert page.is_hidden("#frozen")
        shot(page, "planned")
        town.start()
        wait_for(page, "live")
        assert page.is_hidden("#planned")

    def test_nothing_is_ordered(self, town: Town, new_page: NewPage) -> None:
        """While the view is frozen neither a click nor a key sends a form; afterwards both do."""
        page = new_page("/accessibility")
        page.evaluate(
            """() => {
              const form = document.createElement('form');
              form.method = 'post';
              form.action = '/nowhere';
              form.innerHTML = '<button id="act">act</button><input name="why">';
              document.querySelector('main').append(form);
              window.sent = 0;
              addEventListener('submit', (e) => { window.sent++; e.preventDefault(); });
            }"""
        )
        wait_for(page, "live")
        act = page.locator("#act")
        act.click()
        assert page.evaluate("window.sent") == 1
        os.kill(town.web_pid, signal.SIGSTOP)
        try:
            wait_for(page, "lost")
            assert act.get_attribute("aria-disabled") == "true"
            act.click(force=True)
            act.press("Enter")
            page.locator("[name=why]").press("Enter")
            page.evaluate("document.querySelector('main form').requestSubmit()")
            assert page.evaluate("window.sent") == 1
            assert "aucun ordre" in page.inner_text("#link-said")
        finally:
            os.kill(town.web_pid, signal.SIGCONT)
        wait_for(page, "live")
        assert act.get_attribute("aria-disabled") is None
        act.click()
        assert page.evaluate("window.sent") == 2
