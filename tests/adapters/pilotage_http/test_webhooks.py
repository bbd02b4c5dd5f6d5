"""Webhooks in, over real sockets: signed, fresh, once, and never too much."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from pilotage.model.quality import Quality
from pilotage_http import listener
from pilotage_http.signature import sign

SECRET = "a long secret of the vendor"
HOOK = {
    "kind": "lamp",
    "hook": {
        "at": "/lamps/{id}",
        "points": {"level": "$.level", "power": {"path": "$.kw", "unit": "kW", "optional": True}},
        "time": "$.ts",
    },
}
PATH = "/lamps/lamp-1"


def options(webhook: Any, **more: Any) -> dict[str, Any]:
    listen = {"port": webhook.port, "secret": SECRET, **more}
    return {"listen": listen, "points": HOOK}


def body(level: Any = 40, ts: float = 1000.0) -> bytes:
    return json.dumps({"level": level, "ts": ts, "kw": 0.02}).encode()


def signed(payload: bytes, path: str = PATH, at: float | None = None) -> dict[str, str]:
    said = f"{time.time() if at is None else at:.3f}"
    return {
        "X_Pilotage_Time": said,
        "X_Pilotage_Signature": sign(SECRET.encode(), said, path, payload),
    }


class TestTaken:
    async def test_reading(self, running: Any, webhook: Any) -> None:
        """A signed message is a reading of its points, with the device's time and in the point's unit."""
        async with running(**options(webhook)) as city:
            assert await webhook.post(PATH, body(), **signed(body())) == 204
            got = {r.point: (r.raw, r.source_time) for r in city.door.reports}
            assert got == {"lamp-1.level": (40, 1000.0), "lamp-1.power": (20.0, 1000.0)}

    async def test_plain(self, running: Any, webhook: Any) -> None:
        """A body may be the value itself, and a path may need no signature when that is written."""
        points = {
            "kind": "lamp",
            "hook": {"at": "/p/{id}?k={cabinet}", "point": "level", "unsigned": True},
        }
        async with running(listen={"port": webhook.port}, points=points) as city:
            assert await webhook.post("/p/lamp-2?k=C%202%2Fx", b"21.5", "PUT") == 204
            assert city.door.last("lamp-2.level") == 21.5

    async def test_many(self, running: Any, webhook: Any) -> None:
        """One message may name several entities."""
        hook = {"at": "/all", "points": {"level": "$.v"}, "id": "$.id", "each": "$.items"}
        points = {"kind": "lamp", "hook": hook}
        payload = json.dumps({"items": [{"id": "lamp-1", "v": 1}, {"id": "lamp-3", "v": 3}]})
        listen = {"port": webhook.port, "secret": SECRET}
        async with running(listen=listen, points=points) as city:
            raw = payload.encode()
            assert await webhook.post("/all", raw, **signed(raw, "/all")) == 204
            assert (city.door.last("lamp-1.level"), city.door.last("lamp-3.level")) == (1, 3)


class TestNotTrusted:
    @pytest.mark.parametrize(
        ("headers", "why"),
        [
            ({}, "it is not signed"),
            ({"X_Pilotage_Signature": "sha256=00"}, "its signature is wrong"),
            (signed(body(41)), "its signature is wrong"),
            (signed(body(), "/lamps/lamp-2"), "its signature is wrong"),
            (signed(body(), at=time.time() - 3000), "is not within 300 s"),
            (signed(body(), at=time.time() + 3000), "is not within 300 s"),
            (signed(body(), at=float("nan")), "is not within 300 s"),
        ],
    )
    async def test_refused(
        self, headers: dict[str, str], why: str, running: Any, webhook: Any
    ) -> None:
        """What is not signed, wrongly, for elsewhere or for another time is refused, and the log says why."""
        async with running(**options(webhook)) as city:
            assert await webhook.post(PATH, body(), **headers) == 401
            assert not city.door.reports
            assert why in city.door.refusals[0][1]
            assert SECRET not in str(city.door.refusals)

    async def test_replayed(self, running: Any, webhook: Any) -> None:
        """The same message a second time is refused; a new one counts."""
        async with running(**options(webhook)) as city:
            headers = signed(body())
            assert await webhook.post(PATH, body(), **headers) == 204
            upper = {**headers, "X_Pilotage_Signature": headers["X_Pilotage_Signature"].upper()}
            for again in (headers, upper):
                assert await webhook.post(PATH, body(), **again) == 401
            assert "it was here before" in city.door.refusals[0][1]
            assert await webhook.post(PATH, body(50), **signed(body(50))) == 204
            assert [r.raw for r in city.door.reports if r.point == "lamp-1.level"] == [40, 50]


class TestGarbage:
    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"NaN",
            b"[" * 20_000,
            b"[]",
            b'{"level": 5, "ts": "yesterday"}',
            b'{"level": 5, "ts": 1e999}',
        ],
    )
    async def test_refused(self, payload: bytes, running: Any, webhook: Any) -> None:
        """Garbage is refused, becomes no value, and the next message is read."""
        async with running(**options(webhook)) as city:
            assert await webhook.post(PATH, payload, **signed(payload)) == 400
            assert [r.raw for r in city.door.reports if r.raw is not None] == []
            assert await webhook.post(PATH, body(), **signed(body())) == 204

    async def test_no_number(self, running: Any, webhook: Any) -> None:
        """A value that is none spoils its point and no other."""
        payload = b'{"level": 30, "kw": "much", "ts": 1000}'
        async with running(**options(webhook)) as city:
            assert await webhook.post(PATH, payload, **signed(payload)) == 204
            assert city.door.last("lamp-1.level") == 30
            assert not [r for r in city.door.reports if r.point == "lamp-1.power"]

    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [("/lamps/lamp-9", "POST", 404), ("/../etc", "POST", 404), (PATH, "GET", 405)],
    )
    async def test_elsewhere(
        self, path: str, method: str, status: int, running: Any, webhook: Any
    ) -> None:
        """Only bound paths are there, and only for messages."""
        async with running(**options(webhook)):
            assert await webhook.post(path, body(), method, **signed(body(), path)) == status

    @pytest.mark.parametrize(
        "raw",
        [
            b"\x00" * 50 + b"\r\n\r\n",
            b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"\x16\x03\x01\x02\x00\x01",
        ],
    )
    async def test_no_http(self, raw: bytes, running: Any, webhook: Any) -> None:
        """What is no HTTP gets a refusal or nothing, and the others are served."""
        async with running(**options(webhook)) as city:
            waiting = asyncio.ensure_future(webhook.raw(raw))
            assert await webhook.post(PATH, body(), **signed(body())) == 204
            waiting.cancel()
            assert city.door.last("lamp-1.level") == 40


class TestTooMuch:
    async def test_long_body(self, running: Any, webhook: Any) -> None:
        """A body beyond the limit is refused by its announced length, and by what comes when none is announced."""
        long = b"x" * 70_000
        async with running(**options(webhook)) as city:
            assert await webhook.post(PATH, long, **signed(long)) == 413
            chunks = b"".join(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(20))
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert await webhook.raw(head.encode() + chunks + b"0\r\n\r\n") == 413
            assert all("more than max_body (65536 bytes)" in why for _, why in city.door.refusals)

    async def test_rate(self, running: Any, webhook: Any) -> None:
        """A source that says more than it may is held back; after a while it may again."""
        async with running(**options(webhook, rate=10, burst=5)) as city:
            statuses = []
            for number in range(10):
                payload = body(number)
                statuses.append(await webhook.post(PATH, payload, **signed(payload)))
            assert statuses[:5] == [204] * 5
            assert 429 in statuses[5:]
            await asyncio.sleep(0.3)
            assert await webhook.post(PATH, body(77), **signed(body(77))) == 204
            assert city.door.last("lamp-1.level") == 77

    async def test_slow(self, running: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those who send a byte now and then are hung up on; meanwhile the others are served."""
        monkeypatch.setattr(listener, "IDLE_S", 0.5)
        monkeypatch.setattr(listener, "LOOK_S", 0.1)
        monkeypatch.setattr(listener, "BODY_S", 0.5)
        async with running(**options(webhook)) as city:
            slow = [await asyncio.open_connection("127.0.0.1", webhook.port) for _ in range(20)]
            for _, writer in slow[:10]:
                writer.write(b"POST /x HT")
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{"
            for _, writer in slow[10:]:
                writer.write(head.encode())
            assert await webhook.post(PATH, body(), **signed(body())) == 204
            async with asyncio.timeout(5):
                answers = [await reader.read() for reader, _ in slow]
            assert answers[:10] == [b""] * 10
            assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers[10:])
            for _, writer in slow:
                writer.close()
            assert city.door.last("lamp-1.level") == 40

    async def test_crowd(self, running: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """One address has only so many connections at a time; when they end there is room again."""
        monkeypatch.setattr(listener, "MOST_FROM_ONE", 5)
        async with running(**options(webhook)):
            held = [await asyncio.open_connection("127.0.0.1", webhook.port) for _ in range(5)]
            await asyncio.sleep(0.05)
            assert await webhook.post(PATH, body(), **signed(body())) == 0
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.05)
            assert await webhook.post(PATH, body(), **signed(body())) == 204


class TestListening:
    async def test_port_taken(self, running: Any, webhook: Any) -> None:
        """A port that is taken is said, and the connection does not come up."""
        async with running(**options(webhook)):
            with pytest.raises(ConnectionError, match=f"cannot listen on 127.0.0.1:{webhook.port}"):
                async with running(**options(webhook)):
                    pass

    async def test_again(self, running: Any, webhook: Any) -> None:
        """After a stop it listens again on the same port, and nothing is left over."""
        for _ in range(3):
            async with running(**options(webhook)) as city:
                assert await webhook.post(PATH, body(), **signed(body())) == 204
                assert city.door.reports[0].quality is Quality.GOOD
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert [t for t in tasks if "pilotage" in repr(t)] == []
