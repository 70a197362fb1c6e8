"""The sides of a gRPC comparison: plain grpclib, our channel in several ways, and grpcio."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import structlog
from anyio.abc import ByteStream
from bench_service import DOWNLOAD, IDLE, MANY, MIB, SMALL, UNARY, UPLOAD, BytesValue, Int64Value
from grpclib.client import Channel, StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.events import SendRequest, listen

from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Layer, Stack
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer
from ziggurat.services.channel import Endpoint
from ziggurat.services.service import Connector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = [
    "Client",
    "GrpclibClient",
    "OpenClient",
    "five_layers",
    "grpcio",
    "handed_over",
    "listened_to",
    "opened",
    "plain",
    "pumped",
]

PAYLOAD = BytesValue(value=bytes(range(256)) * (MIB // 256))
SMALL_PAYLOAD = BytesValue(value=bytes(range(SMALL)))
REQUEST = BytesValue(value=b"0123456789abcdef")
TIMEOUT = 10.0
METADATA = (("x-request-id", "7b4c0c9e-5d0e-4a5c-9d5f-3f0f6f1f9a52"), ("x-tenant", "benchmarks"))


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

    async def unary_with_metadata(self) -> None:
        """A unary call with a timeout and two fields of metadata."""
        raise NotImplementedError

    async def download(self, count: int) -> None:
        raise NotImplementedError

    async def upload(self, count: int) -> None:
        raise NotImplementedError

    async def receive(self, count: int) -> None:
        """A server stream of small messages."""
        raise NotImplementedError

    async def send(self, count: int) -> None:
        """A client stream of small messages."""
        raise NotImplementedError

    async def pipeline(self, count: int) -> None:
        """A stream both ways: one task sends, one receives the echo."""
        raise NotImplementedError

    async def ping_pong(self, count: int) -> None:
        """A stream both ways: each message is sent when the echo of the one before has come."""
        raise NotImplementedError


class GrpclibClient(Client):
    """Calls over any grpclib channel, as generated stubs make them."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._unary = UnaryUnaryMethod(channel, UNARY, BytesValue, BytesValue)
        self._download = UnaryStreamMethod(channel, DOWNLOAD, Int64Value, BytesValue)
        self._many = UnaryStreamMethod(channel, MANY, Int64Value, BytesValue)
        self._upload = StreamUnaryMethod(channel, UPLOAD, BytesValue, Int64Value)
        self._echo = StreamStreamMethod(channel, IDLE, BytesValue, BytesValue)

    async def unary(self) -> None:
        await self._unary(REQUEST)

    async def unary_with_metadata(self) -> None:
        await self._unary(REQUEST, timeout=TIMEOUT, metadata=METADATA)

    async def download(self, count: int) -> None:
        async with self._download.open() as stream:
            await stream.send_message(Int64Value(value=count), end=True)
            received, message = 0, BytesValue()
            async for message in stream:  # noqa: B007
                received += 1
        assert (received, len(message.value)) == (count, MIB)  # of each, it would cost more than the client itself

    async def receive(self, count: int) -> None:
        async with self._many.open() as stream:
            await stream.send_message(Int64Value(value=count), end=True)
            received = 0
            async for _ in stream:
                received += 1
        assert received == count

    async def upload(self, count: int) -> None:
        await self._send(PAYLOAD, count)

    async def send(self, count: int) -> None:
        await self._send(SMALL_PAYLOAD, count)

    async def _send(self, payload: BytesValue, count: int) -> None:
        async with self._upload.open() as stream:
            for _ in range(count):
                await stream.send_message(payload)
            await stream.end()
            reply = await stream.recv_message()
        assert reply is not None
        assert reply.value == count * len(payload.value)

    async def pipeline(self, count: int) -> None:
        async with self._echo.open() as stream:
            await stream.send_request()

            async def send() -> None:
                for _ in range(count):
                    await stream.send_message(SMALL_PAYLOAD)
                await stream.end()

            sending = asyncio.create_task(send())
            received = 0
            async for _ in stream:
                received += 1
            await sending
        assert received == count

    async def ping_pong(self, count: int) -> None:
        async with self._echo.open() as stream:
            for _ in range(count):
                await stream.send_message(SMALL_PAYLOAD)
                await stream.recv_message()
            await stream.end()


class GrpcioClient(Client):
    """The same calls over grpcio's asyncio channel."""

    def __init__(self, channel: Any) -> None:
        write, read, size = BytesValue.SerializeToString, BytesValue.FromString, Int64Value
        self._unary = channel.unary_unary(UNARY, write, read)
        self._download = channel.unary_stream(DOWNLOAD, size.SerializeToString, read)
        self._many = channel.unary_stream(MANY, size.SerializeToString, read)
        self._upload = channel.stream_unary(UPLOAD, write, size.FromString)
        self._echo = channel.stream_stream(IDLE, write, read)

    async def unary(self) -> None:
        await self._unary(REQUEST)

    async def unary_with_metadata(self) -> None:
        await self._unary(REQUEST, timeout=TIMEOUT, metadata=METADATA)

    async def download(self, count: int) -> None:
        received, message = 0, BytesValue()
        async for message in self._download(Int64Value(value=count)):  # noqa: B007
            received += 1
        assert (received, len(message.value)) == (count, MIB)

    async def receive(self, count: int) -> None:
        received = 0
        async for _ in self._many(Int64Value(value=count)):
            received += 1
        assert received == count

    async def upload(self, count: int) -> None:
        await self._send(PAYLOAD, count)

    async def send(self, count: int) -> None:
        await self._send(SMALL_PAYLOAD, count)

    async def _send(self, payload: BytesValue, count: int) -> None:
        call = self._upload()
        for _ in range(count):
            await call.write(payload)
        await call.done_writing()
        assert (await call).value == count * len(payload.value)

    async def pipeline(self, count: int) -> None:
        call = self._echo()

        async def send() -> None:
            for _ in range(count):
                await call.write(SMALL_PAYLOAD)
            await call.done_writing()

        sending = asyncio.create_task(send())
        received = 0
        async for _ in call:
            received += 1
        await sending
        assert received == count

    async def ping_pong(self, count: int) -> None:
        call = self._echo()
        for _ in range(count):
            await call.write(SMALL_PAYLOAD)
            await call.read()
        await call.done_writing()
        assert (await call.code()).value[0] == 0


OpenClient: TypeAlias = Callable[[int, AsyncExitStack, str | None], Awaitable[Client]]
"""Connects one side to a port; the exit stack closes it. With the PEM file of an authority, over TLS."""


async def plain(port: int, stack: AsyncExitStack, authority: str | None = None) -> Client:
    """Connect grpclib's own channel.

    Args:
        port: the server's.
        stack: closes it.
        authority: the PEM file of the authority to trust, for TLS; ``None`` for clear text.
    """
    channel = Channel("localhost" if authority else "127.0.0.1", port, ssl=client_context(authority))
    stack.callback(channel.close)
    return GrpclibClient(channel)


async def handed_over(port: int, stack: AsyncExitStack, authority: str | None = None) -> GrpclibClient:
    """Connect our channel with five layers, where the transport is handed over. The arguments are those of `plain`."""
    return await _ours(five_layers(), port, stack, authority)


async def listened_to(port: int, stack: AsyncExitStack, authority: str | None = None) -> Client:
    """Connect the same, with a listener of grpclib's events that does nothing."""
    client = await handed_over(port, stack, authority)
    listen(client.channel, SendRequest, _on_request)
    return client


async def _on_request(event: SendRequest) -> None:
    pass


async def pumped(port: int, stack: AsyncExitStack, authority: str | None = None) -> Client:
    """Connect our channel with five layers below a foreign stream, which is pumped."""
    return await _ours((ForeignLayer(), *five_layers()), port, stack, authority)


async def _ours(layers: tuple[Layer, ...], port: int, stack: AsyncExitStack, authority: str | None) -> GrpclibClient:
    uri = f"http://127.0.0.1:{port}"
    context = client_context(authority)
    if context is not None:
        uri, layers = f"https://localhost:{port}", (TlsLayer(context), *layers)
    connector = Stack(layers, TcpConnector())
    return GrpclibClient(await stack.enter_async_context(Endpoint(uri).connect(connector)))


async def grpcio(port: int, stack: AsyncExitStack, authority: str | None = None) -> Client:
    """Connect grpcio's asyncio channel."""
    import grpc
    import grpc.aio

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if authority is None:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
    else:
        credentials = grpc.ssl_channel_credentials(_read(authority))
        channel = grpc.aio.secure_channel(f"localhost:{port}", credentials, options)
    return GrpcioClient(await stack.enter_async_context(channel))


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def client_context(authority: str | None) -> ssl.SSLContext | None:
    """Return a client's context for HTTP/2; ``None`` without an authority."""
    if authority is None:
        return None
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    return context


@asynccontextmanager
async def opened(
    port: int, sides: dict[str, OpenClient], authority: str | None = None
) -> AsyncIterator[dict[str, Client]]:
    """Connect all sides and use each once."""
    async with AsyncExitStack() as stack:
        clients = {name: await open_client(port, stack, authority) for name, open_client in sides.items()}
        for client in clients.values():
            await client.unary()
        yield clients
