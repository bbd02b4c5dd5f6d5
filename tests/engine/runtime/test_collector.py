"""Full collections stay short, and what dies in a circle is found."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pilotage.runtime import collector
from pilotage.runtime.collector import OFTEN, ShortCollections, no_collections, uninterrupted


@pytest.fixture
def short() -> Iterator[ShortCollections]:
    """What is under test, ended also when the test fails."""
    found = ShortCollections()
    found.start()
    yield found
    found.stop()
    gc.unfreeze()


class Circle:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_long_collection_found_alive_is_not_looked_at_again(
    short: ShortCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second full collection has next to nothing to look at."""
    monkeypatch.setattr(collector, "LONG_S", 0.0)
    kept = [[n] for n in range(50_000)]
    gc.collect()
    assert gc.get_freeze_count() >= len(kept)
    assert len(gc.get_objects()) < len(kept)


def test_circles_are_still_found(short: ShortCollections) -> None:
    """What has become garbage since is freed by the collector's own rhythm."""
    gone = weakref.ref(Circle())
    turns = OFTEN[0] * (OFTEN[1] + 2) * (OFTEN[2] + 2)  # enough for each generation
    kept = [[n] for n in range(turns)]
    assert gone() is None, len(kept)


def test_a_short_collection_freezes_nothing(
    short: ShortCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every circle that lives for some seconds would be kept for ever."""
    monkeypatch.setattr(collector, "LONG_S", 60.0)
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() == before


def test_the_end_gives_the_collector_back() -> None:
    """A process that goes on after the service has its own thresholds again."""
    before, callbacks = gc.get_threshold(), list(gc.callbacks)
    found = ShortCollections()
    found.start()
    found.start()
    assert gc.get_threshold() == OFTEN
    found.stop()
    found.stop()
    assert gc.get_threshold() == before
    assert gc.callbacks == callbacks


def test_what_lies_about_is_not_kept_by_a_reload(short: ShortCollections) -> None:
    """A circle that was garbage before everything was taken out of sight is freed, and so is one of a reload that failed."""
    gc.freeze()  # what the tests brought
    gone = weakref.ref(Circle())
    with no_collections():
        kept = [[n] for n in range(100)]
    assert gone() is None, len(kept)

    failed = weakref.ref(Circle())
    with pytest.raises(ValueError, match="no"), no_collections():
        raise ValueError("no")
    gc.collect()
    assert failed() is None


def test_a_tick_is_not_interrupted() -> None:
    """Inside, nothing is collected however much is made; afterwards the collector goes on, unless somebody else held it back."""
    began = gc.get_stats()[0]["collections"]
    with uninterrupted():
        made = [[n] for n in range(50_000)]
        assert gc.get_stats()[0]["collections"] == began
    assert gc.isenabled()
    assert made
    gc.disable()
    try:
        with uninterrupted():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
