"""Requests out to a real server in another process: polls, orders with three outcomes, and a closed list."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.model.quality import Quality
from pilotage_http.binding import Server
from pilotage_http.client import HttpClient, is_reserved

POLL = {
    "kind": "lamp",
    "poll": {"at": "/lamps/{id}", "every": 0.1, "points": {"level": "$.level"}},
}
WRITE = {"at": "/lamps/{id}", "point": "level", "payload": {"level": "{value}"}}
BOTH = {**POLL, "poll": {**POLL["poll"], "every": 60}, "write": WRITE}  # type: ignore[dict-item]
_count = iter(range(1, 1_000_000))


def order(value: Any = 55.0, point: str = "lamp-1.level", seconds: float = 30.0) -> Command:
    return Command(f"c{next(_count)}", point, value, time.time() + seconds, "test")


class TestPolls:
    async def test_values(self, running: Any, peer: Any) -> None:
        """Each entity is asked for again and again."""
        async with running(servers={"v": peer.server}, points=POLL) as city:
            await city.door.until(lambda: city.door.last("lamp-3.level") == 30.0)
            assert city.door.last("lamp-1.level") == 10.0
            count = len(city.door.reports)
            await city.door.until(lambda: len(city.door.reports) > count + 6)

    async def test_list(self, running: Any, peer: Any) -> None:
        """One answer may tell of many, and is asked for once."""
        poll = {"at": "/all", "each": "$.items", "id": "$.id", "points": {"level": "$.level"}}
        async with running(servers={"v": peer.server}, points={"kind": "lamp", "poll": poll}) as c:
            await c.door.until(lambda: c.door.last("lamp-3.level") == 30.0)
        assert len(await peer.asked("GET")) == 1

    async def test_etag(self, running: Any, peer: Any) -> None:
        """What has not changed is not sent again, and still counts as a reading of now."""
        await peer.behave(lamp_1="etag")
        async with running(servers={"v": peer.server}, points=POLL) as city:
            await city.door.until(
                lambda: (
                    [r.raw for r in city.door.reports if r.point == "lamp-1.level"][:3]
                    == [10.0] * 3
                )
            )
        asked = [a for a in await peer.asked("GET") if a["path"] == "/lamps/lamp-1"]
        assert [a["headers"].get("If-None-Match") for a in asked[:3]] == [None, '"one"', '"one"']

    @pytest.mark.parametrize(
        ("mode", "why"),
        [
            ("status:500", "status 500"),
            ("status:404", "status 404"),
            ("redirect:http://127.0.0.1:1/", "status 302"),
            ("hang:3", "no answer within 0.5 s"),
            ("close", ""),
            ("truncated", ""),
            ("huge", "an answer of 1000000 bytes"),
            ("endless:1000", "an answer of more than 65536 bytes"),
            ("noise", ""),
        ],
    )
    async def test_lost(self, mode: str, why: str, running: Any, peer: Any) -> None:
        """A server that fails for one path loses its points and no others; later they are back, and all is told again."""
        await peer.behave(lamp_2=mode)
        server = {**peer.server, "timeout": 0.5}
        async with running(servers={"v": server}, points=POLL) as city:
            door = city.door
            await door.until(lambda: any(why in text for _, text in door.losses))
            assert {points for points, _ in door.losses} == {("lamp-2.level",)}
            await door.until(lambda: door.last("lamp-3.level") == 30.0)
            assert door.last("lamp-2.level") is None
            await peer.behave(lamp_2="ok")
            await door.until(lambda: door.last("lamp-2.level") == 20.0)
            assert "v /lamps/lamp-2 answers again" in door.ups

    @pytest.mark.parametrize("raw", ["", "{", "NaN", '{"level": NaN}', '{"other": 1}', "[" * 9000])
    async def test_garbage(self, raw: str, running: Any, peer: Any) -> None:
        """An answer that is garbage makes its points bad, and no others."""
        await peer.behave(lamp_1=f"raw:{raw}")
        async with running(servers={"v": peer.server}, points=POLL) as city:
            await city.door.until(lambda: city.door.last("lamp-2.level") == 20.0)
            await city.door.until(lambda: bool(city.door.refusals))
            found = [r for r in city.door.reports if r.point == "lamp-1.level"]
            assert {(r.raw, r.quality) for r in found} == {(None, Quality.BAD)}

    async def test_server_gone(self, running: Any, peer: Any) -> None:
        """A server that is killed and comes back: its points are unknown meanwhile, wanted values are told again."""
        async with running(servers={"v": peer.server}, points=POLL) as city:
            door = city.door
            await door.until(lambda: door.last("lamp-3.level") == 30.0)
            peer.stop()
            await door.until(lambda: len(door.losses) >= 3)
            assert await city.adapter.send(order()) is Outcome.NOT_SENT
            peer.start()
            await door.until(lambda: len(door.ups) >= 2)
            assert len(city.endings) >= 1


class TestOrders:
    async def test_written_and_read_back(self, running: Any, peer: Any) -> None:
        """A command is a request with its id, and its point is read back at once."""
        async with running(servers={"v": peer.server}, points=BOTH) as city:
            await city.door.until(lambda: city.door.last("lamp-1.level") == 10.0)
            made = order(55.0)
            assert await city.adapter.send(made) is Outcome.ACKNOWLEDGED
            await city.door.until(lambda: city.door.last("lamp-1.level") == 55.0)
        (put,) = await peer.asked("PUT")
        assert (put["path"], put["body"]) == ("/lamps/lamp-1", '{"level":55.0}')
        assert put["headers"]["Idempotency-Key"] == made.id
        assert put["headers"]["Content-Type"] == "application/json"

    async def test_placeholders(self, running: Any, peer: Any) -> None:
        """What stands in a path is one part of it, whatever signs it has."""
        write = {"at": "/set/{cabinet}?level={value}", "point": "level", "method": "GET"}
        points = {"kind": "lamp", "write": write}
        async with running(servers={"v": peer.server}, points=points) as city:
            assert await city.adapter.send(order(7.5, "lamp-2.level")) is Outcome.ACKNOWLEDGED
        (get,) = await peer.asked("GET")
        assert get["path"] == "/set/C%202%2Fx?level=7.5"

    @pytest.mark.parametrize(
        ("mode", "outcome", "times"),
        [
            ("status:403", Outcome.NOT_SENT, 1),
            ("status:404", Outcome.NOT_SENT, 1),
            ("status:429", Outcome.NOT_SENT, 1),
            ("redirect:/lamps/lamp-2", Outcome.NOT_SENT, 1),
            ("status:500", Outcome.UNKNOWN, 1),
            ("hang:2", Outcome.UNKNOWN, 2),
            ("close", Outcome.UNKNOWN, 2),
            ("truncated", Outcome.UNKNOWN, 2),
            ("huge", Outcome.UNKNOWN, 2),
        ],
    )
    async def test_outcomes(
        self, mode: str, outcome: Outcome, times: int, running: Any, peer: Any
    ) -> None:
        """A refusal was not sent, no answer is unknown; only what sets a value is tried again, and never by itself after."""
        await peer.behave(lamp_1=mode)
        server = {**peer.server, "timeout": 0.4}
        points = {"kind": "lamp", "write": WRITE}
        async with running(servers={"v": server}, points=points) as city:
            assert await city.adapter.send(order()) is outcome
            await asyncio.sleep(0.3)
            assert len(await peer.asked("PUT")) == times
            assert city.door.refusals

    async def test_never_twice(self, running: Any, peer: Any) -> None:
        """A POST, a held request and a call are never repeated: the server may have done it."""
        await peer.behave(lamp_1="close", J_12="close", dispatch="close")
        points = [
            {"kind": "lamp", "write": {**WRITE, "method": "POST"}},
            {
                "kind": "signal_junction",
                "request": {
                    "at": "/lamps/{id}",
                    "point": "priority",
                    "method": "PUT",
                    "payload": {"bus": "{entity}"},
                },
            },
        ]
        calls = {"call": "x", "at": "/lamps/dispatch", "method": "PUT", "payload": {"a": 1}}
        until = time.time() + 30
        async with running(servers={"v": peer.server}, points=points, calls=calls) as city:
            send = city.adapter.send
            asked = Request("r1", "J-12.priority", "request", "bus-7", {}, until, "test")
            assert await send(order()) is Outcome.UNKNOWN
            assert await send(asked) is Outcome.UNKNOWN
            assert await send(CallOut("k1", "x", {}, until, "test")) is Outcome.UNKNOWN
        assert len(await peer.asked()) == 3

    async def test_call(self, running: Any, peer: Any) -> None:
        """What a service answers to a call is its status and why."""
        calls = {
            "call": "fleet.dispatch",
            "at": "/dispatch",
            "payload": {"vehicle": "{arguments.vehicle}"},
            "status": "$.status",
            "detail": "$.why",
            "map": {"ok": "accepted"},
        }
        async with running(servers={"v": peer.server}, calls=calls) as city:
            made = CallOut("k1", "fleet.dispatch", {"vehicle": "P-1"}, time.time() + 30, "test")
            assert await city.adapter.send(made) is Outcome.ACKNOWLEDGED
            assert city.door.answers == [("k1", "accepted", "on its way")]
        (post,) = await peer.asked("POST")
        assert post["body"] == '{"vehicle":"P-1"}'

    async def test_not_sent(self, running: Any, peer: Any) -> None:
        """Past its deadline, without a server, or unbound: nothing leaves."""
        points = {"kind": "lamp", "write": WRITE}
        async with running(servers={"v": peer.server}, points=points) as city:
            assert await city.adapter.send(order(seconds=-1)) is Outcome.NOT_SENT
            assert await city.adapter.send(order(point="lamp-1.power")) is Outcome.NOT_SENT
            peer.stop()
            assert await city.adapter.send(order()) is Outcome.NOT_SENT
        assert await city.adapter.send(order()) is Outcome.NOT_SENT

    async def test_newest_wins(self, running: Any, peer: Any) -> None:
        """Of orders for one point that wait, only the newest is sent."""
        await peer.behave(lamp_1="hang:0.3")
        points = {"kind": "lamp", "write": WRITE}
        async with running(servers={"v": peer.server}, points=points) as city:
            sent = [asyncio.ensure_future(city.adapter.send(order(float(n)))) for n in range(5)]
            outcomes = await asyncio.gather(*sent)
        assert outcomes[1:4] == [Outcome.NOT_SENT] * 3
        assert [a["body"] for a in await peer.asked("PUT")] == ['{"level":0.0}', '{"level":4.0}']

    async def test_frozen(self, running: Any, peer: Any) -> None:
        """A server that accepts and never answers costs its time-out; the order is unknown, and not sent later."""
        server = {**peer.server, "timeout": 0.3, "retries": 0}
        async with running(servers={"v": server}, points=BOTH) as city:
            await city.door.until(lambda: city.door.last("lamp-1.level") == 10.0)
            peer.signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)  # it stands still a moment later
            assert await city.adapter.send(order(99.0, seconds=0.2)) is Outcome.UNKNOWN
            assert await city.adapter.send(order(98.0, seconds=-0.1)) is Outcome.NOT_SENT
            peer.signal(signal.SIGCONT)

    async def test_cancelled_as_it_times_out(self, peer: Any) -> None:
        """A request that runs out of time in the turn of the loop in which it is cancelled ends cancelled: else a stop would wait for ever."""
        peer.signal(signal.SIGSTOP)
        url = peer.server["url"]
        server = Server("v", url, "127.0.0.1", peer.port, False, True, "", (), 0.2, 1000, 1, 0)
        client, loop = HttpClient(server), asyncio.get_running_loop()
        asking = asyncio.ensure_future(client.ask("GET", "/lamps/lamp-1"))
        await asyncio.sleep(0.1)
        loop.call_later(0.2, asking.cancel)
        time.sleep(0.4)  # noqa: ASYNC251 - both are due by now, the end of its time first
        with pytest.raises(asyncio.CancelledError):
            await asking
        await client.close()


class TestClosedList:
    @pytest.mark.parametrize(
        ("address", "reserved"),
        [
            ("127.0.0.1", True),
            ("10.1.2.3", True),
            ("172.16.0.1", True),
            ("192.168.1.1", True),
            ("169.254.169.254", True),
            ("0.0.0.0", True),
            ("224.0.0.1", True),
            ("100.64.0.1", True),
            ("::1", True),
            ("fe80::1%eth0", True),
            ("fd00::1", True),
            ("::ffff:127.0.0.1", True),
            ("64:ff9b::7f00:1", True),
            ("2002:7f00:1::", True),
            ("9.9.9.9", False),
            ("2620:fe::fe", False),
        ],
    )
    def test_addresses(self, address: str, reserved: bool) -> None:
        """Source: the IANA special-purpose address registries (RFC 6890)."""
        assert is_reserved(address) is reserved

    async def test_private(self, running: Any, peer: Any) -> None:
        """A name that leads to this machine is refused unless that is written, and the reason says how."""
        server = {"url": f"http://localhost:{peer.port}", "plain": True}
        with pytest.raises(ConnectionError, match='add "private: true"'):
            async with running(servers={"v": server}, points=POLL):
                pass
        async with running(servers={"v": server}, points={"kind": "lamp", "write": WRITE}) as city:
            assert await city.adapter.send(order()) is Outcome.NOT_SENT
            assert 'add "private: true"' in city.door.refusals[0][1]
        assert await peer.asked() == []

    async def test_redirect(self, running: Any, peer: Any, make_peer: Any) -> None:
        """A redirect to another server is not followed."""
        other = make_peer()
        await peer.behave(lamp_1=f"redirect:http://127.0.0.1:{other.port}/lamps/lamp-1")
        async with running(servers={"v": peer.server}, points=POLL) as city:
            await city.door.until(lambda: bool(city.door.losses))
        assert await other.asked() == []

    async def test_headers(self, running: Any, peer: Any, monkeypatch: Any) -> None:
        """A server gets its own headers; a proxy of the environment is not asked."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        server = {**peer.server, "headers": {"Authorization": "Bearer abc"}}
        async with running(servers={"v": server}, points=POLL) as city:
            await city.door.until(lambda: bool(city.door.reports))
        assert (await peer.asked())[0]["headers"]["Authorization"] == "Bearer abc"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate of its own for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return str(certificate), str(key)


class TestTls:
    async def test_known(self, running: Any, make_peer: Any, files: Any) -> None:
        """A server whose certificate is known is spoken to; one that nobody has signed is not, nor one of another name."""
        peer = make_peer(*files)
        known = {"url": f"https://localhost:{peer.port}", "private": True, "ca": files[0]}
        async with running(servers={"v": known}, points=POLL) as city:
            await city.door.until(lambda: city.door.last("lamp-1.level") == 10.0)
        for wrong in (
            {"url": f"https://localhost:{peer.port}", "private": True},
            {**known, "url": f"https://127.0.0.1:{peer.port}"},
        ):
            with pytest.raises(ConnectionError, match=r"(?i)certificate"):
                async with running(servers={"v": wrong}, points=POLL):
                    pass

    async def test_webhooks(self, running: Any, webhook: Any, files: Any) -> None:
        """Webhooks come in over TLS, and not without it."""
        certificate, key = files
        listen = {"port": webhook.port, "tls": {"certificate": certificate, "key": key}}
        hook = {"at": "/l/{id}", "point": "level", "unsigned": True}
        async with running(listen=listen, points={"kind": "lamp", "hook": hook}) as city:
            context = ssl.create_default_context(cafile=certificate)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", webhook.port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"POST /l/lamp-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n42")
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            writer.close()
            assert city.door.last("lamp-1.level") == 42.0
            assert await webhook.post("/l/lamp-1", b"43") in (0, 400)
            assert city.door.last("lamp-1.level") == 42.0
        assert Path(certificate).exists()
