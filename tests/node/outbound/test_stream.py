"""`OutboundStream` against a plain grpclib server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from tests.node.nodes import at, dial_and_run
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.testing import MemoryNetwork
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, PingMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM, LossReason, StreamLost

pytestmark = pytest.mark.asyncio_only

PEER = at("10.0.0.2")
PING = KaspadMessage(ping=PingMessage(nonce=1))
Serving = Callable[["Stream[KaspadMessage, KaspadMessage]"], Awaitable[None]]


class Service:
    def __init__(self, serve: Serving, path: str) -> None:
        self.mapping = {path: Handler(serve, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)}

    def __mapping__(self) -> dict[str, Handler]:
        return self.mapping


@asynccontextmanager
async def served(serve: Serving, path: str = MESSAGE_STREAM) -> AsyncIterator[ConnectionHandler]:
    network = MemoryNetwork()
    listener = network.host("10.0.0.2").listener(16611)
    protocols = []

    def protocol() -> object:
        protocols.append(server._protocol_factory())
        return protocols[-1]

    server = Server([Service(serve, path)])
    await listener.start(protocol)  # type: ignore[arg-type]
    yield ConnectionHandler(leaf=network.host("10.0.0.1"), max_message_size=1000)
    for made in protocols:
        made.processor.close("over")
    await anyio.sleep(5)


async def nothing(stream: OutboundStream) -> None:
    raise AssertionError("the stream opened")


async def test_a_busy_peer_is_a_transient_failure() -> None:
    async def busy(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many pending inbound handshakes")

    async with served(busy) as handler:
        with pytest.raises(HandshakeError) as caught:
            await dial_and_run(handler, PEER, nothing)
    assert caught.value.kind is Kind.BUSY
    assert caught.value.transient
    assert caught.value.hint == "try again later"


async def test_a_server_without_the_p2p_service_is_rejected_for_good() -> None:
    async def serve(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        raise GRPCError(Status.UNIMPLEMENTED)

    async with served(serve) as handler:
        with pytest.raises(HandshakeError, match="it has no Kaspa P2P service") as caught:
            await dial_and_run(handler, PEER, nothing)
    assert not caught.value.transient
    assert caught.value.hint == "is this its P2P port?"


async def test_a_peer_that_hangs_up_before_its_headers_is_a_transient_failure() -> None:
    async def serve(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        await stream.cancel()

    async with served(serve) as handler:
        with pytest.raises(HandshakeError) as caught:
            await dial_and_run(handler, PEER, nothing)
    assert caught.value.kind is Kind.CLOSED
    assert caught.value.transient


async def test_messages_come_until_the_end_and_a_bad_status_is_an_error() -> None:
    async def serve(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        await stream.send_message(PING)
        raise GRPCError(Status.INTERNAL, "it broke")

    async def talk(stream: OutboundStream) -> None:
        assert await stream.receive() == PING
        with pytest.raises(StreamLost, match="INTERNAL: it broke") as caught:
            await stream.receive()
        assert caught.value.reason is LossReason.STATUS
        with pytest.raises(StreamLost):
            await stream.send(PING)
        await stream.aclose()

    async with served(serve) as handler:
        await dial_and_run(handler, PEER, talk)


async def test_a_message_beyond_our_own_limit_is_too_large_and_not_busy() -> None:
    async def serve(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        await stream.send_initial_metadata()
        await stream._stream.send_data(b"\0\0\0\x13\x88" + bytes(5000))
        await stream.recv_message()

    async def talk(stream: OutboundStream) -> None:
        with pytest.raises(StreamLost, match="max_message_size") as caught:
            await stream.receive()
        assert caught.value.reason is LossReason.TOO_LARGE
        await stream.aclose()

    async with served(serve) as handler:
        await dial_and_run(handler, PEER, talk)


async def test_closing_ends_our_side_and_may_be_repeated() -> None:
    ended = anyio.Event()

    async def serve(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        await stream.send_initial_metadata()
        assert await stream.recv_message() == PING
        assert await stream.recv_message() is None
        ended.set()

    async def talk(stream: OutboundStream) -> None:
        await stream.send(PING)
        await stream.aclose()
        await stream.aclose()

    async with served(serve) as handler:
        await dial_and_run(handler, PEER, talk)
        await ended.wait()


async def test_a_message_that_is_not_protobuf_is_an_error() -> None:
    async def serve(stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        await stream.send_initial_metadata()
        await stream._stream.send_data(b"\0\0\0\0\1\xff")
        await stream.recv_message()

    async def talk(stream: OutboundStream) -> None:
        with pytest.raises(StreamLost, match="a message is not protobuf"):
            await stream.receive()
        await stream.aclose()

    async with served(serve) as handler:
        await dial_and_run(handler, PEER, talk)
