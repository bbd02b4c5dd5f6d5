"""The fault proxy: each harm is what it says, on real sockets, and the same seed does the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pilotage.testing.proxy import FaultProxy, Harm

WAIT_S = 10.0
SOON_S = 0.15


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that answers with what it gets; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def proxy(echo: int) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", echo, seed=7) as proxy:
        yield proxy


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, proxy: FaultProxy) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def say(self, text: bytes) -> bytes:
        """Send and return what is echoed, as far as it comes."""
        self.writer.write(text)
        return await self.hear(len(text))

    async def hear(self, count: int) -> bytes:
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.readexactly(count)
            except asyncio.IncompleteReadError as error:
                return error.partial

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(SOON_S):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    client = await Client.to(proxy)
    yield client
    client.close()


async def test_passes(proxy: FaultProxy, client: Client) -> None:
    """Without harm everything passes both ways, and is counted."""
    text = bytes(range(256)) * 1000
    assert await client.say(text) == text
    assert (proxy.accepted, proxy.open_connections, proxy.passed) == (1, 1, 2 * len(text))


class TestSlow:
    async def test_latency(self, proxy: FaultProxy, client: Client) -> None:
        """A latency each way is at least twice as long there and back."""
        proxy.harm(Harm(latency_s=0.1))
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await client.say(b"hello") == b"hello"
        assert clock() - began >= 0.19

    async def test_one_way(self, proxy: FaultProxy, client: Client) -> None:
        """A harm may be done one way only."""
        proxy.harm(Harm(flips=1.0), "to_client")
        said = await client.say(b"\0" * 8)
        assert all(byte.bit_count() == 1 for byte in said)

    async def test_bandwidth(self, proxy: FaultProxy, client: Client) -> None:
        """A thousand bytes at ten thousand a second take a tenth of a second."""
        proxy.harm(Harm(bytes_per_s=10_000), "to_server")
        clock = asyncio.get_running_loop().time
        began = clock()
        assert len(await client.say(b"x" * 1000)) == 1000
        assert clock() - began >= 0.09

    async def test_slow_loris(self, proxy: FaultProxy, client: Client) -> None:
        """Bytes come one by one, and all of them."""
        proxy.harm(Harm(piece=1, pause_s=0.005))
        client.writer.write(b"byte by byte")
        assert await client.hear(1) == b"b"
        assert await client.hear(11) == b"yte by byte"


class TestDeaf:
    async def test_black_hole(self, proxy: FaultProxy, client: Client) -> None:
        """In a black hole nothing comes and nothing is closed; after it, what was sent arrives late."""
        proxy.hold()
        client.writer.write(b"late")
        assert await client.hears_nothing()
        await proxy.heal()
        assert await client.hear(4) == b"late"

    async def test_black_hole_and_reset(self, proxy: FaultProxy, client: Client) -> None:
        """What a sender had under way when it reset the connection never arrives."""
        assert await client.say(b"1") == b"1"
        proxy.hold()
        client.writer.write(b"never")
        await asyncio.sleep(SOON_S)
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER, 0 s
        client.writer.transport.abort()
        await asyncio.sleep(SOON_S)
        await proxy.heal()
        await asyncio.sleep(SOON_S)
        assert proxy.passed == 2
        assert proxy.open_connections == 0

    async def test_half_open(self, proxy: FaultProxy, client: Client) -> None:
        """What a half-open peer swallowed is gone for ever; afterwards bytes pass again."""
        proxy.swallow()
        client.writer.write(b"gone")
        assert await client.hears_nothing()
        await proxy.heal()
        assert await client.say(b"here") == b"here"

    async def test_never_answers(self, proxy: FaultProxy, client: Client) -> None:
        """A new connection is accepted and never answered, an older one goes on; healing closes the deaf one."""
        proxy.silent()
        deaf = await Client.to(proxy)
        deaf.writer.write(b"?")
        assert await deaf.hears_nothing()
        assert await client.say(b"!") == b"!"
        await proxy.heal()
        assert await deaf.hear(1) == b""
        deaf.close()


class TestCut:
    async def test_in_the_middle(self, proxy: FaultProxy, client: Client) -> None:
        """A connection ends after exactly so many more bytes."""
        proxy.harm(Harm(), "both")
        proxy.cut(after_bytes=13)
        assert len(await client.say(b"0123456789")) == 3
        assert client.reader.at_eof()

    async def test_now(self, proxy: FaultProxy, client: Client) -> None:
        """A cut closes at once, and the next connection works."""
        assert await client.say(b"1") == b"1"
        proxy.cut()
        assert await client.hear(1) == b""
        again = await Client.to(proxy)
        assert await again.say(b"2") == b"2"
        again.close()

    async def test_reset(self, proxy: FaultProxy, client: Client) -> None:
        """A reset is seen as one."""
        assert await client.say(b"1") == b"1"
        proxy.cut(reset=True)
        with pytest.raises(ConnectionResetError):
            await client.hear(1)

    async def test_refuse(self, proxy: FaultProxy, client: Client) -> None:
        """New connections are refused, an older one goes on; healing opens the same port."""
        assert await client.say(b"1") == b"1"
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await Client.to(proxy)
        assert await client.say(b"2") == b"2"
        await proxy.heal()
        again = await Client.to(proxy)
        assert await again.say(b"3") == b"3"
        again.close()

    async def test_server_away(self, proxy: FaultProxy, echo: int) -> None:
        """A server that is not there resets the client."""
        async with FaultProxy("127.0.0.1", 1) as empty:
            client = await Client.to(empty)
            with pytest.raises(ConnectionResetError):
                await client.hear(1)
            client.close()


async def test_same_seed_same_bits(echo: int) -> None:
    """Two proxies with one seed spoil the same bits; another seed spoils others."""
    heard = []
    for seed in (3, 3, 4):
        async with FaultProxy("127.0.0.1", echo, seed=seed) as proxy:
            proxy.harm(Harm(flips=0.05), "to_server")
            client = await Client.to(proxy)
            heard.append(await client.say(b"\0" * 500))
            client.close()
    assert heard[0] == heard[1] != heard[2]
    assert 5 <= sum(byte != 0 for byte in heard[0]) <= 60
