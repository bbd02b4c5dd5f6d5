"""What was asked once is not carried out twice, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from pilotage.api import ApiError
from pilotage_web.city import EngineAway
from pilotage_web.repeats import Repeats, Slot

SLOT = Slot("ann", "POST /plans/snow", "k1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys are kept."""
    return tmp_path / "web" / "repeats.db"


@asynccontextmanager
async def process(path: Path, keep_s: float = 600.0) -> AsyncIterator[Repeats]:
    """A web process, as far as keys go: it reads what the one before it wrote."""
    repeats = Repeats(path, keep_s)
    await repeats.open()
    try:
        yield repeats
    finally:
        await repeats.close()


class Order:
    """Something that must not be done twice."""

    def __init__(self, answer: Response | BaseException) -> None:
        self.times = 0
        self._answer = answer

    async def __call__(self) -> Response:
        self.times += 1
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


class TestRestart:
    async def test_answer_is_kept(self, path: Path) -> None:
        """After a restart the repetition gets the answer of before, its headers too."""
        first = RedirectResponse("/plans", 303)
        first.set_cookie("notice", "active")
        order = Order(first)
        async with process(path) as repeats:
            await repeats.once(SLOT, "d", order)
        async with process(path) as repeats:
            again = await repeats.once(SLOT, "d", order)
        assert order.times == 1
        assert (again.status_code, again.headers["location"]) == (303, "/plans")
        assert again.headers["set-cookie"] == first.headers["set-cookie"]

    async def test_broken_off(self, path: Path) -> None:
        """When the process ended before the answer, the repetition is refused: nobody knows what was done."""
        began = asyncio.Event()

        async def hang() -> Response:
            began.set()
            await asyncio.Event().wait()
            raise AssertionError

        async with process(path) as repeats:
            task = asyncio.create_task(repeats.once(SLOT, "d", hang))
            await began.wait()
            order = Order(PlainTextResponse("done"))
            async with process(path) as following:
                with pytest.raises(HTTPException) as refusal:
                    await following.once(SLOT, "d", order)
            task.cancel()
            await asyncio.wait([task])
        assert (refusal.value.status_code, order.times) == (409, 0)


class TestFailure:
    @pytest.mark.parametrize(
        "error",
        [
            EngineAway("no socket", is_sent=False),
            ApiError("bad-order", "no such level"),
            HTTPException(409),
        ],
    )
    async def test_nothing_was_done(self, path: Path, error: Exception) -> None:
        """What certainly did nothing may be tried again under the same key."""
        async with process(path) as repeats:
            with pytest.raises(type(error)):
                await repeats.once(SLOT, "d", Order(error))
            order = Order(PlainTextResponse("done"))
            assert (await repeats.once(SLOT, "d", order)).body == b"done"

    @pytest.mark.parametrize(
        "error",
        [
            EngineAway("too slow", is_sent=True),
            ApiError("not-recorded", "the disk is slow"),
            ZeroDivisionError(),
        ],
    )
    async def test_perhaps_done(self, path: Path, error: Exception) -> None:
        """What may have been done is not."""
        async with process(path) as repeats:
            with pytest.raises(type(error)):
                await repeats.once(SLOT, "d", Order(error))
            order = Order(PlainTextResponse("done"))
            with pytest.raises(HTTPException) as refusal:
                await repeats.once(SLOT, "d", order)
        assert (refusal.value.status_code, order.times) == (409, 0)


class TestSlots:
    async def test_somebody_else(self, path: Path) -> None:
        """Keys of two people, and of two routes, have nothing to do with each other."""
        order = Order(PlainTextResponse("done"))
        async with process(path) as repeats:
            for slot in (SLOT, SLOT._replace(person="bob"), SLOT._replace(about="POST /alarms")):
                await repeats.once(slot, "d", order)
        assert order.times == 3

    async def test_forgotten(self, path: Path) -> None:
        """A key is kept for a time, and then no more."""
        order = Order(PlainTextResponse("done"))
        async with process(path, keep_s=0.0) as repeats:
            for _ in range(2):
                await repeats.once(SLOT, "d", order)
        assert order.times == 2

    async def test_file_is_private(self, path: Path) -> None:
        """Answers hold what only their reader may see."""
        async with process(path):
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
