"""The sides of a gRPC comparison: grpclib as it is, grpclib over our connector in two ways, and grpcio."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias

import structlog
from anyio.abc import ByteStream
from bench_service import DOWNLOAD, MIB, UNARY, UPLOAD, BytesValue, Int64Value
from grpclib.client import Channel, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod

from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Layer, Stack
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services.channel import Endpoint
from ziggurat.services.service import Connector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = ["Client", "GrpclibClient", "OpenClient", "five_layers", "grpcio", "handed_over", "opened", "plain", "pumped"]

PAYLOAD = BytesValue(value=bytes(range(256)) * (MIB // 256))
REQUEST = BytesValue(value=b"0123456789abcdef")


def five_layers() -> tuple[Layer, ...]:
    """What a careful user stacks; none of them wraps our own stream."""
    return (
        LoggingLayer(logger=silent_logger()),
        TimeoutLayer(10.0, "dial"),
        ConcurrencyLimitLayer(1000),
        KeepAliveLayer(30.0),
        NoDelayLayer(),
    )


def silent_logger() -> structlog.typing.FilteringBoundLogger:
    """A structlog logger that drops everything below CRITICAL, as a program in production may set it."""
    drop = structlog.make_filtering_bound_logger(logging.CRITICAL)
    return structlog.wrap_logger(None, processors=[], wrapper_class=drop)


class ForeignStream(ByteStream):
    """A user's wrapper, which the channel knows nothing about and so has to pump."""

    def __init__(self, inner: ByteStream) -> None:
        self.inner = inner

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self.inner.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        await self.inner.send(item)

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        await self.inner.aclose()


class ForeignLayer:
    """Wraps what the connector below opens in a `ForeignStream`."""

    def layer(self, inner: Connector, /) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            return ForeignStream(await inner(uri))

        return connect


class Client:
    """One side: the calls that are measured."""

    async def unary(self) -> None:
        raise NotImplementedError

    async def download(self, count: int) -> None:
        raise NotImplementedError

    async def upload(self, count: int) -> None:
        raise NotImplementedError


class GrpclibClient(Client):
    """Calls over a grpclib channel, whoever made it, as generated stubs do them."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._unary = UnaryUnaryMethod(channel, UNARY, BytesValue, BytesValue)
        self._download = UnaryStreamMethod(channel, DOWNLOAD, Int64Value, BytesValue)
        self._upload = StreamUnaryMethod(channel, UPLOAD, BytesValue, Int64Value)

    async def unary(self) -> None:
        await self._unary(REQUEST)

    async def download(self, count: int) -> None:
        async with self._download.open() as stream:
            await stream.send_message(Int64Value(value=count), end=True)
            received = 0
            async for message in stream:
                assert message.ByteSize() > MIB  # not message.value, which is a copy
                received += 1
        assert received == count

    async def upload(self, count: int) -> None:
        async with self._upload.open() as stream:
            for _ in range(count):
                await stream.send_message(PAYLOAD)
            await stream.end()
            reply = await stream.recv_message()
        assert reply is not None
        assert reply.value == count * MIB


class GrpcioClient(Client):
    """The same calls over grpcio's asyncio channel."""

    def __init__(self, channel: object) -> None:
        write, read, size = BytesValue.SerializeToString, BytesValue.FromString, Int64Value
        self._unary = channel.unary_unary(UNARY, write, read)
        self._download = channel.unary_stream(DOWNLOAD, size.SerializeToString, read)
        self._upload = channel.stream_unary(UPLOAD, write, size.FromString)

    async def unary(self) -> None:
        await self._unary(REQUEST)

    async def download(self, count: int) -> None:
        received = 0
        async for message in self._download(Int64Value(value=count)):
            assert message.ByteSize() > MIB  # not message.value, which is a copy
            received += 1
        assert received == count

    async def upload(self, count: int) -> None:
        call = self._upload()
        for _ in range(count):
            await call.write(PAYLOAD)
        await call.done_writing()
        assert (await call).value == count * MIB


OpenClient: TypeAlias = Callable[[int, AsyncExitStack], Awaitable[Client]]
"""Opens one side to a port; the exit stack closes it."""


async def plain(port: int, stack: AsyncExitStack) -> Client:
    """grpclib's own channel."""
    channel = Channel("127.0.0.1", port)
    stack.callback(channel.close)
    return GrpclibClient(channel)


async def handed_over(port: int, stack: AsyncExitStack) -> Client:
    """Ours with five layers, where the channel takes the transport over."""
    connector = Stack(five_layers(), TcpConnector())
    return GrpclibClient(await stack.enter_async_context(Endpoint(f"http://127.0.0.1:{port}").connect(connector)))


async def pumped(port: int, stack: AsyncExitStack) -> Client:
    """Ours with five layers under a stream that is not ours, which the channel pumps."""
    connector = Stack((ForeignLayer(), *five_layers()), TcpConnector())
    return GrpclibClient(await stack.enter_async_context(Endpoint(f"http://127.0.0.1:{port}").connect(connector)))


async def grpcio(port: int, stack: AsyncExitStack) -> Client:
    """grpcio's asyncio channel."""
    import grpc.aio

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return GrpcioClient(await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)))


@asynccontextmanager
async def opened(port: int, sides: dict[str, OpenClient]) -> AsyncIterator[dict[str, Client]]:
    """All sides at once, each connected and used once."""
    async with AsyncExitStack() as stack:
        clients = {name: await open_client(port, stack) for name, open_client in sides.items()}
        for client in clients.values():
            await client.unary()
        yield clients
