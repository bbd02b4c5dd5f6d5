"""The wait of the event loop: under load it rests, after a quiet moment it does not."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Iterator

import pytest

from pilotage.runtime import resting
from pilotage.runtime.resting import RestingSelector
from pilotage.service import loop_factory

REST_S = 0.2
"""Far longer than what a busy machine adds to anything here."""


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RestingSelector, socket.socket]]:
    """A selector that rests long and waits for one socket, and the other end of that."""
    monkeypatch.setattr(resting, "REST_S", REST_S)
    here, there = socket.socketpair()
    with here, there, RestingSelector() as selector:
        selector.register(here, selectors.EVENT_READ)
        yield selector, there


def test_who_comes_alone_is_served_at_once(
    pair: tuple[RestingSelector, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quiet moment nothing rests."""
    selector, there = pair
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    there.send(b"x")
    assert selector.select(5.0)
    assert slept == []


def test_who_comes_right_after_waits_for_company(
    pair: tuple[RestingSelector, socket.socket],
) -> None:
    """Two waits end no closer to each other than the rest."""
    selector, there = pair
    there.send(b"x")
    began = time.monotonic()
    selector.select(5.0)
    selector.select(None)
    assert time.monotonic() - began >= REST_S


def test_a_look_is_never_held_up(
    pair: tuple[RestingSelector, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has callbacks that wait: it only looks, and a timer is not late either."""
    selector, there = pair
    slept: list[float] = []
    there.send(b"x")
    selector.select(5.0)
    monkeypatch.setattr(time, "sleep", slept.append)
    assert selector.select(0)
    assert slept == []
    selector.select(0.01)
    assert slept == [0.01]


def test_the_engine_runs_on_it() -> None:
    """The event loop of the service waits so, unless uvloop is asked for."""
    with asyncio.Runner(loop_factory=loop_factory(uvloop=False)) as runner:
        assert isinstance(runner.get_loop()._selector, RestingSelector)  # type: ignore[attr-defined]
