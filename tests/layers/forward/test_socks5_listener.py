"""The local SOCKS5 server, on virtual time; in test_server.py and the interop tests it is on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers import Isolated, ServiceBuilder, UserPass
from ziggurat.layers.forward import ForwardedConnection, Socks5Listener, client_key
from ziggurat.layers.testing import MemoryStream, MockHandle, Socks5Server, mock_connector, stream_pair
from ziggurat.services import Connector, ConnectRefused, ResolveError, Uri

REQUEST = b"\5\1\0\3\6a.test\0\x50"
OPEN = b"\5\0\0\1\0\0\0\0\0\0"


@asynccontextmanager
async def client_of(listener: Socks5Listener) -> AsyncIterator[MemoryStream]:
    near, far = stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.handle, far)
        yield near
        await near.aclose()
    assert far.closed
    assert listener.counters.open == 0


async def exactly(stream: ByteStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def rest(stream: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await stream.receive()
    except EndOfStream:
        return data


def listener(connector: Connector, records: list[ForwardedConnection] | None = None) -> Socks5Listener:
    return Socks5Listener(connector, report=None if records is None else records.append)


async def opened(client: MemoryStream, handle: MockHandle) -> MemoryStream:
    await client.send(b"\5\1\0")
    assert await exactly(client, 2) == b"\5\0"
    await client.send(REQUEST)
    target = (await handle.next()).accept()
    assert await exactly(client, 10) == OPEN
    return target


async def test_it_dials_the_name_and_relays_with_half_close() -> None:
    connector, handle = mock_connector()
    records: list[ForwardedConnection] = []
    async with client_of(listener(connector, records)) as client:
        target = await opened(client, handle)
        assert handle.requests[0].uri == Uri("tcp", "a.test", 80)
        await client.send(b"ping")
        await client.send_eof()
        assert await rest(target) == b"ping"
        await target.send(b"pong")
        assert await client.receive() == b"pong"
        await target.aclose()
    assert [(each.target, each.sent, each.received, each.error) for each in records] == [
        (Uri("tcp", "a.test", 80), 4, 4, None)
    ]


async def test_a_client_may_send_all_at_once_and_loses_nothing() -> None:
    connector, handle = mock_connector()
    async with client_of(listener(connector)) as client:
        await client.send(b"\5\1\0" + REQUEST + b"early")
        target = (await handle.next()).accept()
        assert await target.receive() == b"early"
        assert await exactly(client, 12) == b"\5\0" + OPEN
        await target.aclose()


@pytest.mark.parametrize(
    ("error", "code"), [(ConnectRefused("no"), 5), (ResolveError("no"), 4), (RuntimeError("a bug"), 1)]
)
async def test_a_failed_dial_is_told_and_the_client_can_read_it(error: Exception, code: int) -> None:
    """ssh -D only closes, and its clients cannot tell a refused port from a dead proxy."""

    async def fail(uri: Uri, /) -> ByteStream:
        raise error

    records: list[ForwardedConnection] = []
    async with client_of(listener(fail, records)) as client:
        await client.send(b"\5\1\0" + REQUEST)
        assert await rest(client) == b"\5\0\5" + bytes([code]) + b"\0\1\0\0\0\0\0\0"
    assert (records[0].opened, records[0].error) == (False, f"{'' if code > 1 else 'RuntimeError: '}{error}")


async def test_a_client_that_does_not_speak_socks5_is_named() -> None:
    records: list[ForwardedConnection] = []
    connector, _ = mock_connector()
    async with client_of(listener(connector, records)) as client:
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await rest(client) == b""
    assert records[0].error == "the client does not speak SOCKS5 but HTTP"
    assert records[0].target is None


async def test_a_client_that_says_nothing_is_not_kept() -> None:
    """microsocks #31: it waits for good."""
    records: list[ForwardedConnection] = []
    connector, _ = mock_connector()
    start = anyio.current_time()
    async with client_of(listener(connector, records)) as client:
        await client.send(b"\5\1\2")
        assert await rest(client) == b"\5\2"
    assert anyio.current_time() - start == pytest.approx(10.0)
    assert records[0].error == "the client did not send its credentials within 10 s"


@pytest.mark.parametrize("sent", [b"", b"\5\1", b"\5\1\0", b"\5\1\0\5\1\0"])
async def test_a_client_that_leaves_early_is_not_an_error_of_ours(sent: bytes) -> None:
    records: list[ForwardedConnection] = []
    connector, _ = mock_connector()
    async with client_of(listener(connector, records)) as client:
        if sent:
            await client.send(sent)
    assert str(records[0].error).startswith("the client left before its ")


async def test_a_client_that_leaves_cancels_the_dial() -> None:
    connector, handle = mock_connector()
    records: list[ForwardedConnection] = []
    async with client_of(listener(connector, records)) as client:
        await client.send(b"\5\1\0" + REQUEST)
        await handle.next()
    assert records[0].error == "the client left before the target was reached"
    assert not records[0].opened


async def test_an_idle_connection_is_cut() -> None:
    connector, handle = mock_connector()
    records: list[ForwardedConnection] = []
    idle = Socks5Listener(connector, idle_timeout=30.0, report=records.append)
    async with client_of(idle) as client:
        target = await opened(client, handle)
        start = anyio.current_time()
        assert await rest(client) == b""
        assert anyio.current_time() - start == pytest.approx(30.0)
        await target.aclose()
    assert records[0].error == "idle for 30 s"


async def test_credentials_are_the_key_and_reach_a_proxy_as_isolation() -> None:
    """Clients with the same credentials share a circuit of Tor, others do not; their own never leave this machine."""
    seen: list[str] = []
    sent: list[tuple[bytes, bytes]] = []
    server = Socks5Server()

    async def to_proxy(uri: Uri, /) -> ByteStream:
        seen.append(client_key(uri))
        near, far = stream_pair()
        tasks.start_soon(play, far)
        return near

    async def play(proxy: MemoryStream) -> None:
        assert await exactly(proxy, 3) == b"\5\1\2"
        await proxy.send(b"\5\2")
        _, size = await exactly(proxy, 2)
        name = await exactly(proxy, size)
        password = await exactly(proxy, (await exactly(proxy, 1))[0])
        sent.append((name, password))
        await proxy.send(b"\1\0")
        await exactly(proxy, len(REQUEST))
        await proxy.send(b"\5\1\0\1\0\0\0\0\0\0")

    stack = ServiceBuilder().socks5("127.0.0.1:9050", auth=Isolated(key=client_key)).service(to_proxy)
    front = listener(stack)
    async with anyio.create_task_group() as tasks:
        for credentials in (b"\1\1a\1b", b"\1\1a\1b", b"\1\1a\1c", b"\1\0\0"):
            async with client_of(front) as client:
                await client.send(b"\5\1\2" + credentials + REQUEST)
                assert (await rest(client))[:2] == b"\5\2"
        for _ in range(2):
            async with client_of(front) as client:
                await client.send(b"\5\1\0" + REQUEST)
                await rest(client)
    assert seen == ["61:62", "61:62", "61:63", ":", "", ""]
    assert sent[0] == sent[1]
    assert sent[4] == sent[5]
    assert len(set(sent)) == 4
    assert all(name != b"a" and len(name) == 32 for name, _ in sent)
    assert server.sessions == 0


async def test_the_key_does_not_outlive_the_connection() -> None:
    async def fail(uri: Uri, /) -> ByteStream:
        raise ConnectRefused("no")

    near, far = stream_pair()
    await near.send(b"\5\1\2\1\1a\1b" + REQUEST)
    await near.send_eof()
    await listener(fail).handle(far)
    assert client_key(Uri("tcp", "a.test", 1)) == ""


def test_wrong_settings() -> None:
    connector, _ = mock_connector()
    with pytest.raises(ValueError, match="handshake_timeout must be"):
        Socks5Listener(connector, handshake_timeout=0.0)


def test_repr() -> None:
    stack = ServiceBuilder().socks5("p:1", auth=UserPass("u", "secret")).service(mock_connector()[0])
    assert "secret" not in repr(Socks5Listener(stack))
