"""grpcio's client against a grpclib server with our CompressionMixin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import anyio
import pytest
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from ziggurat.layers.testing.loopback import serve_loopback
from ziggurat.layers.testing.socks5_server import relay
from ziggurat.services import WrappedStream
from ziggurat.services.channel.protocol import Protocol
from ziggurat.services.channel.server import CompressionMixin

grpc = pytest.importorskip("grpc", reason="grpcio is not installed (pip install '.[interop]')")

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MIB = 1024 * 1024
GZIP = [None, "gzip"]


class GzipServer(CompressionMixin, Server):
    """The documented server. It records its connections, since grpclib's ``close()`` leaves them open."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.protocols: list[Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self.protocols.append(cast(Protocol, protocol))
        return protocol


class Echo:
    """A service with all four kinds of calls."""

    async def say(self, stream: Stream[BytesValue, BytesValue]) -> None:
        request = await stream.recv_message()
        assert request is not None
        await stream.send_initial_metadata(metadata={"x-initial": "first"})
        await stream.send_message(request)
        await stream.send_trailing_metadata(metadata={"x-trailing": (stream.metadata or {}).get("x-mine", "none")})

    async def upload(self, stream: Stream[BytesValue, Int64Value]) -> None:
        await stream.send_message(Int64Value(value=sum([len(message.value) async for message in stream])))

    async def download(self, stream: Stream[Int64Value, BytesValue]) -> None:
        request = await stream.recv_message()
        assert request is not None
        for number in range(request.value):
            await stream.send_message(BytesValue(value=number.to_bytes(4, "big") * 1000))

    async def talk(self, stream: Stream[BytesValue, BytesValue]) -> None:
        async for message in stream:
            await stream.send_message(message)

    async def fail(self, stream: Stream[BytesValue, BytesValue]) -> None:
        raise GRPCError(Status.FAILED_PRECONDITION, "ungünstig: 100 %")

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/test.Echo/Say": Handler(self.say, Cardinality.UNARY_UNARY, BytesValue, BytesValue),
            "/test.Echo/Upload": Handler(self.upload, Cardinality.STREAM_UNARY, BytesValue, Int64Value),
            "/test.Echo/Download": Handler(self.download, Cardinality.UNARY_STREAM, Int64Value, BytesValue),
            "/test.Echo/Talk": Handler(self.talk, Cardinality.STREAM_STREAM, BytesValue, BytesValue),
            "/test.Echo/Fail": Handler(self.fail, Cardinality.UNARY_UNARY, BytesValue, BytesValue),
        }


class Client:
    """grpcio's channel with the methods that its generated stub would have."""

    def __init__(self, channel: Any) -> None:
        say, upload, download, talk, fail = (f"/test.Echo/{n}" for n in ("Say", "Upload", "Download", "Talk", "Fail"))

        def codec(reply: type[BytesValue | Int64Value]) -> dict[str, Any]:
            return {"request_serializer": lambda m: m.SerializeToString(), "response_deserializer": reply.FromString}

        self.say = channel.unary_unary(say, **codec(BytesValue))
        self.upload = channel.stream_unary(upload, **codec(Int64Value))
        self.download = channel.unary_stream(download, **codec(BytesValue))
        self.talk = channel.stream_stream(talk, **codec(BytesValue))
        self.fail = channel.unary_unary(fail, **codec(BytesValue))


@asynccontextmanager
async def listening(server: GzipServer) -> AsyncIterator[int]:
    """Serve for the duration of the block and close all connections; yields the port."""
    await server.start("127.0.0.1", 0)
    try:
        yield server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    finally:
        server.close()
        for protocol in server.protocols:
            await protocol.aclose()
        await server.wait_closed()


@asynccontextmanager
async def calling(port: int, theirs: str | None) -> AsyncIterator[Client]:
    """Connect a grpcio client that compresses with ``theirs``."""
    compression = grpc.Compression.Gzip if theirs else grpc.Compression.NoCompression
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options, compression=compression) as channel:
        yield Client(channel)


@asynccontextmanager
async def serving(ours: Literal["gzip"] | None, theirs: str | None, **settings: Any) -> AsyncIterator[Client]:
    """Run our server, which compresses with ``ours``, and a grpcio client, which compresses with ``theirs``."""
    async with listening(GzipServer([Echo()], compression=ours, **settings)) as port, calling(port, theirs) as client:
        yield client


@pytest.mark.parametrize("theirs", GZIP)
@pytest.mark.parametrize("ours", GZIP)
async def test_all_four_kinds_of_calls(ours: Literal["gzip"] | None, theirs: str | None) -> None:
    messages = [BytesValue(value=bytes([n]) * n * 10_000) for n in range(8)]
    async with serving(ours, theirs) as client:
        assert (await client.say(messages[7])).value == messages[7].value
        assert (await client.upload(iter(messages))).value == sum(len(message.value) for message in messages)
        numbers = [m.value[:4] async for m in client.download(Int64Value(value=200))]
        assert numbers == [n.to_bytes(4, "big") for n in range(200)]
        assert [m.value async for m in client.talk(iter(messages))] == [m.value for m in messages]


async def test_messages_are_compressed_only_if_requested() -> None:
    """grpcio hides the header, so the bytes on the wire are counted."""
    assert await bytes_on_the_wire(None, None) > 2 * MIB
    assert MIB < await bytes_on_the_wire("gzip", None) < 1.1 * MIB
    assert await bytes_on_the_wire("gzip", "gzip") < 0.1 * MIB


async def bytes_on_the_wire(ours: Literal["gzip"] | None, theirs: str | None) -> int:
    """Return the bytes that an echo of one MiB of zeros takes, both ways."""
    streams: list[WrappedStream] = []

    async def forward(near: ByteStream) -> None:
        async with WrappedStream(await anyio.connect_tcp("127.0.0.1", port)) as far:
            streams.append(far)
            await relay(near, far)

    server = GzipServer([Echo()], compression=ours)
    async with listening(server) as port, serve_loopback(forward) as relayed, calling(relayed, theirs) as client:
        await client.say(BytesValue(value=bytes(MIB)))
        return sum(stream.bytes_sent + stream.bytes_received for stream in streams)


async def test_metadata_and_status() -> None:
    async with serving("gzip", "gzip") as client:
        call = client.say(BytesValue(value=b"x"), metadata=(("x-mine", "yes"),))
        assert dict(await call.initial_metadata())["x-initial"] == "first"
        assert dict(await call.trailing_metadata())["x-trailing"] == "yes"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.fail(BytesValue())

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "ungünstig: 100 %"


@pytest.mark.parametrize("theirs", GZIP)
async def test_the_client_gets_the_error_of_a_message_beyond_the_limit(theirs: str | None) -> None:
    async with serving(None, theirs, max_message_size=MIB) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.say(BytesValue(value=bytes(8 * MIB)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "max_message_size" in caught.value.details()
        assert (await client.say(BytesValue(value=b"x"))).value == b"x"


@pytest.mark.parametrize("theirs", GZIP)
async def test_large_messages(theirs: str | None) -> None:
    size = 16 * MIB
    async with serving("gzip", theirs) as client:
        assert len((await client.say(BytesValue(value=bytes(size)))).value) == size


async def test_the_clients_deadline() -> None:
    async def never() -> AsyncIterator[BytesValue]:
        yield BytesValue(value=b"first")
        await asyncio.Event().wait()

    async with serving(None, None) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.upload(never(), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await client.say(BytesValue(value=b"x"))).value == b"x"
