# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame

from ziggurat.services.channel.refusal import CallRefused
from ziggurat.services.channel.request import MAX_SENDS

pytestmark = pytest.mark.asyncio_only

UNARY = Cardinality.UNARY_UNARY


async def test_a_request_that_was_not_sent_goes_to_the_next_connection(
    wire: Any, raw_service: Any, raw_codec: Any
) -> None:
    server = Server([raw_service], codec=raw_codec)
    await wire.serve(server._protocol_factory)
    closed = wire.protocol
    await wire.serve(server._protocol_factory)
    closed.close()
    asked = iter([closed, closed, wire.protocol, wire.protocol])
    channel = wire.channel
    channel.protocols.insert(0, closed)
    channel.protocols.pop()

    async def connect() -> Any:
        return next(asked)

    channel.__connect__ = connect
    assert await channel.method("/raw/echo", UNARY)(b"x") == b"x"


async def test_the_number_of_tries_is_limited(wire: Any) -> None:
    await wire.connect()
    wire.protocol.close()
    asked = 0

    async def connect() -> Any:
        nonlocal asked
        asked += 1
        return wire.protocol

    wire.channel.__connect__ = connect
    with pytest.raises(CallRefused, match="Connection closed: the call was not sent"):
        await wire.channel.method("/raw/echo", UNARY)(b"x")
    assert asked == MAX_SENDS


# A second start (gRFC A6)


@pytest.mark.parametrize("how", ["refused", "goaway"])
async def test_a_call_that_the_server_has_not_seen_is_sent_again(
    wire: Any, raw_service: Any, raw_codec: Any, how: str
) -> None:
    await wire.connect()
    channel, first = wire.channel, wire.protocol
    calling = asyncio.ensure_future(channel.method("/raw/echo", UNARY)(b"again"))
    await wire.settle()
    if how == "refused":
        await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
        assert await wire.expect(HeadersFrame, 3)
        assert (await wire.expect(DataFrame, 3)).data.endswith(b"again")
        await wire.send(wire.response(3), wire.message(3, b"answer"), wire.trailers(3))
        assert await calling == b"answer"
    else:
        await wire.serve(Server([raw_service], codec=raw_codec)._protocol_factory)
        channel.protocols.append(wire.protocol)
        await wire.send(wire.goaway(0))
        assert await calling == b"again"
        assert not first.accepting


async def test_a_stream_of_messages_is_sent_again_whole_and_goes_on(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"one")
        await call.send_message(b"two")
        await wire.settle()
        await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
        await call.send_message(b"three")
        await call.end()
        bodies = b"".join([(await wire.expect(DataFrame, 3)).data[5:] for _ in range(3)])
        assert bodies == b"onetwothree"
        await wire.send(wire.response(3), wire.message(3, b"all"), wire.trailers(3))
        assert await call.recv_message() == b"all"


async def test_a_sender_in_the_middle_of_a_message_sends_it_again(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        sending = asyncio.ensure_future(call.send_message(bytes(100_000), end=True))
        await wire.settle()
        assert not sending.done()  # the window is 65,535
        await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM), wire.settings({4: 200_000}), wire.window(0, 200_000))
        await sending
        total = 0
        while total < 100_005:
            total += len((await wire.expect(DataFrame, 3)).data)
        await call.cancel()


async def test_two_tasks_of_one_call_start_it_again_once(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"one")
        receiving = asyncio.ensure_future(call.recv_message())
        await wire.settle()
        await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
        await call.send_message(b"two", end=True)
        assert b"".join([(await wire.expect(DataFrame, 3)).data[5:] for _ in range(2)]) == b"onetwo"
        await wire.send(wire.response(3), wire.message(3, b"x"), wire.trailers(3))
        assert await receiving == b"x"
        assert wire.protocol.streams_started == 2


async def test_a_call_that_has_sent_much_is_not_repeated(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ziggurat.services.channel.request.MAX_HELD", 1000)
    await wire.connect()
    with pytest.raises(CallRefused):
        async with wire.channel.open() as call:
            await call.send_message(bytes(1001))
            await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
            await call.recv_message()
    assert wire.protocol.streams_started == 1


async def test_a_call_that_the_server_has_begun_to_answer_is_not_repeated(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError):
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(wire.response(1), wire.reset(1, ErrorCodes.REFUSED_STREAM))
            await call.recv_message()
    assert wire.protocol.streams_started == 1


async def test_the_deadline_runs_on(wire: Any) -> None:
    await wire.connect()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(asyncio.TimeoutError):
        async with wire.channel.open(timeout=5.0) as call:
            await call.send_message(b"hello", end=True)
            await asyncio.sleep(3.0)
            await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
            await call.recv_message()
    assert loop.time() - began == pytest.approx(5.0, abs=0.01)


async def test_an_error_of_the_second_start_reaches_all_who_wait(wire: Any) -> None:
    await wire.connect()

    async def connect() -> Any:
        await asyncio.sleep(1.0)
        raise GRPCError(14, "no way")  # type: ignore[arg-type]

    async with wire.channel.open() as call:
        await call.send_message(b"one")
        wire.channel.__connect__ = connect
        receiving = asyncio.ensure_future(call.recv_message())
        await wire.send(wire.goaway(0))
        sending = asyncio.ensure_future(call.send_message(b"two"))
        results = await asyncio.gather(receiving, sending, return_exceptions=True)
        assert [getattr(result, "message", result) for result in results] == ["no way", "no way"]
        call._cancelled = True


# Sending


async def test_half_a_message_ends_the_call(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        sending = asyncio.ensure_future(call.send_message(bytes(100_000)))
        await wire.settle()
        sending.cancel()
        await asyncio.wait([sending])
        assert (await wire.expect(RstStreamFrame)).error_code == ErrorCodes.CANCEL
        with pytest.raises(StreamTerminatedError, match="inside a message"):
            await call.send_message(b"more")
        call._cancelled = True


async def test_a_send_that_has_not_begun_may_be_cancelled(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_request()
        wire.protocol.pause_writing()
        sending = asyncio.ensure_future(call.send_message(b"one"))
        await wire.settle()
        sending.cancel()
        await asyncio.wait([sending])
        wire.protocol.resume_writing()
        await call.send_message(b"two")
        assert (await wire.expect(DataFrame)).data.endswith(b"two")
        await call.cancel()


async def test_two_senders_at_once_are_refused_where_they_would_mix(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        sending = asyncio.ensure_future(call.send_message(bytes(100_000)))
        await wire.settle()
        with pytest.raises(RuntimeError, match="another task is sending"):
            await call.send_message(b"x")
        await call.cancel()
        with pytest.raises(StreamTerminatedError):
            await sending


async def test_a_first_message_may_be_compressed_on_its_own(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello" * 50, compress=True)
        assert ("grpc-encoding", "gzip") in (await wire.expect(HeadersFrame)).decoded
        assert (await wire.expect(DataFrame)).data[0] == 1
        await call.send_message(b"hello", compress=False)
        assert (await wire.expect(DataFrame)).data[0] == 0
        await call.cancel()


async def test_a_deadline_that_passes_with_the_slot_in_hand_gives_it_to_the_next_call(wire: Any) -> None:
    await wire.connect(settings=False)
    await wire.send(wire.settings({3: 1}))
    first, late, next_one = wire.channel.open(), wire.channel.open(timeout=100.0), wire.channel.open()
    for call in (first, late, next_one):
        await call.__aenter__()
    await first.send_request()
    waiting = [asyncio.ensure_future(call.send_request()) for call in (late, next_one)]
    await wire.settle()
    await first.cancel()  # the slot is late's
    late._expire()  # before it has run
    with pytest.raises(asyncio.TimeoutError):
        await waiting[0]
    await asyncio.wait_for(waiting[1], 1.0)
    await next_one.cancel()
    for call in (first, late, next_one):
        await call.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)
