"""The hub: follows the engine through its socket, keeps how everything looks, and fills the ring.

One task reads the engine's news and one says each second how old they are, also while no engine answers: a browser must never
take silence for calm. The hub has no clock of the city; the ages are its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage import api
from pilotage_web.live.places import Places, fetch_places
from pilotage_web.live.ring import Ring

RETRY_S: Final = 0.25
SILENT_S: Final = 5.0
"""An engine that says nothing for so long, not even a heartbeat, is asked anew."""
BEAT_S: Final = 1.0
GRACE_S: Final = 3.0
"""An engine that is back sooner was exchanged, which needs no line in the log."""
PLACED_S: Final = 2.0
OTHER_CLOCK_S: Final = 10.0
"""An engine whose time is further away from ours plays another one."""
FRAME_S: Final = 0.05
FEW: Final = 50
"""So many browsers get each frame of the engine, twenty a second; more of them get half as many, each of two."""
CROWD_FRAME_S: Final = 0.1
WAITED_FOR: Final = frozenset({"alarms", "glass", "incidents", "journal", "overrides", "plans"})
"""Lists that people wait for are told at once; in a crowd the others go with the next frame."""
MOST_SPREAD_MS: Final = 250
"""A list that changed is read again by each browser within so long: at once in a small room, not all at once in a large one."""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

log = logging.getLogger("pilotage.web.live")


class Hub:
    """What every live stream reads.

    Attributes:
        ring: The last minute.
        lists: The version of each list; exchanged as a whole, so that a page can keep what it was made of.
        looks: A digit per piece of equipment.
        places: What the numbers stand for; None until the engine was asked.
        streams: How many browsers listen.
        glass: Who has broken the glass, as far as is known; who orders something on the strength of it asks the engine.
        on_lists: Called when lists have changed, before any browser is told.
        on_placed: Called when the places of another run of the engine are there.
    """

    def __init__(self, socket: Path) -> None:
        """Name the engine's socket; `open` begins to follow."""
        self.ring = Ring(_new_epoch())
        self.lists: Mapping[str, int] = {}
        self.looks = bytearray()
        self.places: Places | None = None
        self.streams = 0
        self.glass: list[api.BrokenGlass] = []
        self.is_ending = False
        self.on_lists: Callable[[], None] = lambda: None
        self.on_placed: Callable[[], None] = lambda: None
        self._socket = socket
        self._engine_epoch = ""
        self._heard_at: float | None = None
        self._since = time.time()
        self._is_away = True
        self._beat: api.Beat | None = None
        self._beat_at = 0.0
        self._news = asyncio.Event()
        self._placed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._complaint: asyncio.TimerHandle | None = None
        self._looks_held: dict[int, int] = {}
        self._lists_held: dict[str, int] = {}
        self._held_timer: asyncio.TimerHandle | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Begin to follow the engine, whether it answers or not."""
        self._tasks = [
            asyncio.create_task(self._follow(), name="live-follow"),
            asyncio.create_task(self._beat_on(), name="live-beat"),
        ]

    async def close(self) -> None:
        """Follow no longer, and have every stream say goodbye."""
        self.end()
        if self._complaint is not None:
            self._complaint.cancel()
        if self._held_timer is not None:
            self._held_timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self) -> None:
        """Have every stream say goodbye and end."""
        self.is_ending = True
        self._wake()

    # ── what streams read ────────────────────────────────────────────────────────────────────

    async def news(self) -> None:
        """Wait for the next event."""
        await self._news.wait()

    async def placed(self) -> Places | None:
        """Return the places, and wait a moment for them while the pages or the engine begin; None when they do not come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PLACED_S):
                await self._placed.wait()
        return self.places

    @property
    def cursor(self) -> str:
        """The number of the newest event, as browsers know it."""
        return f"{self.ring.epoch}.{self.ring.last}"

    @property
    def engine_age_s(self) -> float | None:
        """Time since the engine was heard, in seconds; None before it was."""
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    def missed_s(self, cursor: str) -> float | None:
        """Return for how long a browser at a cursor misses news, in seconds, 0 when it has them all; None: it leads nowhere."""
        number = self.ring.number_of(cursor)
        if number is None:
            return None
        since = self.ring.missed_since(number)
        return 0.0 if since is None else time.monotonic() - since

    @property
    def city_now(self) -> float:
        """The city's time, seconds since 1970: ours, or in a demonstration the engine's as it was last heard."""
        now, beat = time.time(), self._beat
        return now if beat is None or abs(beat.at - self._beat_at) < OTHER_CLOCK_S else beat.at

    @property
    def looks_of(self) -> str:
        """The run of the engine that numbers the equipment; empty before one was heard."""
        return self._engine_epoch

    @property
    def is_away(self) -> bool:
        """True while no engine answers."""
        return self._is_away

    def greeting(self, *, is_new: bool) -> bytes:
        """Return what a browser is told first: one that is new starts here, one that comes back gets what it missed next."""
        lists = msgspec.json.encode(dict(self.lists)).decode()
        mark = f"id: {self.cursor}\n" if is_new else ""
        return f"{mark}event: t\ndata: {lists}\n\nevent: hb\ndata: {self._pulse()}\n\n".encode()

    # ── what the engine says ─────────────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        while True:
            client = api.AsyncClient(self._socket, SILENT_S)
            try:
                async for news in client.follow(self._begin):
                    self._heard_at = time.monotonic()
                    self._take(news)
                self._away("it ended the connection")
            except api.ApiError as error:
                self._away(error.text)
            except Exception:
                log.exception(
                    "the engine's news could not be followed", extra={"event": "web.failed"}
                )
                self._away("its news could not be read")
            finally:
                client.close()
            await asyncio.sleep(RETRY_S)

    def _begin(self, now: api.CityNow) -> None:
        """Take how everything is: of the same engine only what differs is told, of another one everything is anew."""
        self._heard_at = time.monotonic()
        self._back()
        looks = bytearray(now.looks.encode())
        if now.epoch == self._engine_epoch and len(looks) == len(self.looks):
            before = self.looks
            self._tell_looks(
                [
                    place * 10 + look - 48
                    for place, look in enumerate(looks)
                    if look != before[place]
                ]
            )
            self._tell_lists({k: v for k, v in now.lists.items() if v != self.lists.get(k)})
            self._soon(self._fetch_glass(), "live-glass")
            return
        self._soon(self._fetch_glass(), "live-glass")
        self._looks_held.clear()
        self._lists_held.clear()
        self._engine_epoch, self.looks, self.places = now.epoch, looks, None
        self._placed.clear()
        self.lists = dict(now.lists)
        self.ring = Ring(_new_epoch())
        self._soon(self._fetch_places(now.epoch), "live-places")
        self._wake()

    def _soon(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _fetch_glass(self) -> None:
        with contextlib.suppress(api.ApiError):
            async with api.AsyncClient(self._socket) as client:
                self.glass = await client.ask(api.ListGlass())

    async def _fetch_places(self, epoch: str) -> None:
        with contextlib.suppress(api.ApiError):
            async with api.AsyncClient(self._socket) as client:
                places = await fetch_places(client)
            if places.epoch == self._engine_epoch == epoch:
                self.places = places
                self._placed.set()
                self.on_placed()

    def _take(self, news: api.News) -> None:
        if isinstance(news, api.LooksChanged):
            for changed in news.changed:
                self.looks[changed // 10] = 48 + changed % 10
            self._tell_looks(news.changed)
        elif isinstance(news, api.ListsChanged):
            self._tell_lists(news.lists)
            if "glass" in news.lists:
                self._soon(self._fetch_glass(), "live-glass")
        elif isinstance(news, api.Leaving):
            log.info("the engine is being stopped", extra={"event": "web.leaving"})
            self._tell("bye", "{}", is_kept=False)
        else:
            self._beat, self._beat_at = news, time.time()
            self._tell("hb", self._pulse(), is_kept=False)

    def _away(self, why: str) -> None:
        if not self._is_away:
            self._is_away, self._since = True, time.time()
            self._complaint = asyncio.get_running_loop().call_later(GRACE_S, self._complain, why)
            self._tell("hb", self._pulse(), is_kept=False)

    def _complain(self, why: str) -> None:
        """Log it: an engine that is exchanged, or stops with these pages, is away for a moment only."""
        self._complaint = None
        log.warning("the engine does not answer: %s", why, extra={"event": "web.away"})

    def _back(self) -> None:
        if self._is_away:
            if self._complaint is None:
                log.info("the engine answers", extra={"event": "web.back"})
            else:
                self._complaint.cancel()
            self._is_away, self._since = False, time.time()

    # ── what browsers are told ───────────────────────────────────────────────────────────────

    async def _beat_on(self) -> None:
        """Say how old the news are whenever the engine does not say so itself."""
        while True:
            await asyncio.sleep(BEAT_S)
            age = self.engine_age_s
            if age is None or age > BEAT_S * 1.2:
                self._tell("hb", self._pulse(), is_kept=False)

    def _tell_looks(self, changed: list[int]) -> None:
        if self.streams <= FEW and self._held_timer is None:
            self._tell_frame(changed)
            return
        self._looks_held.update((c // 10, c) for c in changed)
        self._tell_soon()

    def _tell_lists(self, lists: Mapping[str, int]) -> None:
        self.lists = {**self.lists, **lists}
        self.on_lists()
        self._lists_held.update(lists)
        if self.streams <= FEW or not WAITED_FOR.isdisjoint(lists):
            self._tell_held_lists()
        elif lists:
            self._tell_soon()

    def _tell_soon(self) -> None:
        """Tell what is held with the next frame of a crowd: each telling costs a write to every browser."""
        if self._held_timer is None:
            loop = asyncio.get_running_loop()
            self._held_timer = loop.call_later(CROWD_FRAME_S - FRAME_S / 2, self._tell_held)

    def _tell_held(self) -> None:
        held, self._looks_held, self._held_timer = self._looks_held, {}, None
        self._tell_held_lists()
        self._tell_frame(held.values())

    def _tell_held_lists(self) -> None:
        held, self._lists_held = self._lists_held, {}
        if held:
            self._tell("t", msgspec.json.encode(held).decode())

    def _tell_frame(self, changed: Collection[int]) -> None:
        if changed:
            listed = ",".join(f"{base36(c // 10)}{c % 10}" for c in changed)
            self._tell("s", f"{listed}|{time.time() * 1000:.1f}")

    def _pulse(self) -> str:
        """Return a heartbeat: the server's time, and what is known of the engine and of the field; ages in seconds."""
        age, beat = self.engine_age_s, self._beat
        pulse: dict[str, Any] = {
            "server": round(time.time(), 3),
            "engine_s": None if age is None else round(age, 2),
            "away": self._is_away,
            "since": round(self._since, 3),
            "spread_ms": min(MOST_SPREAD_MS, self.streams // 2),
        }
        if beat is not None:
            pulse |= msgspec.to_builtins(beat)
            pulse.pop("news", None)
        return msgspec.json.encode(pulse).decode()

    def _tell(self, event: str, data: str, *, is_kept: bool = True) -> None:
        self.ring.add(event, data, is_kept=is_kept, now=time.monotonic())
        self._wake()

    def _wake(self) -> None:
        waiting, self._news = self._news, asyncio.Event()
        waiting.set()


def base36(number: int) -> str:
    """Return a number above or equal to zero in base 36: browsers read it by `parseInt(text, 36)`."""
    text = _DIGITS[number % 36]
    while number := number // 36:
        text = _DIGITS[number % 36] + text
    return text


def _new_epoch() -> str:
    return base36(time.time_ns() // 1_000_000)
