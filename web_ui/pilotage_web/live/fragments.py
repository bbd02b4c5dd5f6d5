"""Parts of pages that many people see alike, rendered once per version of what they show.

When an alarm comes, five hundred browsers read their list again within a quarter of a second; the engine is asked once and the
template runs once per language.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response

MOST: Final = 200
WORTH_BYTES: Final = 1_000
"""A part below that is not compressed."""
AT_MOST_EVERY_S: Final = 0.1
"""A part is made so often at most before anybody asks for it."""
HTML: Final = (b"content-type", b"text/html; charset=utf-8")
PACKED: Final = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))


class Made(Response):
    """An answer whose headers and body are there already."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Take them as they are: to work them out anew for everybody is what this saves."""
        self.status_code = status
        self.raw_headers = headers
        self.body = body
        self.background = None


@dataclass(frozen=True, slots=True)
class Fragment:
    """A rendered part, as it is and compressed (empty where that gains nothing), and its ETag."""

    content: bytes
    packed: bytes
    tag: str

    def answer(self, asked: Headers) -> Made:
        """Return it, or 304 when the browser has it."""
        tag = (b"etag", self.tag.encode())
        if self.tag in asked.get("if-none-match", ""):
            return Made(304, [tag], b"")
        is_packed = bool(self.packed) and "gzip" in asked.get("accept-encoding", "")
        body = self.packed if is_packed else self.content
        length = (b"content-length", str(len(body)).encode())
        return Made(200, [HTML, length, tag, *(PACKED if is_packed else ())], body)


@dataclass(slots=True)
class _Kept:
    """A part as it was made last, or is being made; `is_asked` once somebody wanted this version of it."""

    version: Hashable
    make: Callable[[], Awaitable[str]]
    task: asyncio.Task[Fragment]
    began: float
    is_asked: bool = True

    @property
    def has_failed(self) -> bool:
        """True when it could not be made."""
        task = self.task
        return task.done() and (task.cancelled() or task.exception() is not None)


class Fragments:
    """The parts that were asked for last."""

    def __init__(self, most: int = MOST) -> None:
        """Keep at most so many."""
        self._most = most
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def found(self, key: Hashable, version: Hashable) -> Fragment | None:
        """Return a part that is made or being made; None when nobody has asked for this version yet, or it could not be made."""
        kept = self._kept.get(key)
        if kept is None or kept.version != version:
            return None
        kept.is_asked = True
        try:
            return kept.task.result() if kept.task.done() else await asyncio.shield(kept.task)
        except Exception:
            return None  # whoever asks the usual way is told why

    async def get(
        self, key: Hashable, version: Hashable, make: Callable[[], Awaitable[str]]
    ) -> Fragment:
        """Return a part; it is made once per version, also for those who ask while it is being made.

        Args:
            key: What it is, and for whom: everything that its text depends on besides the version.
            version: Of what it shows, read before `make` asks for that.
            make: Renders it; what it raises is raised to everybody who waits, and nothing is kept.
        """
        kept = self._kept.get(key)
        if kept is None or kept.version != version or kept.has_failed:
            kept = self._begin(key, version, make)
        self._kept.move_to_end(key)
        kept.is_asked = True
        return await asyncio.shield(kept.task)

    def renew(self, key: Hashable, version: Hashable) -> None:
        """Begin to make a part of which another version is there now, when somebody wanted the last one.

        They will ask again in a moment: it is ready by then. In a flood it is left to who asks, as seldom as they do.
        """
        kept = self._kept.get(key)
        if kept is None or kept.version == version or not kept.is_asked:
            return
        is_quick = time.monotonic() - kept.began < AT_MOST_EVERY_S
        if not is_quick and kept.task.done() and not kept.has_failed:
            self._begin(key, version, kept.make).is_asked = False

    def _begin(self, key: Hashable, version: Hashable, make: Callable[[], Awaitable[str]]) -> _Kept:
        task = asyncio.ensure_future(_made(make))
        task.add_done_callback(_heard)
        self._kept[key] = kept = _Kept(version, make, task, time.monotonic())
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept


def _heard(task: asyncio.Task[Fragment]) -> None:
    """Hear of a failure also when nobody waits: who asks next makes it anew."""
    if not task.cancelled():
        task.exception()


async def _made(make: Callable[[], Awaitable[str]]) -> Fragment:
    content = (await make()).encode()
    packed = gzip.compress(content, 5) if len(content) >= WORTH_BYTES else b""
    return Fragment(content, packed, f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"')
