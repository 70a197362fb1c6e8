"""The working proxy: accepts, refuses with the right code, relays with half-close, and leaves nothing open."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.testing import MemoryStream, MockHandle, Socks5Server, mock_connector, stream_pair
from ziggurat.layers.testing.socks5_messages import Request
from ziggurat.services import Connector, ConnectRefused, Uri

REQUEST = b"\5\1\0\3\4host\0\x50"


async def settled() -> None:
    # On asyncio a task group whose last child has just ended counts as blocked for one more cycle of the loop.
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()
        await checkpoint()


@asynccontextmanager
async def client_of(server: Socks5Server) -> AsyncIterator[MemoryStream]:
    near, far = stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.handle, far)
        yield near
        await near.aclose()
        await settled()
        assert far.closed
        tasks.cancel_scope.cancel()
    assert server.sessions == 0


async def exactly(stream: ByteStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def ended(stream: ByteStream) -> bool:
    with pytest.raises(EndOfStream):
        await stream.receive()
    return True


async def opened(client: MemoryStream, handle: MockHandle) -> MemoryStream:
    await client.send(b"\5\1\0")
    assert await client.receive() == b"\5\0"
    await client.send(REQUEST)
    request = await handle.next()
    assert request.uri == Uri("tcp", "host", 80)
    target = request.accept()
    assert await exactly(client, 10) == b"\5\0\0\1\0\0\0\0\0\0"
    return target


async def test_it_relays_both_ways_with_half_close() -> None:
    connector, handle = mock_connector()
    server = Socks5Server(connector=connector)
    async with client_of(server) as client:
        target = await opened(client, handle)
        await client.send(b"ping")
        assert await target.receive() == b"ping"
        await client.send_eof()
        assert await ended(target)
        await target.send(b"still there")
        assert await client.receive() == b"still there"
        assert server.sessions == 1
        await target.aclose()
        assert await ended(client)

    assert list(server.requests) == [Request(1, 3, "host", 80)]
    assert handle.open_streams == 0
    assert repr(server) == "Socks5Server(0 sessions, 1 requests)"


@pytest.mark.parametrize("end", ["client closes", "client is reset", "target is reset"])
async def test_it_leaves_nothing_open_however_the_tunnel_ends(end: str) -> None:
    connector, handle = mock_connector()
    async with client_of(Socks5Server(connector=connector)) as client:
        target = await opened(client, handle)
        if end == "client closes":
            await client.aclose()
            await target.aclose()
        elif end == "client is reset":
            client.reset()
        else:
            target.reset()
        await settled()
        assert handle.open_streams == 0


async def test_a_client_that_leaves_while_the_target_is_dialled_leaves_nothing_open() -> None:
    connector, handle = mock_connector()
    async with client_of(Socks5Server(connector=connector, connect_timeout=5.0)) as client:
        await client.send(b"\5\1\0" + REQUEST)
        request = await handle.next()
        await client.aclose()
        request.accept()
        await settled()
        assert handle.open_streams == 0


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"\5\1\2\1\4name\4word", b"\5\2\1\0"),
        (b"\5\1\2\1\4name\4wron", b"\5\2\1\1"),
        (b"\5\1\2\1\4none\4word", b"\5\2\1\1"),
        (b"\5\1\0", b"\5\xff"),
    ],
)
async def test_only_known_users_are_accepted(sent: bytes, answer: bytes) -> None:
    async with client_of(Socks5Server({"name": "word"})) as client:
        await client.send(sent)
        assert await exactly(client, len(answer)) == answer
        if answer != b"\5\2\1\0":
            assert await ended(client)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"\5\2" + REQUEST[2:], 7),
        (b"\5\3" + REQUEST[2:], 7),
        (b"\5\1\0\2", 8),
        (b"\4\1\0\1", 1),
        (b"\5\1\0\3\1 \0\1", 1),
        (b"\5\1\0\3\4host\0\0", 1),
    ],
)
async def test_unsupported_requests_are_refused_with_their_code(request_: bytes, code: int) -> None:
    connector, handle = mock_connector()
    async with client_of(Socks5Server(connector=connector)) as client:
        await client.send(b"\5\1\0" + request_)
        assert await exactly(client, 2) == b"\5\0"
        assert (await exactly(client, 10))[:2] == bytes([5, code])
        assert await ended(client)
    assert not handle.requests


def _caused(cause: OSError) -> OSError:
    error = OSError("all attempts failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (_caused(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), 5),
        (ConnectRefused("nothing listens"), 5),
        (OSError(errno.ENETUNREACH, "net"), 3),
        (OSError(errno.EHOSTUNREACH, "host"), 4),
        (socket.gaierror(socket.EAI_NONAME, "name"), 4),
        (TimeoutError(), 6),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), 2),
        (OSError(errno.EMFILE, "too many"), 1),
    ],
)
async def test_the_reply_code_says_why_the_target_was_not_reached(error: OSError, code: int) -> None:
    connector, handle = mock_connector()
    async with client_of(Socks5Server(connector=connector)) as client:
        await client.send(b"\5\1\0" + REQUEST)
        (await handle.next()).fail(error)
        assert (await exactly(client, 12))[2:4] == bytes([5, code])
        assert await ended(client)


async def test_a_target_that_does_not_answer_times_out() -> None:
    connector, handle = mock_connector()
    async with client_of(Socks5Server(connector=connector, connect_timeout=7.0)) as client:
        await client.send(b"\5\1\0" + REQUEST)
        start = anyio.current_time()
        assert (await exactly(client, 12))[2:4] == b"\5\6"
        assert anyio.current_time() - start == pytest.approx(7.0)
    assert handle.requests[0].cancelled


async def test_a_silent_client_times_out() -> None:
    async with client_of(Socks5Server(handshake_timeout=3.0)) as client:
        start = anyio.current_time()
        assert await ended(client)
        assert anyio.current_time() - start == pytest.approx(3.0)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"handshake_timeout must be a positive number of seconds, not 0\.0"):
        Socks5Server(handshake_timeout=0.0)
    with pytest.raises(ValueError, match="connect_timeout must be a positive number of seconds, not -1"):
        Socks5Server(connect_timeout=-1)


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    async def echo(stream: ByteStream) -> None:
        async with stream:
            try:
                while True:
                    await stream.send(await stream.receive())
            except (EndOfStream, BrokenResourceError):
                pass

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@pytest.mark.real_io
async def test_on_sockets_it_relays_to_a_real_target_and_refuses_a_closed_port() -> None:
    unused: Connector | None = None
    server = Socks5Server(connector=unused)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
    async with echo_server() as port, server.serve() as uri:
        async with await anyio.connect_tcp(uri.host, uri.port) as client:
            await client.send(b"\5\1\0\5\1\0\1\x7f\0\0\1" + port.to_bytes(2))
            assert (await exactly(client, 12))[:4] == b"\5\0\5\0"
            data = os.urandom(500_000)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.send, data)
                assert await exactly(client, len(data)) == data
            await client.send_eof()
            assert await ended(client)
        async with await anyio.connect_tcp(uri.host, uri.port) as client:
            await client.send(b"\5\1\0\5\1\0\1\x7f\0\0\1" + refused.to_bytes(2))
            assert (await exactly(client, 12))[:4] == b"\5\0\5\5"
            assert await ended(client)
    assert server.sessions == 0
