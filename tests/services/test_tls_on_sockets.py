"""TLS on real sockets, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trustme
from anyio.lowlevel import checkpoint

from tests.services.test_tls_transport import Taker
from tests.services.tls_peers import NAME, Peer, serving, trusting
from ziggurat.services import TcpConnector, TlsStream, TransportStream, Uri

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MANY = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the buffers of a loopback connection take


@pytest.fixture(params=["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])])
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(loop_name: str) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"debug": True, "use_uvloop": loop_name == "uvloop"}


class Server:
    """A server for one client, which answers as TLS demands.

    Attributes:
        peer: its state; `Peer.received` are the client's bytes.
        writer: for encrypted bytes.
        over: set when the client has ended the connection; the error if it was lost.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.peer = Peer(context)
        self.writer: asyncio.StreamWriter
        self.over: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while data := await reader.read(262144):
                if answer := self.peer.feed(data):
                    writer.write(answer)
            self.over.set_result(None)
        except OSError as error:
            self.over.set_result(error)

    def send(self, data: bytes) -> None:
        self.writer.write(self.peer.records(data))

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def handed_over(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[asyncio.Transport, Taker, Server]]:
    server = Server(context or serving(tickets=2))
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        inner = await TcpConnector()(Uri("https", "127.0.0.1", listener.sockets[0].getsockname()[1]))
        assert type(inner) is TransportStream
        stream = await TlsStream.wrap(inner, trusting(), NAME)
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        with anyio.fail_after(30):
            yield transport, taker, server
        transport.abort()
        await until(lambda: taker.lost)
        server.writer.transport.abort()
        await until(server.over.done)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await checkpoint()


async def test_a_large_transfer_both_ways_at_once_arrives_whole() -> None:
    async with handed_over() as (transport, taker, server):
        transport.write(MANY)
        await until(lambda: server.peer.complete)
        server.send(MANY)
        await until(lambda: len(server.peer.received) == len(MANY) == len(taker.data))
        assert server.peer.received == taker.data == MANY
        assert "pause" in taker.calls
        assert taker.calls.count("resume") == taker.calls.count("pause")


async def test_close_sends_everything_and_a_close_notify() -> None:
    async with handed_over() as (transport, taker, server):
        await until(lambda: server.peer.complete)
        server.send(b"x")
        await until(lambda: taker.data)  # else a session ticket is left unread, and the system resets the connection
        transport.write(MANY)
        transport.close()
        assert await server.over is None
        assert server.peer.received == MANY
        assert server.peer.ended
        await until(lambda: taker.lost)
        assert taker.error is None


async def test_a_reset_in_mid_transfer_reports_the_systems_error() -> None:
    async with handed_over() as (transport, taker, server):
        await until(lambda: server.peer.complete)
        server.send(MANY)
        transport.write(MANY)
        await until(lambda: len(taker.data) > 100_000)
        server.reset()
        await until(lambda: taker.lost)
        assert isinstance(taker.error, ConnectionError)
        assert MANY.startswith(taker.data)
        transport.write(b"ignored")
        transport.close()
        transport.abort()


async def test_a_bad_record_in_mid_transfer_ends_it_with_openssls_error_and_an_alert() -> None:
    async with handed_over() as (transport, taker, server):
        await until(lambda: server.peer.complete)
        server.send(MANY[:1_000_000])
        server.writer.write(b"\x17\x03\x03\x00\x40" + bytes(64))
        await until(lambda: taker.lost)
        assert taker.data == MANY[:1_000_000]
        assert isinstance(taker.error, ssl.SSLError)
        await server.over
        assert "BAD_RECORD_MAC" in str(server.peer.alert)
        assert transport.is_closing()


async def test_the_peers_end_without_close_notify_is_its_end() -> None:
    async with handed_over() as (_, taker, server):
        await until(lambda: server.peer.complete)
        server.send(b"last words")
        server.writer.write_eof()
        await until(lambda: taker.lost)
        assert taker.data == b"last words"
        assert taker.error is None
        assert await server.over is None
        assert server.peer.ended


async def test_an_alert_that_refuses_our_certificate_ends_it_with_openssls_error() -> None:
    async with handed_over(serving(authority=trustme.CA())) as (_, taker, _):
        await until(lambda: taker.lost)
        assert "CERTIFICATE_REQUIRED" in str(taker.error)


async def test_extra_info_is_that_of_tls_and_of_the_connection_below() -> None:
    async with handed_over() as (transport, _, server):
        assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert transport.get_extra_info("sockname") == server.writer.get_extra_info("peername")
        assert transport.get_extra_info("socket").family is socket.AF_INET
