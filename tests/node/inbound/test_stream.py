"""`InboundStream` on grpclib streams of a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from tests.node.nodes import at, dial_and_run, send_raw
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.inbound.server import PeerServer
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.testing import MemoryNetwork
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, PingMessage
from ziggurat.node.wire.stream import StreamLost

pytestmark = pytest.mark.asyncio_only

PING = KaspadMessage(ping=PingMessage(nonce=1))


async def talk(
    server: Callable[[InboundStream], Awaitable[None]], client: Callable[[OutboundStream], Awaitable[None]]
) -> None:
    network = MemoryNetwork()
    async with anyio.create_task_group() as tasks:

        def serve(stream: InboundStream) -> None:
            tasks.start_soon(server, stream)

        listener = PeerServer(
            network.host("10.0.0.1").listener(16611),
            ConnectionCounter(InboundLimits(), lambda: False),
            serve,
            max_message_size=1000,
        )
        await listener.start()
        await dial_and_run(ConnectionHandler(leaf=network.host("10.0.0.2")), at("10.0.0.1"), client)
        await listener.aclose()


async def test_messages_go_both_ways_and_each_side_sees_the_others_end() -> None:
    async def server(stream: InboundStream) -> None:
        assert await stream.receive() == PING
        await stream.send(PING)
        assert await stream.receive() is None
        await stream.aclose()

    async def client(stream: OutboundStream) -> None:
        await stream.send(PING)
        assert await stream.receive() == PING
        await stream._call.end()
        assert await stream.receive() is None  # trailers with OK
        await stream.aclose()

    await talk(server, client)


async def test_headers_come_before_any_message() -> None:
    async def server(stream: InboundStream) -> None:
        assert await stream.receive() == PING  # the client sends it once it has the headers
        await stream.aclose()

    async def client(stream: OutboundStream) -> None:
        await stream.send(PING)
        assert await stream.receive() is None
        await stream.aclose()

    await talk(server, client)


async def test_the_error_says_what_is_wrong_with_a_message() -> None:
    async def server(stream: InboundStream) -> None:
        with pytest.raises(StreamLost, match="a message is not protobuf"):
            await stream.receive()
        with pytest.raises(StreamLost, match="RESOURCE_EXHAUSTED: a message of 5000 bytes is larger"):
            await stream.receive()
        await stream.aclose()

    async def client(stream: OutboundStream) -> None:
        await send_raw(stream._call, b"\0\0\0\0\1\xff")
        await send_raw(stream._call, b"\0\0\0\x13\x88" + bytes(5000))
        assert await stream.receive() is None
        await stream.aclose()

    await talk(server, client)


async def test_after_a_reset_earlier_messages_can_be_read_and_nothing_sent() -> None:
    read = anyio.Event()

    async def server(stream: InboundStream) -> None:
        await anyio.sleep(1)
        assert await stream.receive() == PING
        with pytest.raises(StreamLost, match="CANCEL"):
            await stream.receive()
        with pytest.raises(StreamLost):
            await stream.send(PING)
        await stream.aclose()
        read.set()

    async def client(stream: OutboundStream) -> None:
        await stream.send(PING)
        await stream._call.cancel()
        await read.wait()
        await stream.aclose()

    await talk(server, client)


async def test_the_permit_of_a_handshake_is_given_back_once() -> None:
    released: list[str] = []

    async def server(stream: InboundStream) -> None:
        once = InboundStream(stream._stream, stream._codec, stream.address, lambda: released.append("permit"))
        once.handshake_over()
        once.handshake_over()
        await stream.aclose()

    async def client(stream: OutboundStream) -> None:
        assert await stream.receive() is None
        await stream.aclose()

    await talk(server, client)
    assert released == ["permit"]
