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


LONG_FIRST = (
    "tests/faults/",
    "tests/adapters/test_contract.py",
    "tests/system/",
    "tests/web_ui/",
    "tests/adapters/",
    "tests/engine/testing/",
    "tests/engine/demo/",
)
"""Whose files take long: they start first, so that the short ones fill up the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long come first."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    starts = (n for n, place in enumerate(LONG_FIRST) if item.nodeid.startswith(place))
    return next(starts, len(LONG_FIRST))
