"""What every test starts from: no colours, and none of the caller's settings."""

from __future__ import annotations

import os

import pytest

from pilotage.core.compiled import is_compiled


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the variables that change what the engine reads or prints."""
    for name in list(os.environ):
        if name.startswith("PILOTAGE_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


LONG_FIRST = (
    "tests/faults/",
    "tests/engine/core/test_compiled.py",
    "tests/adapters/test_contract.py",
    "tests/system/",
    "tests/web_ui/",
    "tests/adapters/",
    "tests/engine/testing/",
    "tests/engine/demo/",
)
"""Whose files take long: they start first, so that the short ones fill up the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long come first, and leave out what looks at the source of a core that is compiled."""
    items.sort(key=_turn)
    if is_compiled():
        for item in items:
            if item.get_closest_marker("source") is not None:
                item.add_marker(pytest.mark.skip(reason="the core is compiled"))


def _turn(item: pytest.Item) -> int:
    starts = (n for n, place in enumerate(LONG_FIRST) if item.nodeid.startswith(place))
    return next(starts, len(LONG_FIRST))
