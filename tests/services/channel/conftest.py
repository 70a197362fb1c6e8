"""Servers for the channel's tests: a grpclib server over in-memory streams, with a service without generated code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.client import StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.protocol import H2Protocol
from grpclib.server import Server
from grpclib.server import Stream as Call

from ziggurat.layers.testing import MemoryStream, stream_pair
from ziggurat.services import Uri, dial, phase
from ziggurat.services.channel.channel import Channel
from ziggurat.services.stream_transport import StreamTransport


class EchoService:
    """An echo service.

    Attributes:
        headers: the headers of the last call.
        deadlines: the seconds left of each ``Say``.
        release: lets ``Hold`` reply.
        holding: set when ``Hold`` has its request.
    """

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.deadlines: list[float | None] = []
        self.release = asyncio.Event()
        self.holding = asyncio.Event()

    async def say(self, stream: Call[BytesValue, BytesValue]) -> None:
        self.deadlines.append(None if stream.deadline is None else stream.deadline.time_remaining())
        await stream.send_message(await stream.recv_message())

    async def hold(self, stream: Call[BytesValue, BytesValue]) -> None:
        message = await stream.recv_message()
        self.holding.set()
        await self.release.wait()
        await stream.send_message(message)

    async def talk(self, stream: Call[BytesValue, BytesValue]) -> None:
        async for message in stream:
            await stream.send_message(message)

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/test.Echo/Say": Handler(self.say, Cardinality.UNARY_UNARY, BytesValue, BytesValue),
            "/test.Echo/Hold": Handler(self.hold, Cardinality.UNARY_UNARY, BytesValue, BytesValue),
            "/test.Echo/Talk": Handler(self.talk, Cardinality.STREAM_STREAM, BytesValue, BytesValue),
        }


class EchoStub:
    """A stub like those of protoc's grpclib plugin."""

    def __init__(self, channel: Channel) -> None:
        self.say = UnaryUnaryMethod(channel, "/test.Echo/Say", BytesValue, BytesValue)
        self.hold = UnaryUnaryMethod(channel, "/test.Echo/Hold", BytesValue, BytesValue)
        self.unknown = UnaryUnaryMethod(channel, "/test.Echo/Unknown", BytesValue, BytesValue)
        self.talk = StreamStreamMethod(channel, "/test.Echo/Talk", BytesValue, BytesValue)


async def echo(channel: Channel, value: bytes = b"hello", timeout: float | None = None) -> bytes:
    """Make one call on ``channel``."""
    reply = await EchoStub(channel).say(BytesValue(value=value), timeout=timeout)
    return reply.value


class MemoryServer:
    """A connector and the grpclib server behind it.

    Attributes:
        dials: number of dials.
        cancelled: number of cancelled dials.
        delay: duration of a dial in seconds.
        error: raised by dials unless ``None``.
        play: replaces the server if set.
        tls_host: the host of a ``tls`` phase, if set.
        near, far: the ends of each opened stream.
    """

    def __init__(self) -> None:
        self.service = EchoService()
        self.server = Server([self.service])
        self.dials = 0
        self.cancelled = 0
        self.delay = 0.0
        self.error: Exception | None = None
        self.play: Callable[[ByteStream], Awaitable[None]] | None = None
        self.tls_host: str | None = None
        self.near: list[MemoryStream] = []
        self.far: list[MemoryStream] = []
        self.transports: list[StreamTransport] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self.dials += 1
        with dial(uri) as current:
            with phase("memory"):
                try:
                    await asyncio.sleep(self.delay)
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
                if self.error is not None:
                    raise self.error
            near, far = stream_pair()
            self.near.append(near)
            self.far.append(far)
            if self.play is None:
                self.transports.append(StreamTransport(far, self._serve()))
            else:
                self.tasks.append(asyncio.create_task(self._play(far)))
            if self.tls_host is not None:
                with phase("tls", via=self.tls_host):
                    await asyncio.sleep(0)
            return current.established(near)

    def _serve(self) -> H2Protocol:
        protocol = self.server._protocol_factory()
        accept = protocol.handler.accept

        def look(stream: object, headers: Any, release_stream: Callable[[], None]) -> None:
            self.service.headers = dict(headers)
            accept(stream, headers, release_stream)  # type: ignore[arg-type]

        protocol.handler.accept = look  # type: ignore[method-assign,assignment]
        return protocol

    async def _play(self, far: MemoryStream) -> None:
        assert self.play is not None
        try:
            await self.play(far)
        finally:
            await far.aclose()

    async def aclose(self) -> None:
        for transport in self.transports:
            transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def open(self) -> int:
        """Number of near ends that are open."""
        return sum(not stream.closed for stream in self.near)


@pytest.fixture
async def far_end(anyio_backend: object) -> object:
    server = MemoryServer()
    yield server
    await server.aclose()


@pytest.fixture
def say() -> object:
    return echo


@pytest.fixture
def make_stub() -> object:
    return EchoStub


@pytest.fixture
def echo_service() -> object:
    return EchoService


@pytest.fixture
def memory_server() -> object:
    return MemoryServer
