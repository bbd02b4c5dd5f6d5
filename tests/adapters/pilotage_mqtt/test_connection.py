"""Against a real Mosquitto, on both event loops, in MQTT 5 and 3.1.1."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.model.quality import Quality
from pilotage.testing.adapters import RecordingDoor, Report
from pilotage_mqtt.connection import ConnectionLost, MqttConnection, open_connection

LAMP: dict[str, Any] = {
    "kind": "lamp",
    "read": {"topic": "city/lamp/{id}/state", "point": "level", "path": "$.level", "time": "$.ts"},
    "write": {
        "topic": "city/lamp/{id}/set",
        "point": "level",
        "payload": {"level": "{value}", "fade": "{ramp_s}", "id": "{command}", "box": "{cabinet}"},
    },
}
JUNCTION = {
    "kind": "signal_junction",
    "read": {"topic": "signal/{id}/status", "point": "priority.status", "path": "$.status"},
    "request": {
        "topic": "signal/{id}/ask",
        "point": "priority",
        "payload": {"action": "{action}", "bus": "{entity}", "eta": "{with.eta}", "at": "{id}"},
    },
}
DISPATCH = {
    "call": "fleet.dispatch",
    "topic": "fleet/dispatch",
    "payload": {"id": "{command}", "vehicle": "{arguments.vehicle}"},
    "reply": {
        "topic": "fleet/dispatch/reply",
        "call": "$.id",
        "status": "$.status",
        "detail": "$.why",
        "map": {"ok": "accepted", "no": "refused"},
    },
}
STATE = "city/lamp/lamp-1/state"


def command(
    value: Any = 30.0, *, number: int = 1, seconds: float = 60.0, point: str = "lamp-1.level"
) -> Command:
    return Command(f"c-{number}", point, value, time.time() + seconds, "dusk", ramp_s=4.0)


@asynccontextmanager
async def running(
    adapter: MqttConnection, door: RecordingDoor
) -> AsyncIterator[asyncio.Task[None]]:
    """Run an adapter; inside, it is connected."""
    task = asyncio.ensure_future(adapter.run())
    try:
        up = asyncio.ensure_future(door.until(lambda: bool(door.ups)))
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            up.cancel()
            task.result()
        await up
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ConnectionLost):
            await task


@pytest.fixture(params=["5", "3.1.1"])
def options(request: pytest.FixtureRequest, broker: Any) -> dict[str, Any]:
    return {"port": broker.port, "version": request.param, "client_id": f"test-{request.param}"}


class TestReadings:
    def test_arrive(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """A lamp's message is a reading of its point, with the time of the lamp."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(points=LAMP, **options), city, door)
            async with device(options["port"]) as lamp, running(adapter, door):
                lamp.say(STATE, '{"level": 40, "ts": 1000}')
                await door.until(lambda: bool(door.reports))
            assert door.reports == [Report("lamp-1.level", 40, Quality.GOOD, 1000.0)]
            assert not door.losses

        run(scenario())

    def test_retained(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """What the broker kept is a reading too, as old as it says."""

        async def scenario() -> None:
            door = RecordingDoor()
            binding = {**LAMP, "read": {**LAMP["read"], "topic": "kept/{id}"}}
            adapter = open_connection(make_settings(points=binding, **options), city, door)
            async with device(options["port"], "kept/lamp-2") as lamp:
                lamp.say("kept/lamp-2", '{"level": 7, "ts": 5}', retain=True)
                await lamp.hears()
                async with running(adapter, door):
                    await door.until(lambda: bool(door.reports))
            assert door.reports == [Report("lamp-2.level", 7, Quality.GOOD, 5.0)]

        run(scenario())

    def test_kept_session(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """With a session that outlives the connection, what was said while we were away arrives when we are back."""

        async def scenario() -> None:
            door = RecordingDoor()
            binding = {**LAMP, "read": {**LAMP["read"], "topic": "away/{id}", "qos": 1}}
            kept = {**options, "client_id": f"kept-{options['version']}"}
            settings = make_settings(points=binding, session_expiry=60, **kept)
            adapter = open_connection(settings, city, door)
            async with device(options["port"], "away/+") as lamp:
                async with running(adapter, door):
                    pass
                lamp.say("away/lamp-1", '{"level": 12, "ts": 1000}')
                await lamp.hears()
                async with running(adapter, door):
                    await door.until(lambda: door.last("lamp-1.level") == 12)

        run(scenario())

    def test_poison(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Garbage of every sort is refused, and the next good message arrives on the same connection."""
        poison = [
            b"",
            b"\xff\xfe",
            b"{",
            b"NaN",
            b"[" * 10_000,
            b'{"level":[]}' * 9000,
            b"\0" * 300,
        ]

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(points=LAMP, **options), city, door)
            async with device(options["port"]) as lamp, running(adapter, door) as task:
                for payload in poison:
                    lamp.say(STATE, payload)
                lamp.say("city/lamp/nobody/state", b"{}")
                lamp.say(STATE, '{"level": 41, "ts": 1000}')
                await door.until(lambda: bool(door.reports))
                assert not task.done()
            assert [r.raw for r in door.reports] == [41]
            assert len(door.refusals) == len(poison) + 1
            assert all("street: city/lamp/" in source for source, _ in door.refusals)

        run(scenario())

    @pytest.mark.parametrize("qos", [0, 1, 2])
    def test_burst(
        self, qos: int, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Thousands of messages at once all arrive, in order."""
        count = 5_000 if qos == 0 else 1_000

        async def scenario() -> None:
            door = RecordingDoor()
            settings = make_settings(points=LAMP, qos=qos, **options)
            adapter = open_connection(settings, city, door)
            async with device(options["port"]) as lamp, running(adapter, door):
                for number in range(count):
                    lamp.say(STATE, b'{"level": %d, "ts": 1000}' % number, qos)
                await door.until(lambda: len(door.reports) == count, timeout_s=60)
            assert [r.raw for r in door.reports] == list(range(count))

        run(scenario())


class TestOrders:
    def test_command(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """A command reaches the device as the payload says, acknowledged by the broker, and is never retained."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(points=LAMP, **options), city, door)
            async with device(options["port"], "city/lamp/+/set") as lamp, running(adapter, door):
                assert await adapter.send(command()) is Outcome.ACKNOWLEDGED
                (message,) = await lamp.hears()
            assert message.topic == "city/lamp/lamp-1/set"
            assert json.loads(message.payload) == {"level": 30, "fade": 4, "id": "c-1", "box": "C1"}
            assert not message.retain
            if options["version"] == "5":
                assert 58 <= message.properties.MessageExpiryInterval <= 60

        run(scenario())

    def test_written_as_the_device_wants(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Values are scaled or translated, and a point given back has its own payload."""
        bollard = {
            "kind": "bollard",
            "write": [
                {
                    "topic": "b/{id}/1",
                    "point": "state",
                    "payload": "{value}",
                    "map": {"up": 1, "down": 0, "moving": 9},
                    "release": "AUTO",
                },
                {"topic": "b/{id}/2", "point": "locked", "payload": {"lock": "{value}"}},
            ],
        }
        lamp_write = {
            "kind": "lamp",
            "write": {
                "topic": "b/{id}/3",
                "point": "level",
                "scale": 100 / 254,
                "digits": 0,
                "payload": "L{value}",
            },
        }

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(
                make_settings(points=[bollard, lamp_write], **options), city, door
            )
            async with device(options["port"], "b/#") as post, running(adapter, door):
                for point, value in (
                    ("B1.state", "up"),
                    ("B1.state", None),
                    ("B1.locked", True),
                    ("lamp-1.level", 50.0),
                ):
                    assert await adapter.send(command(value, point=point)) is Outcome.ACKNOWLEDGED
                heard = await post.hears(4)
            assert [m.payload for m in heard] == [b"1", b"AUTO", b'{"lock":true}', b"L127"]

        run(scenario())

    @pytest.mark.parametrize("qos", [0, 1, 2])
    def test_many_at_once(
        self, qos: int, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """A thousand commands at once are all acknowledged, and each arrives once."""

        async def scenario() -> None:
            door = RecordingDoor()
            binding = {**LAMP, "write": {**LAMP["write"], "qos": qos}}
            adapter = open_connection(make_settings(points=binding, **options), city, door)
            async with device(options["port"], "city/lamp/+/set") as lamp, running(adapter, door):
                sent = await asyncio.gather(*(adapter.send(command(number=n)) for n in range(1000)))
                heard = await lamp.hears(1000)
            assert set(sent) == {Outcome.ACKNOWLEDGED}
            assert sorted(json.loads(m.payload)["id"] for m in heard) == sorted(
                f"c-{n}" for n in range(1000)
            )

        run(scenario())

    def test_request(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """A request is asked of the junction, and its status comes back as a reading."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(points=JUNCTION, **options), city, door)
            async with device(options["port"], "signal/+/ask") as junction, running(adapter, door):
                asked = Request(
                    "r-1",
                    "J-12.priority",
                    "request",
                    "bus-7",
                    {"eta": 12.5},
                    time.time() + 5,
                    "bus",
                )
                assert await adapter.send(asked) is Outcome.ACKNOWLEDGED
                (message,) = await junction.hears()
                junction.say("signal/J-12/status", '{"status": "queued"}')
                await door.until(lambda: bool(door.reports))
            assert json.loads(message.payload) == {
                "action": "request",
                "bus": "bus-7",
                "eta": 12.5,
                "at": "J-12",
            }
            assert door.last("J-12.priority.status") == "queued"

        run(scenario())

    def test_call(self, run: Any, options: Any, make_settings: Any, city: Any, device: Any) -> None:
        """A call is answered in the service's own words, which become ours."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(calls=[DISPATCH], **options), city, door)
            assert adapter.targets() == ([], ["fleet.dispatch"])
            async with device(options["port"], "fleet/dispatch") as fleet, running(adapter, door):
                call = CallOut("k-1", "fleet.dispatch", {"vehicle": "P-2"}, time.time() + 5, "snow")
                assert await adapter.send(call) is Outcome.ACKNOWLEDGED
                (message,) = await fleet.hears()
                fleet.say(
                    "fleet/dispatch/reply", '{"id": "k-1", "status": "no", "why": "no driver"}'
                )
                fleet.say("fleet/dispatch/reply", '{"id": "k-2", "status": "ok"}')
                await door.until(lambda: len(door.answers) == 2)
            assert json.loads(message.payload) == {"id": "k-1", "vehicle": "P-2"}
            assert door.answers == [("k-1", "refused", "no driver"), ("k-2", "accepted", "")]

        run(scenario())

    def test_not_sent(
        self, run: Any, options: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Nothing is sent while down, after the deadline, or for a point of somebody else, and nothing comes later."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(points=LAMP, **options), city, door)
            async with device(options["port"], "city/lamp/+/set") as lamp:
                assert await adapter.send(command(number=1)) is Outcome.NOT_SENT
                async with running(adapter, door):
                    assert await adapter.send(command(number=2, seconds=-1)) is Outcome.NOT_SENT
                    assert (
                        await adapter.send(command(number=3, point="B1.state")) is Outcome.NOT_SENT
                    )
                    assert await adapter.send(command(number=4)) is Outcome.ACKNOWLEDGED
                    await lamp.hears()
                assert await adapter.send(command(number=5)) is Outcome.NOT_SENT
            assert [json.loads(m.payload)["id"] for m in lamp.heard] == ["c-4"]

        run(scenario())


class Hidden(str):
    """A secret as the configuration hands it in: printed, it is stars."""

    __slots__ = ()

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__


class TestAccess:
    def test_nobody_there(self, run: Any, make_settings: Any, city: Any) -> None:
        """A broker that is not there is named."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(port=1), city, door)
            with pytest.raises(
                ConnectionLost, match=r"cannot connect to 127\.0\.0\.1:1: .*refused"
            ):
                await adapter.run()
            assert not door.losses

        run(scenario())

    @pytest.mark.parametrize("version", ["5", "3.1.1"])
    def test_password(
        self,
        version: str,
        run: Any,
        make_broker: Any,
        tmp_path: Path,
        make_settings: Any,
        city: Any,
    ) -> None:
        """The right password opens, a wrong one is refused by the broker, and the reason is told."""
        secrets = tmp_path / "passwords"
        subprocess.run(["mosquitto_passwd", "-c", "-b", secrets, "engine", "right"], check=True)
        broker = make_broker(f"password_file {secrets}", anonymous=False)

        async def scenario() -> None:
            for password, is_let_in in ((Hidden("right"), True), ("wrong", False), (None, False)):
                door = RecordingDoor()
                who = {"username": "engine", "password": password} if password else {}
                settings = make_settings(port=broker.port, version=version, points=LAMP, **who)
                adapter = open_connection(settings, city, door)
                if is_let_in:
                    async with running(adapter, door):
                        assert await adapter.send(command()) is Outcome.ACKNOWLEDGED
                else:
                    with pytest.raises(
                        ConnectionLost, match=r"refuses the connection: .*[Nn]ot authori"
                    ):
                        await adapter.run()

        run(scenario())

    def test_forbidden_topic(
        self, run: Any, make_broker: Any, tmp_path: Path, make_settings: Any, city: Any
    ) -> None:
        """A command that the broker's access list forbids is not sent."""
        rights = tmp_path / "acl"
        rights.write_text("topic read city/#\n")
        broker = make_broker(f"acl_file {rights}")

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(port=broker.port, points=LAMP), city, door)
            async with running(adapter, door):
                assert await adapter.send(command()) is Outcome.NOT_SENT

        run(scenario())


class TestTls:
    @pytest.fixture
    def certificates(self, tmp_path: Path) -> Path:
        """A city's own authority, a broker's and an engine's certificate, made with openssl."""
        (tmp_path / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl(
            tmp_path,
            "req",
            "-x509",
            *key,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=city",
            "-days",
            "2",
        )
        for name in ("broker", "engine"):
            self._openssl(
                tmp_path,
                "req",
                *key,
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.csr",
                "-subj",
                f"/CN={name}",
            )
            self._openssl(
                tmp_path, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "san",
            )  # fmt: skip
            (tmp_path / f"{name}.key").chmod(0o644)
        tmp_path.chmod(0o755)
        return tmp_path

    def _openssl(self, folder: Path, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    @pytest.mark.parametrize("version", ["5", "3.1.1"])
    def test_both_sides_known(
        self,
        version: str,
        run: Any,
        certificates: Path,
        make_broker: Any,
        make_settings: Any,
        city: Any,
    ) -> None:
        """With certificates on both sides messages pass, many at once, and a large one too."""
        broker = make_broker(
            f"cafile {certificates}/ca.pem\ncertfile {certificates}/broker.pem\n"
            f"keyfile {certificates}/broker.key\nrequire_certificate true"
        )
        tls = {
            "ca": f"{certificates}/ca.pem",
            "certificate": f"{certificates}/engine.pem",
            "key": f"{certificates}/engine.key",
        }
        echo = {
            "kind": "lamp",
            "read": {"topic": "echo/{id}", "point": "level", "path": "$.level"},
            "write": {
                "topic": "echo/{id}",
                "point": "level",
                "payload": {"level": "{value}", "pad": "x" * 20_000},
            },
        }

        async def scenario() -> None:
            door = RecordingDoor()
            settings = make_settings(
                port=broker.port, host="localhost", version=version, tls=tls, points=echo
            )
            adapter = open_connection(settings, city, door)
            async with running(adapter, door):
                sent = await asyncio.gather(*(adapter.send(command(float(n))) for n in range(300)))
                assert set(sent) == {Outcome.ACKNOWLEDGED}
                await door.until(lambda: len(door.reports) == 300)
            assert sorted(r.raw for r in door.reports) == list(range(300))

        run(scenario())

    def test_unknown_broker(
        self, run: Any, certificates: Path, make_broker: Any, make_settings: Any, city: Any
    ) -> None:
        """A broker that the system's authorities do not know is never talked to."""
        broker = make_broker(
            f"certfile {certificates}/broker.pem\nkeyfile {certificates}/broker.key"
        )

        async def scenario() -> None:
            settings = make_settings(port=broker.port, host="localhost", tls=True)
            with pytest.raises(ConnectionLost, match="certificate verify failed"):
                await open_connection(settings, city, RecordingDoor()).run()

        run(scenario())

    def test_other_name(
        self, run: Any, certificates: Path, make_broker: Any, make_settings: Any, city: Any
    ) -> None:
        """A certificate for another name is refused."""
        broker = make_broker(
            f"certfile {certificates}/broker.pem\nkeyfile {certificates}/broker.key"
        )

        async def scenario() -> None:
            tls = {"ca": f"{certificates}/ca.pem"}
            settings = make_settings(port=broker.port, host="127.0.0.2", tls=tls)
            with pytest.raises(ConnectionLost):
                await open_connection(settings, city, RecordingDoor()).run()

        run(scenario())
