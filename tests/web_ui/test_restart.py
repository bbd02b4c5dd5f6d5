"""An order that is repeated after the pages were killed is not given twice: real engine, real pages, a real kill."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.faults.city import temporary_folder
from tests.web_ui.city import PILOTAGE, make_city

ROOT = "/api/v1"
LINE = "Patrol informed: black ice on the bridge."


class House:
    """A city with its engine and its pages."""

    def __init__(self, folder: Path) -> None:
        config = make_city(folder)
        config.write_text(config.read_text() + 'web: {listen: "127.0.0.1:0"}\n')
        self._folder = folder
        self._log = folder / "log"
        self.secret = secrets.token_urlsafe(12)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [PILOTAGE, "run"],
                *(-1, None, None, log, subprocess.STDOUT),
                cwd=folder,
                env={**os.environ, "PILOTAGE_WEB_ENTER": self.secret},
            )

    @property
    def urls(self) -> list[str]:
        """Where the pages were, the newest last."""
        return re.findall(r"the pages are at (http://\S+)", self._log.read_text())

    @property
    def is_in_service(self) -> bool:
        return "is in service" in self._log.read_text() and bool(self.urls)

    def kill_pages(self) -> None:
        """Kill them, and wait until others have taken their place."""
        before = len(self.urls)
        os.kill(int((self._folder / "var" / "web" / "web.pid").read_text()), signal.SIGKILL)
        self.until(lambda: len(self.urls) > before)

    def until(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + 30.0
        while not true():
            assert self.process.poll() is None and time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()


@pytest.fixture
def house() -> Iterator[House]:
    """It is in service."""
    with temporary_folder() as folder:
        house = House(folder / "c")
        try:
            house.until(lambda: house.is_in_service)
            yield house
        finally:
            house.stop()


def test_repeated_after_a_kill(house: House) -> None:
    """The pages are killed after an order; its repetition gets the first answer, and the journal has one line."""
    with httpx.Client(base_url=house.urls[-1]) as browser:
        link = f"/sign-in/link/{house.secret}"
        browser.get(link)
        browser.post(link, headers={"Origin": house.urls[-1]})
        cookies = dict(browser.cookies)
    first = _write(house, cookies)
    house.kill_pages()
    again = _write(house, cookies)
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    with httpx.Client(base_url=house.urls[-1], cookies=cookies) as browser:
        lines = browser.get(f"{ROOT}/journal").json()["items"]
    assert [line["text"] for line in lines].count(LINE) == 1


def _write(house: House, cookies: dict[str, str]) -> httpx.Response:
    url = house.urls[-1]
    with httpx.Client(base_url=url, cookies=cookies) as browser:
        page = browser.get("/accessibility").text
        csrf = re.findall(r'data-csrf="([^"]+)"', page)[0]
        headers = {"Origin": url, "X-CSRF": csrf, "Idempotency-Key": "7f3c1d52"}
        return browser.post(f"{ROOT}/journal", json={"text": LINE}, headers=headers)
