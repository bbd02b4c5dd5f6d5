"""Each fault suite in its short form: every promise it measures holds."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.faults.__main__ import suites
from tests.faults.figures import Size


@pytest.mark.parametrize("suite", list(suites()), ids=lambda suite: suite.__name__)
def test_every_promise_holds(suite: ModuleType) -> None:
    """Whatever the suite does to the engine, what was promised holds."""
    figures = suite.measure(Size.SHORT, print)

    assert figures
    assert [figure for figure in figures if not figure.holds] == []
