"""The sides of a gRPC comparison: plain grpclib, grpclib over our connector in two ways, and grpcio."""

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
    """Return a typical stack; none of its layers wraps our own stream."""
    return (
        LoggingLayer(logger=silent_logger()),
        TimeoutLayer(10.0, "dial"),
        ConcurrencyLimitLayer(1000),
        KeepAliveLayer(30.0),
        NoDelayLayer(),
    )


def silent_logger() -> structlog.typing.FilteringBoundLogger:
    """Return a structlog logger that drops everything below CRITICAL, as in production."""
    drop = structlog.make_filtering_bound_logger(logging.CRITICAL)
    return structlog.wrap_logger(None, processors=[], wrapper_class=drop)


class ForeignStream(ByteStream):
    """A user's wrapper, which is unknown to the channel and so has to be pumped."""

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
    """Wraps the stream of the connector below in a `ForeignStream`."""

    def layer(self, inner: Connector, /) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            return ForeignStream(await inner(uri))

        return connect


class Client:
    """One side of a comparison, with the measured calls."""

    async def unary(self) -> None:
        raise NotImplementedError

    async def download(self, count: int) -> None:
        raise NotImplementedError

    async def upload(self, count: int) -> None:
        raise NotImplementedError


class GrpclibClient(Client):
    """Calls over any grpclib channel, as generated stubs make them."""

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
"""Connects one side to a port; the exit stack closes it."""


async def plain(port: int, stack: AsyncExitStack) -> Client:
    """Connect grpclib's own channel."""
    channel = Channel("127.0.0.1", port)
    stack.callback(channel.close)
    return GrpclibClient(channel)


async def handed_over(port: int, stack: AsyncExitStack) -> Client:
    """Connect our channel with five layers, where the transport is handed over."""
    connector = Stack(five_layers(), TcpConnector())
    return GrpclibClient(await stack.enter_async_context(Endpoint(f"http://127.0.0.1:{port}").connect(connector)))


async def pumped(port: int, stack: AsyncExitStack) -> Client:
    """Connect our channel with five layers below a foreign stream, which is pumped."""
    connector = Stack((ForeignLayer(), *five_layers()), TcpConnector())
    return GrpclibClient(await stack.enter_async_context(Endpoint(f"http://127.0.0.1:{port}").connect(connector)))


async def grpcio(port: int, stack: AsyncExitStack) -> Client:
    """Connect grpcio's asyncio channel."""
    import grpc.aio

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return GrpcioClient(await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)))


@asynccontextmanager
async def opened(port: int, sides: dict[str, OpenClient]) -> AsyncIterator[dict[str, Client]]:
    """Connect all sides and use each once."""
    async with AsyncExitStack() as stack:
        clients = {name: await open_client(port, stack) for name, open_client in sides.items()}
        for client in clients.values():
            await client.unary()
        yield clients
