"""Both ends of an HTTP/2 connection in memory: ours, and one that writes exact frames or is a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import async_solipsism
import grpclib.client
import pytest
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from ziggurat.services.channel.call import Call
from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.metadata import request_template
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.http2 import HeaderTemplate

RESPONSE = [(":status", "200"), ("content-type", "application/grpc+raw")]


class RawCodec(CodecBase):
    """A message is its bytes."""

    __content_subtype__ = "raw"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class RawChannel(grpclib.client.Channel):
    """Makes calls over the given connections."""

    gzip = False

    def __init__(self, *protocols: ClientProtocol, codec: CodecBase | None = None) -> None:
        super().__init__(codec=codec or RawCodec())
        self.protocols = list(protocols)
        self.content_type = "application/grpc+raw"

    @property
    def protocol(self) -> ClientProtocol:
        """The connection for the next call."""
        first = self.protocols[0]
        return first if len(self.protocols) == 1 or first.accepting else self.protocols[-1]

    async def ready(self, expired: Any = None) -> Any:
        return await self.__connect__()

    def template(self, method_name: str, gzip: bool) -> HeaderTemplate:
        user_agent = self.protocols[-1].options.user_agent
        return request_template("http", method_name, "h", self.content_type, user_agent, gzip=gzip)

    async def __connect__(self) -> ClientProtocol:
        return self.protocol

    def request(self, name: str, cardinality: Any, send: Any, recv: Any, **kwargs: Any) -> Any:
        timeout = kwargs.get("timeout")
        deadline = None if timeout is None else grpclib.metadata.Deadline.from_timeout(timeout)
        return Call(self, name, kwargs.get("metadata"), cardinality, send, recv, deadline)

    def method(self, name: str, cardinality: Cardinality = Cardinality.STREAM_STREAM) -> Any:
        kinds: dict[Cardinality, Any] = {
            Cardinality.UNARY_UNARY: grpclib.client.UnaryUnaryMethod,
            Cardinality.UNARY_STREAM: grpclib.client.UnaryStreamMethod,
            Cardinality.STREAM_UNARY: grpclib.client.StreamUnaryMethod,
            Cardinality.STREAM_STREAM: grpclib.client.StreamStreamMethod,
        }
        return kinds[cardinality](self, name, bytes, bytes)

    def open(self, name: str = "/raw/call", **kwargs: Any) -> Any:
        """A bidirectional call."""
        return self.method(name).open(**kwargs)


class FrameWriter:
    """Makes a server's frames; one HPACK table for the connection."""

    def __init__(self) -> None:
        self.encoder = Encoder()

    def settings(self, values: dict[int, int] | None = None, *, ack: bool = False) -> bytes:
        frame = SettingsFrame(0, settings=values or {})
        if ack:
            frame.flags.add("ACK")
        return frame.serialize()

    def headers(self, stream_id: int, headers: list[tuple[str, str]], *, end: bool = False) -> bytes:
        frame = HeadersFrame(stream_id, self.encoder.encode(headers, huffman=False), flags=["END_HEADERS"])
        if end:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def response(self, stream_id: int, *more: tuple[str, str]) -> bytes:
        return self.headers(stream_id, [*RESPONSE, *more])

    def trailers(self, stream_id: int, status: int = 0, message: str | None = None) -> bytes:
        extra = [] if message is None else [("grpc-message", message)]
        return self.headers(stream_id, [("grpc-status", str(status)), *extra], end=True)

    def data(self, stream_id: int, data: bytes, *, end: bool = False, pad: int | None = None) -> bytes:
        frame = DataFrame(stream_id, data)
        if end:
            frame.flags.add("END_STREAM")
        if pad is not None:
            frame.flags.add("PADDED")
            frame.pad_length = pad
        return frame.serialize()

    def message(self, stream_id: int, body: bytes, *, flag: int = 0, end: bool = False) -> bytes:
        return self.data(stream_id, bytes([flag]) + len(body).to_bytes(4, "big") + body, end=end)

    def reset(self, stream_id: int, code: int = 0) -> bytes:
        return RstStreamFrame(stream_id, code).serialize()

    def goaway(self, last: int, code: int = 0, debug: bytes = b"") -> bytes:
        return GoAwayFrame(0, last, code, debug).serialize()

    def window(self, stream_id: int, size: int) -> bytes:
        return WindowUpdateFrame(stream_id, size).serialize()

    def ping_ack(self, data: bytes) -> bytes:
        return PingFrame(0, data, flags=["ACK"]).serialize()


class Wire(FrameWriter):
    """One client connection over a socket pair in memory.

    Attributes:
        protocol: ours.
        events: what the callbacks were told, in order.
        channel: calls go over `protocol`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.decoder = Decoder()
        self.seen: list[Frame] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.protocols: list[ClientProtocol] = []

    def make_protocol(self, **options: Any) -> ClientProtocol:
        protocol = ClientProtocol(
            ConnectionOptions(**options),
            on_settings=lambda: self.events.append("settings"),
            on_draining=lambda: self.events.append("draining"),
            on_lost=lambda reason: self.events.append(("lost", reason)),
        )
        self.protocols.append(protocol)
        return protocol

    async def connect(self, *, settings: bool = True, capacity: int | None = None, **options: Any) -> None:
        """Connect to a far end whose frames the test writes."""
        near, far = async_solipsism.socketpair(capacity=capacity)
        loop = asyncio.get_running_loop()
        _, self.protocol = await loop.create_connection(lambda: self.make_protocol(**options), sock=near)
        self.reader, self.writer = await asyncio.open_connection(sock=far)
        self.writers.append(self.writer)
        self.channel = RawChannel(self.protocol)
        self.channel.gzip = self.protocol.options.compression == "gzip"
        if settings:
            self.writer.write(self.settings())
            await self.until(lambda: self.protocol.settings_received)

    def go_deaf(self) -> None:
        """Stop reading, like a peer that is gone."""
        self.writer.transport.pause_reading()

    async def serve(self, factory: Callable[[], asyncio.BaseProtocol], **options: Any) -> RawChannel:
        """Connect to a real server's protocol."""
        near, far = async_solipsism.socketpair()
        loop = asyncio.get_running_loop()
        await loop.create_connection(factory, sock=far)
        _, self.protocol = await loop.create_connection(lambda: self.make_protocol(**options), sock=near)
        self.channel = RawChannel(self.protocol)
        self.channel.gzip = self.protocol.options.compression == "gzip"
        return self.channel

    async def send(self, *frames: bytes) -> None:
        """Write all frames as one segment, and let the client read it."""
        self.writer.write(b"".join(frames))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait, one cycle of the loop at a time, until a condition holds."""
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come to pass")

    async def next_frame(self) -> Frame:
        """Return the client's next frame."""
        while True:
            if not self.seen and not getattr(self, "_preface", False):
                assert await self.reader.readexactly(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                self._preface = True
            frame, length = Frame.parse_frame_header(memoryview(await self.reader.readexactly(9)))
            frame.parse_body(memoryview(await self.reader.readexactly(length)))
            self.seen.append(frame)
            return frame

    async def expect(self, kind: type[Frame], stream_id: int | None = None) -> Any:
        """Return the client's next frame of this kind, skipping others."""
        while True:
            frame = await self.next_frame()
            if isinstance(frame, HeadersFrame):
                frame.decoded = self.decoder.decode(frame.data)  # type: ignore[attr-defined]
            if isinstance(frame, kind) and stream_id in (None, frame.stream_id):
                return frame

    async def aclose(self) -> None:
        for protocol in self.protocols:
            protocol.abort()
        for writer in self.writers:
            writer.close()
        for protocol in self.protocols:
            if protocol._transport is not None:
                await protocol.lost.wait()
        await self.settle()


class RawService:
    """Handlers over bytes, one for each kind of call."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.request_headers: dict[str, str] = {}

    async def echo(self, stream: Any) -> None:
        self.request_headers = dict(stream._stream.headers or ())
        await stream.send_message(await stream.recv_message())

    async def talk(self, stream: Any) -> None:
        try:
            async for message in stream:
                await stream.send_message(message)
        except BaseException as error:
            self.errors.append(error)
            raise

    async def count(self, stream: Any) -> None:
        size = 0
        async for message in stream:
            size += len(message)
        await stream.send_message(str(size).encode())

    async def flood(self, stream: Any) -> None:
        count, size = map(int, (await stream.recv_message()).split())
        for _ in range(count):
            await stream.send_message(bytes(size))

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/raw/echo": Handler(self.echo, Cardinality.UNARY_UNARY, bytes, bytes),
            "/raw/talk": Handler(self.talk, Cardinality.STREAM_STREAM, bytes, bytes),
            "/raw/count": Handler(self.count, Cardinality.STREAM_UNARY, bytes, bytes),
            "/raw/flood": Handler(self.flood, Cardinality.UNARY_STREAM, bytes, bytes),
        }


@pytest.fixture
async def wire(anyio_backend: object) -> AsyncIterator[Wire]:
    ends = Wire()
    yield ends
    await ends.aclose()


@pytest.fixture
def frames() -> FrameWriter:
    return FrameWriter()


@pytest.fixture
def raw_service() -> RawService:
    return RawService()


@pytest.fixture
def raw_codec() -> RawCodec:
    return RawCodec()


@pytest.fixture
def raw_channel() -> type[RawChannel]:
    return RawChannel
