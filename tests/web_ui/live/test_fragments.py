"""Fragments: made once per version, whoever asks; a failure is kept for nobody."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from pilotage_web.live.fragments import Fragments


class Maker:
    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    async def __call__(self) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError("away")
        return f"text {self.calls}"


class TestGet:
    async def test_once_per_version(self) -> None:
        """Five hundred who ask at once have it made once; another version is made anew."""
        fragments, make = Fragments(), Maker()
        found = await asyncio.gather(*(fragments.get("a", 1, make) for _ in range(500)))
        assert make.calls == 1
        assert {each.content for each in found} == {b"text 1"}
        assert (await fragments.get("a", 2, make)).content == b"text 2"
        assert found[0].tag != (await fragments.get("a", 2, make)).tag

    async def test_failure(self) -> None:
        """Everybody who waits hears of a failure, and the next one tries again."""
        fragments, make = Fragments(), Maker()
        make.fails = True
        found = await asyncio.gather(
            *(fragments.get("a", 1, make) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(each, ConnectionError) for each in found)
        make.fails = False
        assert (await fragments.get("a", 1, make)).content == b"text 2"

    async def test_who_leaves(self) -> None:
        """One who goes while it is made takes it from nobody else."""
        fragments, make = Fragments(), Maker()
        first = asyncio.ensure_future(fragments.get("a", 1, make))
        second = asyncio.ensure_future(fragments.get("a", 1, make))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).content == b"text 1"

    async def test_bounded(self) -> None:
        """The oldest go."""
        fragments, make = Fragments(most=2), Maker()
        for key in "abc":
            await fragments.get(key, 1, make)
        await fragments.get("a", 1, make)
        assert make.calls == 4


class TestRenew:
    @pytest.fixture
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A part may be made at any moment."""
        monkeypatch.setattr("pilotage_web.live.fragments.AT_MOST_EVERY_S", 0.0)

    async def test_ready(self, soon: None) -> None:
        """A part that was asked for is made when its version changes, and found by who asks then."""
        fragments, make = Fragments(), Maker()
        await fragments.get("a", 1, make)
        fragments.renew("a", 2)
        found = await fragments.found("a", 2)
        assert found is not None
        assert (found.content, make.calls) == (b"text 2", 2)

    async def test_nobody_asks(self, soon: None) -> None:
        """What nobody wanted is not made a second time; what never was, not once."""
        fragments, make = Fragments(), Maker()
        fragments.renew("a", 1)
        await fragments.get("a", 1, make)
        for version in (2, 3, 4):
            fragments.renew("a", version)
            await asyncio.sleep(0.001)
        assert make.calls == 2

    async def test_flood(self) -> None:
        """In a flood it is made for who asks, and no more often."""
        fragments, make = Fragments(), Maker()
        await fragments.get("a", 1, make)
        fragments.renew("a", 2)
        await asyncio.sleep(0.001)
        assert make.calls == 1

    async def test_failure(self, soon: None) -> None:
        """What could not be made ahead is made anew for who asks."""
        fragments, make = Fragments(), Maker()
        await fragments.get("a", 1, make)
        make.fails = True
        fragments.renew("a", 2)
        assert await fragments.found("a", 2) is None
        make.fails = False
        assert (await fragments.get("a", 2, make)).content == b"text 3"


class TestAnswer:
    async def test_compressed_once(self) -> None:
        """A browser that can unpack it gets what was compressed when it was made; others get the text."""

        async def make() -> str:
            return "long " * 500

        found = await Fragments().get("a", 1, make)

        def answer(accepted: bytes) -> Response:
            headers = [(b"accept-encoding", accepted)]
            return found.answer(Headers(raw=headers))

        packed = answer(b"gzip, br")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(bytes(packed.body)) == found.content
        assert answer(b"identity").body == found.content
