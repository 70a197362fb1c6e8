"""`connect_protocol`: handed over where that loses nothing, pumped otherwise."""

from __future__ import annotations

import asyncio

import pytest
from anyio.abc import ByteStream

from tests.layers.clients.servers import HOST, corner, echo, serve
from ziggurat.layers import ConcurrencyLimitLayer, Limiter, ServiceBuilder
from ziggurat.layers.clients import connect_protocol
from ziggurat.layers.testing import ScriptedHttpProxy, stream_pair
from ziggurat.services import ConnectError, Connector, ConnectRefused, ProxyAuthError, TcpConnector, Uri
from ziggurat.services.stream_transport import StreamTransport

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


class Client(asyncio.Protocol):
    """Collects what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.changed = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def receive(self, size: int) -> bytes:
        while len(self.data) < size:
            self.changed.clear()
            await self.changed.wait()
        return self.data


async def talk(connector: Connector, uri: Uri) -> asyncio.Transport:
    """Send and receive, close, and return the transport."""
    transport, client = await connect_protocol(connector, uri, Client)
    transport.write(b"hello")
    assert await client.receive(5) == b"hello"
    transport.close()
    await client.lost.wait()
    return transport


async def test_a_stream_through_a_proxy_is_handed_over() -> None:
    async with corner() as here, serve(echo) as port:
        transport = await talk(here.connector, Uri("tcp", HOST, port))

        assert not isinstance(transport, StreamTransport)
        assert here.targets == [HOST]


async def test_bytes_that_came_with_the_proxys_reply_reach_the_protocol() -> None:
    async def greet(stream: ByteStream) -> None:
        await stream.send(b"220 ready")
        await stream.receive()

    async with corner() as here, serve(greet) as port:
        transport, client = await connect_protocol(here.connector, Uri("tcp", HOST, port), Client)
        assert await client.receive(9) == b"220 ready"
        transport.close()
        await client.lost.wait()


async def test_bytes_in_one_segment_with_an_http_proxys_reply_reach_the_protocol() -> None:
    async with ScriptedHttpProxy(early=b"220 ready").serve() as proxy:
        stack = ServiceBuilder().http_connect(proxy).service(TcpConnector())
        transport, client = await connect_protocol(stack, Uri("tcp", HOST, 25), Client)
        assert not isinstance(transport, StreamTransport)
        assert await client.receive(9) == b"220 ready"
        transport.close()
        await client.lost.wait()


async def test_a_foreign_stream_is_pumped() -> None:
    near, far = stream_pair()

    async def memory(uri: Uri) -> ByteStream:
        return near

    transport, client = await connect_protocol(memory, Uri("tcp", HOST, 1), Client)
    assert isinstance(transport, StreamTransport)
    await far.send(b"hello")
    assert await client.receive(5) == b"hello"
    transport.close()
    await client.lost.wait()
    assert near.closed


async def test_a_limit_on_open_streams_learns_of_the_end() -> None:
    """The client's own protocol would not report it, and the limit would be full for ever."""
    limiter = Limiter(1)
    connector = ServiceBuilder().layer(ConcurrencyLimitLayer(limiter, hold="stream")).service(TcpConnector())
    async with serve(echo) as port:
        for _ in range(3):
            transport = await talk(connector, Uri("tcp", "127.0.0.1", port))
            assert isinstance(transport, StreamTransport)


async def test_a_failed_dial_makes_no_protocol() -> None:
    def factory() -> Client:
        raise AssertionError("the dial failed")

    async with corner() as here:
        with pytest.raises(ProxyAuthError) as caught:
            await connect_protocol(here.stack("wrong"), Uri("tcp", HOST, 1), factory)
    assert caught.value.ledger is not None
    with pytest.raises(ConnectRefused):
        await connect_protocol(TcpConnector(), Uri("tcp", "127.0.0.1", 1), factory)


async def test_a_protocol_that_cannot_be_made_closes_the_connection() -> None:
    near, _ = stream_pair()

    async def memory(uri: Uri) -> ByteStream:
        return near

    def factory() -> Client:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await connect_protocol(memory, Uri("tcp", HOST, 1), factory)
    assert near.closed


async def test_a_connection_that_is_lost_at_once_is_a_connect_error() -> None:
    async def lost(uri: Uri) -> ByteStream:
        stream = await TcpConnector()(uri)
        await stream.aclose()
        return stream

    async with serve(echo) as port:
        with pytest.raises(ConnectError, match="lost as soon as it opened"):
            await connect_protocol(lost, Uri("tcp", "127.0.0.1", port), Client)
