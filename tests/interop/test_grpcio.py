"""Our channel against grpcio's server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Literal

import anyio
import pytest
from anyio import to_thread
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.interop.grpcio_echo import EchoStub, grpcio_echo
from ziggurat.services import ChannelState, Endpoint, TcpConnector, Uri

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MIB = 1024 * 1024
GZIP = [None, "gzip"]


def endpoint(port: int, **settings: Any) -> Endpoint:
    return Endpoint(f"http://127.0.0.1:{port}", **settings)


@pytest.mark.parametrize("theirs", GZIP)
@pytest.mark.parametrize("ours", GZIP)
async def test_all_four_kinds_of_calls(ours: Literal["gzip"] | None, theirs: str | None) -> None:
    messages = [BytesValue(value=random.Random(n).randbytes(n * 5000) + bytes(n * 5000)) for n in range(8)]
    with grpcio_echo(compression=theirs) as server:
        async with endpoint(server.port, compression=ours).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)

            assert (await stub.say(messages[7])).value == messages[7].value
            assert (await stub.upload(messages)).value == sum(len(message.value) for message in messages)
            assert [m.value[:4] for m in await stub.download(Int64Value(value=300))] == [
                n.to_bytes(4, "big") for n in range(300)
            ]
            assert [m.value for m in await stub.talk(messages)] == [m.value for m in messages]
            assert (await stub.say(BytesValue())).value == b""


async def test_a_conversation_goes_back_and_forth() -> None:
    with grpcio_echo() as server:
        async with endpoint(server.port).connect(TcpConnector()) as channel, EchoStub(channel).talk.open() as stream:
            for n in range(50):
                await stream.send_message(BytesValue(value=b"%d" % n))
                answer = await stream.recv_message()
                assert answer is not None
                assert answer.value == b"%d" % n
            await stream.end()
            assert await stream.recv_message() is None


async def test_metadata_goes_both_ways() -> None:
    with grpcio_echo() as server:
        async with endpoint(server.port, user_agent="tester/1").connect(TcpConnector()) as channel:
            metadata = {"x-mine": "yes", "x-mine-bin": b"\x00\x01"}
            async with EchoStub(channel).say.open(metadata=metadata) as stream:
                await stream.send_message(BytesValue(value=b"x"), end=True)
                await stream.recv_message()
                await stream.recv_trailing_metadata()
                initial, trailing = dict(stream.initial_metadata or {}), dict(stream.trailing_metadata or {})

    assert initial == {"x-initial": "first", "x-raw-bin": b"\x00\xff"} | {
        k: v for k, v in initial.items() if k[0] != "x"
    }
    assert trailing["x-trailing"] == "last"
    assert (server.metadata["x-mine"], server.metadata["x-mine-bin"]) == ("yes", b"\x00\x01")
    assert str(server.metadata["user-agent"]).startswith("tester/1 ziggurat/")


async def test_a_status_arrives_with_its_message() -> None:
    with grpcio_echo() as server:
        async with endpoint(server.port).connect(TcpConnector()) as channel:
            with pytest.raises(GRPCError) as caught:
                await EchoStub(channel).fail(BytesValue())

    assert caught.value.status is Status.FAILED_PRECONDITION
    assert caught.value.message == "ungünstig: 100 %"


async def test_the_status_of_a_server_that_ends_first_is_read() -> None:
    with grpcio_echo() as server:
        async with endpoint(server.port).connect(TcpConnector()) as channel:
            for _ in range(20):
                async with EchoStub(channel).early.open() as stream:
                    await stream.send_message(BytesValue(value=b"hello"))
                    message = await stream.recv_message()
                    assert message is not None
                    assert message.value == b"enough"
                    assert await stream.recv_message() is None
                    with pytest.raises(GRPCError, match="I am done first"):
                        await stream.recv_trailing_metadata()


async def test_deadlines_reach_the_server_and_apply_here() -> None:
    with grpcio_echo() as server:
        async with endpoint(server.port, call_timeout=30.0).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)
            await stub.say(BytesValue())
            assert server.remaining is not None
            assert 20.0 < server.remaining <= 30.0
            await stub.say(BytesValue(), timeout=5.0)
            assert server.remaining <= 5.0

            with pytest.raises(asyncio.TimeoutError):
                await stub.hold(BytesValue(), timeout=0.1)
            assert (await stub.say(BytesValue(value=b"still here"))).value == b"still here"


async def test_a_cancelled_call_does_not_affect_the_others() -> None:
    with grpcio_echo() as server:
        async with endpoint(server.port).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)
            held = asyncio.create_task(stub.hold(BytesValue(value=b"held")))
            lost = asyncio.create_task(stub.hold(BytesValue(value=b"lost")))
            for _ in range(2):
                await to_thread.run_sync(server.holding.acquire)
            lost.cancel()
            server.release.set()

            assert (await held).value == b"held"
            with pytest.raises(asyncio.CancelledError):
                await lost


@pytest.mark.parametrize("compression", GZIP)
async def test_messages_of_64_mib(compression: Literal["gzip"] | None) -> None:
    size = 64 * MIB
    with grpcio_echo(compression=compression) as server:
        limited = endpoint(server.port, max_message_size=size + 1024, compression=compression)
        async with limited.connect(TcpConnector()) as channel:
            stub = EchoStub(channel)
            assert len((await stub.make(Int64Value(value=size))).value) == size
            assert (await stub.upload([BytesValue(value=bytes(size))])).value == size


@pytest.mark.parametrize("compression", GZIP)
async def test_a_message_beyond_the_limit_ends_only_its_call(compression: str | None) -> None:
    with grpcio_echo(compression=compression) as server:
        async with endpoint(server.port, max_message_size=MIB).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)
            held = asyncio.create_task(stub.hold(BytesValue(value=b"held")))
            await to_thread.run_sync(server.holding.acquire)
            with pytest.raises(GRPCError) as caught:
                await stub.make(Int64Value(value=16 * MIB))
            server.release.set()

            assert caught.value.status is Status.RESOURCE_EXHAUSTED
            assert "max_message_size" in str(caught.value.message)
            assert (await held).value == b"held"
            assert len((await stub.make(Int64Value(value=MIB - 100))).value) == MIB - 100


async def test_the_servers_own_limit_arrives_as_its_status() -> None:
    with grpcio_echo(options=[("grpc.max_receive_message_length", MIB)]) as server:
        async with endpoint(server.port).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)
            with pytest.raises(GRPCError) as caught:
                await stub.say(BytesValue(value=bytes(4 * MIB)))

            assert caught.value.status is Status.RESOURCE_EXHAUSTED
            assert "larger than max" in str(caught.value.message)
            assert (await stub.say(BytesValue(value=b"x"))).value == b"x"


async def test_a_server_that_stops_gracefully_loses_no_call() -> None:
    with grpcio_echo() as first, grpcio_echo() as second:
        port = first.port

        async def connector(uri: Uri, /) -> ByteStream:
            return await TcpConnector()(Uri("http", "127.0.0.1", port))

        async with endpoint(9).connect(connector) as channel:
            stub = EchoStub(channel)
            held = [asyncio.create_task(stub.hold(BytesValue(value=b"%d" % n))) for n in range(10)]
            for _ in held:
                await to_thread.run_sync(first.holding.acquire)
            port = second.port
            stopped = first.server.stop(10.0)
            await channel.wait_for_state(ChannelState.IDLE)

            assert (await stub.say(BytesValue(value=b"new"))).value == b"new"
            assert second.calls == 1
            first.release.set()
            assert [(await call).value for call in held] == [b"%d" % n for n in range(10)]
            await to_thread.run_sync(stopped.wait)


async def test_connections_closed_for_their_age_lose_no_call() -> None:
    dials = 0

    async def connector(uri: Uri, /) -> ByteStream:
        nonlocal dials
        dials += 1
        return await TcpConnector()(uri)

    options = [("grpc.max_connection_age_ms", 100), ("grpc.max_connection_age_grace_ms", 10_000)]
    with grpcio_echo(options=options) as server:
        async with endpoint(server.port).connect(connector) as channel:
            stub = EchoStub(channel)
            calls = 0

            async def work() -> None:
                nonlocal calls
                while calls < 400 or dials < 6:
                    assert (await stub.say(BytesValue(value=b"x"))).value == b"x"
                    calls += 1

            with anyio.fail_after(60.0):
                await asyncio.gather(*(work() for _ in range(8)))


async def test_more_concurrent_calls_than_the_server_allows() -> None:
    with grpcio_echo(options=[("grpc.max_concurrent_streams", 10)]) as server:
        async with endpoint(server.port).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)

            async def say(value: bytes) -> bytes:
                while True:
                    try:
                        return (await stub.say(BytesValue(value=value))).value
                    except StreamTerminatedError as error:
                        # grpcio refuses a few calls within the limit, as it still counts one that has just ended.
                        if "REFUSED_STREAM: the call was not processed" not in str(error):
                            raise

            values = [b"%d" % n for n in range(200)]
            with anyio.fail_after(60.0):
                assert await asyncio.gather(*map(say, values)) == values

    assert server.most <= 10


class PingCounter(ByteStream):
    """Counts the acks of our PINGs. A foreign stream, so the channel pumps it."""

    def __init__(self, inner: ByteStream, enough: int) -> None:
        self.inner = inner
        self.left = enough
        self.enough = anyio.Event()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await self.inner.receive(max_bytes)
        # A PING frame with ACK: 8 bytes, type 6, flag 1 (RFC 9113 6.7).
        self.left -= data.count(b"\x00\x00\x08\x06\x01\x00\x00\x00\x00ziggurat")
        if self.left <= 0:
            self.enough.set()
        return data

    async def send(self, item: bytes) -> None:
        await self.inner.send(item)

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        await self.inner.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.inner.extra_attributes


async def test_keepalive_pings_are_answered_by_a_server_that_allows_them() -> None:
    streams: list[PingCounter] = []

    async def connector(uri: Uri, /) -> ByteStream:
        streams.append(PingCounter(await TcpConnector()(uri), 5))
        return streams[-1]

    options = [("grpc.http2.min_ping_interval_without_data_ms", 1), ("grpc.http2.max_ping_strikes", 0)]
    with grpcio_echo(options=options) as server:
        settings = {"http2_keepalive_interval": 0.05, "http2_keepalive_timeout": 5.0}
        async with endpoint(server.port, **settings).connect(connector) as channel:
            held = asyncio.create_task(EchoStub(channel).hold(BytesValue(value=b"held")))
            with anyio.fail_after(20.0):
                await streams[0].enough.wait()
            server.release.set()

            assert (await held).value == b"held"
            assert len(streams) == 1


async def test_too_many_pings_is_quoted_and_the_server_is_dialled_again() -> None:
    options = [("grpc.http2.min_ping_interval_without_data_ms", 3_600_000), ("grpc.http2.max_ping_strikes", 1)]
    told = "too_many_pings|Too many pings"  # the GOAWAY, or the call's status behind it
    with grpcio_echo(options=options) as server:
        settings = {"http2_keepalive_interval": 0.02, "http2_keepalive_timeout": 5.0}
        async with endpoint(server.port, **settings).connect(TcpConnector()) as channel:
            stub = EchoStub(channel)
            with anyio.fail_after(20.0), pytest.raises((GRPCError, StreamTerminatedError), match=told):
                await stub.hold(BytesValue())

            assert (await stub.say(BytesValue(value=b"again"))).value == b"again"
