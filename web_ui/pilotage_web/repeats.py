"""What was asked once is not carried out twice: requests by their key, and what they were answered.

A slot is written to disk before its request is carried out and again with the answer, so that a browser that repeats itself, also
after this process has started again, gets the first answer. Between the two nobody knows what became of the request: its
repetition is refused with 409, and whoever asks must look first.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage.api import ApiError
from pilotage_web.city import EngineAway
from pilotage_web.problem import Problem

KEEP_S: Final = 3_600.0
"""Longer than the ten minutes in which a browser or an integration tries again."""
MOST_KEY: Final = 200
MOST_BODY: Final = 256 * 1024
SWEEP_EVERY: Final = 200

_KEPT: Final = ("location", "content-type", "etag", "set-cookie")
_MAYBE: Final = frozenset({"not-recorded", "too-long", "failed"})
"""Refusals of the engine after which an order may be carried out nevertheless."""

T = TypeVar("T")


class Slot(NamedTuple):
    """Whose request, for what, under which key."""

    person: str
    about: str
    key: str


class _Answer(msgspec.Struct, array_like=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Repeats:
    """Slots in a file of their own; one thread reads and writes it."""

    def __init__(self, path: Path, keep_s: float = KEEP_S) -> None:
        """Name the file; `open` makes it."""
        self._path = path
        self._keep_s = keep_s
        self._thread = ThreadPoolExecutor(1, "repeats")
        self._under_way: dict[Slot, asyncio.Future[None]] = {}
        self._count = 0
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, and forget what is old."""
        await self._do(self._open)

    async def close(self) -> None:
        """Close the file."""
        await self._do(self._close)
        self._thread.shutdown()

    async def once(
        self, slot: Slot, digest: str, carry_out: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the answer to a request, carried out now unless it was before.

        Args:
            slot: Under which it is known.
            digest: Of what it asks; the same key with another digest is a mistake of who asks.
            carry_out: Carries it out. When it is certain that nothing was done, the slot is free again.

        Raises:
            HTTPException: 409 when it was begun before and nobody knows its end, 422 when its key was used for something else.
        """
        if not 1 <= len(slot.key) <= MOST_KEY:
            raise HTTPException(400, "key")
        while (other := self._under_way.get(slot)) is not None:
            await asyncio.wait([other])
        self._under_way[slot] = done = asyncio.get_running_loop().create_future()
        try:
            return await self._once(slot, digest, carry_out)
        finally:
            del self._under_way[slot]
            done.set_result(None)

    async def _once(
        self, slot: Slot, digest: str, carry_out: Callable[[], Awaitable[Response]]
    ) -> Response:
        found = await self._do(lambda: self._begin(slot, digest))
        if found is not None:
            if found[0] != digest:
                raise HTTPException(422, "key")
            if found[1] is None:
                raise HTTPException(409, "unknown")
            return _response(msgspec.msgpack.decode(found[1], type=_Answer))
        try:
            response = await carry_out()
        except BaseException as error:
            if _did_nothing(error):
                await self._do(lambda: self._free(slot))
            raise
        answer = _answer(response)
        await self._do(lambda: self._end(slot, answer))
        return response

    # ── in the thread ────────────────────────────────────────────────────────────────────────

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode = delete")
        db.execute("pragma synchronous = full")
        db.execute(
            "create table if not exists slots (person text, about text, key text, digest text, time real, answer blob,"
            " primary key (person, about, key)) without rowid"
        )
        self._path.chmod(0o600)
        self._db = db
        self._sweep()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @property
    def _file(self) -> sqlite3.Connection:
        assert self._db is not None, "open it first"
        return self._db

    def _begin(self, slot: Slot, digest: str) -> tuple[str, bytes | None] | None:
        """Take a slot; what is returned was there before."""
        self._count += 1
        if self._count % SWEEP_EVERY == 0:
            self._sweep()
        rows = self._file.execute(
            "select digest, answer from slots where person = ? and about = ? and key = ? and time > ?",
            (*slot, time.time() - self._keep_s),
        ).fetchall()
        if rows:
            return rows[0][0], rows[0][1]
        self._file.execute(
            "insert or replace into slots values (?, ?, ?, ?, ?, null)",
            (*slot, digest, time.time()),
        )
        return None

    def _end(self, slot: Slot, answer: bytes) -> None:
        self._file.execute(
            "update slots set answer = ? where person = ? and about = ? and key = ?",
            (answer, *slot),
        )

    def _free(self, slot: Slot) -> None:
        self._file.execute(
            "delete from slots where person = ? and about = ? and key = ?", tuple(slot)
        )

    def _sweep(self) -> None:
        self._file.execute("delete from slots where time <= ?", (time.time() - self._keep_s,))


def _did_nothing(error: BaseException) -> bool:
    """True when it is certain that a request that failed has changed nothing."""
    if isinstance(error, EngineAway):
        return not error.is_sent
    if isinstance(error, ApiError):
        return error.code not in _MAYBE
    return isinstance(error, (HTTPException, Problem))


def _answer(response: Response) -> bytes:
    headers = [(name, value) for name, value in response.headers.items() if name in _KEPT]
    return msgspec.msgpack.encode(
        _Answer(response.status_code, headers, bytes(response.body)[:MOST_BODY])
    )


def _response(answer: _Answer) -> Response:
    response = Response(answer.body, answer.status)
    for name, value in answer.headers:
        response.headers.append(name, value)
    response.headers["Idempotency-Replayed"] = "true"
    return response
