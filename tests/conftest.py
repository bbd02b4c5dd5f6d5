"""What every test starts from: no colours, and none of the caller's settings."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the variables that change what the engine reads or prints."""
    for name in list(os.environ):
        if name.startswith("PILOTAGE_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that drive a browser come last: its driver keeps an event loop in this thread, in which no other can run."""
    items.sort(key=lambda item: item.nodeid.startswith("tests/web_ui/browser/"))
