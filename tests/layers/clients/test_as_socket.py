"""`as_socket`: the connection's own socket where that loses nothing, a relayed one otherwise."""

from __future__ import annotations

import asyncio
import socket

import pytest
from anyio.abc import ByteStream

from tests.layers.clients.servers import HOST, client_context, corner, echo, serve, server_context, settle, until
from ziggurat.layers import ConcurrencyLimitLayer, Limiter, ServiceBuilder
from ziggurat.layers.clients import as_socket
from ziggurat.layers.testing import ScriptedHttpProxy, stream_pair
from ziggurat.services import ConnectError, TcpConnector, Uri

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def ask(sock: socket.socket, data: bytes = b"hello") -> bytes:
    """Send, end our direction, and return everything that comes."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, data)
    sock.shutdown(socket.SHUT_WR)
    answer = b""
    while part := await loop.sock_recv(sock, 65536):
        answer += part
    sock.close()
    await settle()
    return answer


async def test_through_a_proxy_it_is_the_connections_own_socket() -> None:
    async with corner() as here, serve(echo) as port:
        sock = await as_socket(await here.connector(Uri("tcp", HOST, port)))

        assert sock.getpeername() == ("127.0.0.1", here.uri.port)
        assert not sock.getblocking()
        assert await ask(sock) == b"hello"


async def test_closing_it_closes_the_connection() -> None:
    ended = asyncio.Event()

    async def wait(stream: ByteStream) -> None:
        async for _ in stream:
            pass
        ended.set()

    async with corner() as here, serve(wait) as port:
        (await as_socket(await here.connector(Uri("tcp", HOST, port)))).close()
        await ended.wait()


async def test_bytes_received_behind_the_proxys_reply_are_not_lost() -> None:
    async def greet(stream: ByteStream) -> None:
        await stream.send(b"220 ready")
        await echo(stream)

    async with corner() as here, serve(greet) as port:
        stream = await here.connector(Uri("tcp", HOST, port))
        await until(lambda: stream.readable)  # type: ignore[attr-defined]  # the greeting is in the stream's own queue
        sock = await as_socket(stream)

        assert sock.family == socket.AF_UNIX
        assert await ask(sock) == b"220 readyhello"


async def test_bytes_in_one_segment_with_an_http_proxys_reply_are_not_lost() -> None:
    async with ScriptedHttpProxy(early=b"220 ready").serve() as proxy:
        stack = ServiceBuilder().http_connect(proxy).service(TcpConnector())
        sock = await as_socket(await stack(Uri("tcp", HOST, 25)))

        assert sock.family == socket.AF_UNIX
        assert await ask(sock) == b"220 readyhello"


async def test_tls_is_relayed_in_clear_text() -> None:
    connector = ServiceBuilder().tls(client_context(), alpn=()).service(TcpConnector())
    async with serve(echo, server_context()) as port:
        sock = await as_socket(await connector(Uri("tcp", "127.0.0.1", port)))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"hello")
        assert await loop.sock_recv(sock, 99) == b"hello"
        sock.close()
        await settle()


async def test_a_foreign_stream_is_relayed() -> None:
    near, far = stream_pair()
    sock = await as_socket(near)
    task = asyncio.create_task(ask(sock, b"hello"))
    assert await far.receive() == b"hello"
    await far.send(b"bye")
    await far.aclose()
    assert await task == b"bye"


async def test_a_limit_on_open_streams_learns_of_the_end() -> None:
    limiter = Limiter(1)
    connector = ServiceBuilder().layer(ConcurrencyLimitLayer(limiter, hold="stream")).service(TcpConnector())
    async with serve(echo) as port:
        for _ in range(3):
            sock = await as_socket(await connector(Uri("tcp", "127.0.0.1", port)))
            assert sock.family == socket.AF_UNIX
            assert await ask(sock) == b"hello"


async def test_it_can_be_used_in_another_thread() -> None:
    def blocking(sock: socket.socket) -> bytes:
        sock.setblocking(True)
        with client_context().wrap_socket(sock, server_hostname=HOST) as secured:
            secured.sendall(b"hello")
            return secured.recv(99)

    async with corner() as here, serve(echo, server_context()) as port:
        sock = await as_socket(await here.connector(Uri("tcp", HOST, port)))
        assert await asyncio.to_thread(blocking, sock) == b"hello"


async def test_a_stream_that_was_closed_is_a_connect_error_and_leaves_nothing_open() -> None:
    async with serve(echo) as port:
        stream = await TcpConnector()(Uri("tcp", "127.0.0.1", port))
        await stream.aclose()
        with pytest.raises(ConnectError, match="lost as soon as it opened"):
            await as_socket(stream)
