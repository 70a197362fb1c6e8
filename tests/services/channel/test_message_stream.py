# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from ziggurat.services.channel.compression import compress

pytestmark = pytest.mark.asyncio_only


async def received(wire: Any, headers: list[tuple[str, str]], *frames: bytes, **options: Any) -> Any:
    """What a call reads until it ends: messages, and the error."""
    await wire.connect(**options)
    messages: list[Any] = []
    try:
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(wire.response(1, *headers), *frames, wire.trailers(1))
            while (message := await call.recv_message()) is not None:
                messages.append(message)
    except GRPCError as error:
        messages.append((error.status, error.message))
    return messages


async def test_compressed_and_plain_messages_come_mixed(wire: Any) -> None:
    bodies = [(compress(b"one"), 1), (b"two", 0), (gzip.compress(b""), 1), (b"", 0), (gzip.compress(b"three"), 1)]
    frames = [wire.message(1, body, flag=flag) for body, flag in bodies]
    assert await received(wire, [("grpc-encoding", "gzip")], *frames) == [b"one", b"two", b"", b"", b"three"]


@pytest.mark.parametrize(
    ("encoding", "flag", "body", "status", "text"),
    [
        (None, 1, compress(b"x"), Status.INTERNAL, "no grpc-encoding"),
        ("gzip", 2, b"x", Status.INTERNAL, "flag 2"),
        ("gzip", 1, compress(b"x")[:-1], Status.INTERNAL, "cut off"),
        ("gzip", 1, b"garbage", Status.INTERNAL, "not gzip"),
        ("gzip", 1, compress(bytes(2000)), Status.RESOURCE_EXHAUSTED, "max_message_size"),
        ("gzip", 0, bytes(1001), Status.RESOURCE_EXHAUSTED, "max_message_size"),
    ],
)
async def test_a_bad_message_is_an_error_behind_the_good_ones(
    wire: Any, encoding: str | None, flag: int, body: bytes, status: Status, text: str
) -> None:
    headers = [("grpc-encoding", encoding)] if encoding else []
    frames = [wire.message(1, b"good"), wire.message(1, body, flag=flag), wire.message(1, b"behind")]
    messages = await received(wire, headers, *frames, max_message_size=1000)
    assert messages[0] == b"good"
    assert len(messages) == 2
    assert messages[1][0] is status
    assert text in messages[1][1]


async def test_a_message_beyond_the_limit_is_not_kept_and_the_call_is_cancelled(wire: Any) -> None:
    await wire.connect(max_message_size=1000, connection_window=70_000)
    with pytest.raises(GRPCError, match="max_message_size") as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            length = (10_000_000).to_bytes(4, "big")
            await wire.send(wire.response(1), wire.message(1, b"first"), wire.data(1, b"\0" + length + bytes(9000)))
            assert await call.recv_message() == b"first"
            with pytest.raises(GRPCError):
                await call.recv_message()
            assert (await wire.expect(RstStreamFrame)).error_code == ErrorCodes.CANCEL
            for _ in range(8):
                await wire.send(wire.data(1, bytes(9000)))
            assert call._size == 0
            assert wire.protocol.core.unread == 0  # what is dropped is given back
            with pytest.raises(GRPCError):
                await call.send_message(b"more")
            await call.recv_message()
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert wire.protocol.accepting


async def test_a_limit_of_none_is_no_limit(wire: Any) -> None:
    messages = await received(
        wire, [("grpc-encoding", "gzip")], wire.message(1, compress(bytes(100_000)), flag=1), max_message_size=None
    )
    assert messages == [bytes(100_000)]


async def test_what_is_sent_is_compressed_when_asked(wire: Any) -> None:
    await wire.connect(compression="gzip")
    async with wire.channel.open() as call:
        await call.send_message(b"hello" * 100)
        assert ("grpc-encoding", "gzip") in (await wire.expect(HeadersFrame)).decoded
        data = (await wire.expect(DataFrame)).data
        assert data[0] == 1
        assert int.from_bytes(data[1:5], "big") == len(data) - 5
        assert gzip.decompress(data[5:]) == b"hello" * 100
        await call.cancel()


async def test_what_is_sent_is_plain_when_not_asked(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        assert (await wire.expect(DataFrame)).data == b"\0\0\0\0\5hello"
        await call.cancel()


@pytest.mark.parametrize("window", [1, 2, 4, 5, 7])
async def test_a_window_that_is_smaller_than_a_prefix_cuts_the_prefix(wire: Any, window: int) -> None:
    await wire.connect()
    await wire.send(wire.settings({4: window}))
    sent = b""
    async with wire.channel.open() as call:
        sending = asyncio.create_task(call.send_message(b"hello", end=True))
        while len(sent) < 10:
            frame = await wire.expect(DataFrame)
            assert len(frame.data) <= window
            sent += frame.data
            await wire.send(wire.window(1, len(frame.data)))
        await sending
        await wire.send(wire.response(1), wire.message(1, b"good"), wire.trailers(1))
        assert await call.recv_message() == b"good"
    assert sent == b"\0\0\0\0\5hello"


async def test_a_large_message_goes_out_as_the_window_opens(wire: Any) -> None:
    await wire.connect()
    size = 200_000
    async with wire.channel.open() as call:
        sending = asyncio.ensure_future(call.send_message(bytes(size), end=True))
        total = 0
        while total < size + 5:
            frame = await wire.expect(DataFrame)
            assert len(frame.data) <= 16_384
            total += len(frame.data)
            if len(frame.data) and total < size + 5:
                await wire.send(wire.window(0, len(frame.data)), wire.window(1, len(frame.data)))
        await sending
        assert total == size + 5
        assert "END_STREAM" in frame.flags
        await call.cancel()


async def test_a_frame_is_as_large_as_the_peer_takes_it(wire: Any) -> None:
    await wire.connect(settings=False)
    await wire.send(wire.settings({4: 1_000_000, 5: 50_000}), wire.window(0, 1_000_000))
    async with wire.channel.open() as call:
        await call.send_message(bytes(120_000))
        sizes = [len((await wire.expect(DataFrame)).data) for _ in range(3)]
        assert sizes == [50_000, 50_000, 20_005]
        await call.cancel()


async def test_large_messages_pass_both_ways(wire: Any, raw_service: Any, raw_codec: Any) -> None:
    from grpclib.server import Server

    await wire.serve(Server([raw_service], codec=raw_codec)._protocol_factory)
    flood = wire.channel.method("/raw/flood", Cardinality.UNARY_STREAM)
    assert list(map(len, await flood(b"9 1000000"))) == [1_000_000] * 9  # more than both windows
    count = wire.channel.method("/raw/count", Cardinality.STREAM_UNARY)
    assert await count([bytes(1_000_000)] * 9) == b"9000000"


async def test_before_the_limits_are_lifted_messages_and_windows_are_small(wire: Any) -> None:
    await wire.connect(initial_message_size=100)
    assert (await wire.expect(SettingsFrame)).settings[SettingsFrame.INITIAL_WINDOW_SIZE] == 65_535
    with pytest.raises(GRPCError, match=r"a message of 101 bytes is larger than max_message_size \(100 bytes\)"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.response(1), wire.message(1, bytes(100)), wire.data(1, b"\0\0\0\0\x65"))
            assert await call.recv_message() == bytes(100)
            await call.recv_message()  # does not wait for the body
    assert not any(isinstance(frame, WindowUpdateFrame) for frame in wire.seen)


@pytest.mark.parametrize("flag", [0, 1])
async def test_once_the_limits_are_lifted_a_large_message_passes_that_had_begun_before(wire: Any, flag: int) -> None:
    await wire.connect(initial_message_size=100, stream_window=300_000, connection_window=400_000)
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        body = compress(bytes(2000)) if flag else bytes(2000)
        await wire.send(wire.response(1, ("grpc-encoding", "gzip")), wire.message(1, b"small"))
        await wire.send(wire.data(1, bytes([flag]) + len(body).to_bytes(4, "big")))
        assert await call.recv_message() == b"small"
        call.lift_limits()
        call.lift_limits()
        assert (await wire.expect(WindowUpdateFrame, 0)).window_increment == 400_000 - 65_535
        assert (await wire.expect(WindowUpdateFrame, 1)).window_increment == 300_000 - 65_535
        await wire.send(wire.data(1, body))
        assert await call.recv_message() == bytes(2000)
        await call.cancel()


async def test_an_inflated_message_obeys_the_limit_of_the_moment(wire: Any) -> None:
    await wire.connect(initial_message_size=100)
    with pytest.raises(GRPCError, match="inflates to more than max_message_size"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.response(1, ("grpc-encoding", "gzip")), wire.message(1, compress(bytes(101)), flag=1))
            await call.recv_message()


async def test_limits_can_be_lifted_when_the_call_has_ended(wire: Any) -> None:
    await wire.connect(initial_message_size=100)
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.response(1), wire.reset(1))
        call.lift_limits()
        await wire.send(wire.goaway(1))
        call.lift_limits()
        await call.cancel()
        with pytest.raises(StreamTerminatedError):
            await call.recv_message()
