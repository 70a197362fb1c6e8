# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame

from ziggurat.services.channel.refusal import CallRefused

pytestmark = pytest.mark.asyncio_only


@pytest.mark.parametrize("code", [ErrorCodes.NO_ERROR, ErrorCodes.CANCEL])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_reset_behind_a_complete_response_takes_nothing_away(wire: Any, code: int, at_once: bool) -> None:
    await wire.connect()
    with pytest.raises(GRPCError) as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            response = [wire.response(1), wire.message(1, b"last words"), wire.trailers(1, 7, "go away")]
            if at_once:
                await wire.send(*response, wire.reset(1, code))
            else:
                await wire.send(*response)
                await wire.send(wire.reset(1, code))

            assert await call.recv_message() == b"last words"
            assert await call.recv_message() is None

    assert caught.value.status is Status.PERMISSION_DENIED
    assert caught.value.message == "go away"


async def test_the_status_can_be_asked_for_while_our_side_never_ended(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1, 5, "no"), wire.reset(1))
        assert await call.recv_message() == b"x"
        with pytest.raises(GRPCError) as caught:
            await call.recv_trailing_metadata()
        assert caught.value.status is Status.NOT_FOUND


async def test_a_good_status_is_no_error_although_our_side_never_ended(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1), wire.reset(1))
        assert [message async for message in call] == [b"x"]
        await call.end()  # nobody reads it, and nobody minds
    assert call.trailing_metadata is not None


async def test_a_later_send_is_told_that_the_peer_is_done(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.response(1), wire.trailers(1), wire.reset(1))
        with pytest.raises(StreamTerminatedError, match="NO_ERROR"):
            await call.send_message(b"more")


async def test_a_send_that_waits_for_the_window_is_told_too(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        sending = asyncio.ensure_future(call.send_message(bytes(100_000)))  # the window is 65535
        await wire.settle()
        assert not sending.done()
        await wire.send(wire.response(1), wire.message(1, b"enough"), wire.trailers(1), wire.reset(1))
        with pytest.raises(StreamTerminatedError):
            await sending
        assert await call.recv_message() == b"enough"


async def test_a_send_that_waits_for_the_transport_is_told_too(wire: Any) -> None:
    await wire.connect()
    wire.protocol.pause_writing()
    async with wire.channel.open() as call:
        wire.protocol.resume_writing()
        await call.send_message(b"hello")
        wire.protocol.pause_writing()
        sending = asyncio.ensure_future(call.send_message(b"more"))
        await wire.settle()
        assert not sending.done()
        await wire.send(wire.response(1), wire.trailers(1), wire.reset(1))
        with pytest.raises(StreamTerminatedError):
            await sending


async def test_a_sender_goes_on_when_the_transport_does(wire: Any) -> None:
    await wire.connect()
    call = wire.channel.open()
    await call.__aenter__()
    await call.send_message(b"hello")
    wire.protocol.pause_writing()
    sending = asyncio.ensure_future(call.send_message(b"more"))
    await wire.settle()
    assert not sending.done()
    wire.protocol.resume_writing()
    await sending
    assert (await wire.expect(DataFrame)).data.endswith(b"hello")
    assert (await wire.expect(DataFrame)).data.endswith(b"more")
    await call.cancel()
    await call.__aexit__(None, None, None)


async def test_a_complete_response_outlives_the_connection(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(GRPCError) as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            wire.writer.write(wire.response(1) + wire.message(1, b"bye") + wire.trailers(1, 13, "broken"))
            wire.writer.close()
            await wire.protocol.lost.wait()
            assert await call.recv_message() == b"bye"
    assert caught.value.status is Status.INTERNAL


async def test_a_reset_in_the_middle_leaves_whole_messages_readable(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(
            wire.response(1), wire.message(1, b"one"), wire.message(1, b"two"), wire.data(1, b"\0\0\0\0\x09par"),
            wire.reset(1, ErrorCodes.INTERNAL_ERROR),
        )  # fmt: skip
        assert await call.recv_message() == b"one"
        assert await call.recv_message() == b"two"
        for _ in range(2):
            with pytest.raises(StreamTerminatedError, match="INTERNAL_ERROR"):
                await call.recv_message()
        with pytest.raises(StreamTerminatedError, match="INTERNAL_ERROR"):
            await call.send_message(b"more")
        with pytest.raises(StreamTerminatedError):
            await call.end()
        call._cancelled = True


async def test_a_waiting_reader_hears_of_a_reset(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError, match="error_code: 8"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            reading = asyncio.ensure_future(call.recv_message())
            await wire.send(wire.reset(1, ErrorCodes.CANCEL))
            await reading


async def test_a_waiter_for_trailers_hears_of_a_reset(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError):
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(wire.response(1))
            await call.recv_initial_metadata()
            waiting = asyncio.ensure_future(call.recv_trailing_metadata())
            await wire.send(wire.reset(1, ErrorCodes.CANCEL))
            await waiting


async def test_a_call_that_is_refused_twice_says_that_it_is_safe_to_send_again(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(CallRefused, match="REFUSED_STREAM: the call was not processed"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
            receiving = asyncio.ensure_future(call.recv_message())
            await wire.settle()
            await wire.send(wire.reset(3, ErrorCodes.REFUSED_STREAM))
            await receiving


async def test_a_response_without_trailers_has_no_status_and_does_not_hang(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(GRPCError, match="Missing grpc-status"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(wire.response(1), wire.message(1, b"x", end=True))
            assert await call.recv_message() == b"x"


async def test_a_response_in_headers_alone_is_understood(wire: Any) -> None:
    await wire.connect()
    status = [(":status", "200"), ("content-type", "application/grpc+raw"), ("grpc-status", "16")]
    with pytest.raises(GRPCError) as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.headers(1, status, end=True), wire.reset(1))
            await call.recv_message()
    assert caught.value.status is Status.UNAUTHENTICATED


async def test_a_status_in_headers_alone_can_be_asked_for_once_more(wire: Any) -> None:
    await wire.connect()
    status = [(":status", "200"), ("content-type", "application/grpc+raw"), ("grpc-status", "0"), ("x-note", "n")]
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.headers(1, status, end=True))
        assert call.trailing_metadata is None
        await call.recv_initial_metadata()
        assert call.trailing_metadata == {"x-note": "n"}
        await call.recv_trailing_metadata()
        with pytest.raises(ProtocolError, match="already received"):
            await call.recv_trailing_metadata()


async def test_a_status_that_a_sender_was_told_can_still_be_asked_for(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_request()
        await wire.send(wire.response(1), wire.trailers(1, 0))
        with pytest.raises(StreamTerminatedError):
            await call.send_message(b"too late")
        assert await call.recv_message() is None
        await call.recv_trailing_metadata()


async def test_an_informational_response_is_skipped(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(
            wire.headers(1, [(":status", "103")]), wire.response(1), wire.message(1, b"x"), wire.trailers(1)
        )
        assert await call.recv_message() == b"x"


async def test_cancelling_a_call_says_cancel(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await call.cancel()
    assert (await wire.expect(RstStreamFrame)).error_code == ErrorCodes.CANCEL


async def test_cancelling_a_call_that_the_peer_has_reset_does_nothing(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.response(1), wire.trailers(1), wire.reset(1))
        await call.cancel()
    wire.protocol.close()
    await wire.expect(GoAwayFrame)
    assert [frame.error_code for frame in wire.seen if isinstance(frame, RstStreamFrame)] == [ErrorCodes.NO_ERROR]


async def test_the_request_says_who_we_are_and_what_we_inflate(wire: Any) -> None:
    await wire.connect(user_agent="tests/1")
    async with wire.channel.open(metadata={"x-key": "v"}) as call:
        await call.send_message(b"hello")
        headers = (await wire.expect(HeadersFrame)).decoded
        await call.cancel()

    assert [value for name, value in headers if name == "user-agent"] == ["tests/1"]
    assert ("grpc-accept-encoding", "identity,gzip") in headers
    assert ("x-key", "v") in headers
    assert "grpc-encoding" not in dict(headers)


async def test_a_call_waits_for_its_turn_when_the_peer_limits_streams(wire: Any) -> None:
    await wire.connect(settings=False)
    await wire.send(wire.settings({3: 1}))
    first = wire.channel.open()
    await first.__aenter__()
    await first.send_request()

    async def second() -> bytes:
        async with wire.channel.open() as call:
            await call.send_message(b"second", end=True)
            return await call.recv_message()

    waiting = asyncio.ensure_future(second())
    await wire.settle()
    assert len(wire.protocol.core.streams) == 1
    await wire.send(wire.response(1), wire.trailers(1))
    await first.end()
    await first.__aexit__(None, None, None)
    await wire.settle()
    await wire.send(wire.response(3), wire.message(3, b"turn"), wire.trailers(3))
    assert await waiting == b"turn"


async def test_who_waits_for_a_turn_hears_of_the_loss(wire: Any) -> None:
    await wire.connect(settings=False)
    await wire.send(wire.settings({3: 0}))
    waiting = asyncio.ensure_future(wire.channel.method("/raw/echo", Cardinality.UNARY_UNARY)(b"x"))
    await wire.settle()
    wire.writer.close()
    with pytest.raises(CallRefused, match="was not sent"):
        await waiting


async def test_a_raised_limit_lets_the_next_call_go(wire: Any) -> None:
    await wire.connect(settings=False)
    await wire.send(wire.settings({3: 0}))
    call = wire.channel.open()
    await call.__aenter__()
    sending = asyncio.ensure_future(call.send_request())
    await wire.settle()
    assert not sending.done()
    await wire.send(wire.settings({3: 5}))
    await sending
    await call.cancel()
    await call.__aexit__(None, None, None)


async def test_a_message_is_not_lost_by_who_gave_up_waiting_for_it(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1), wire.data(1, b"\0\0\0\0\x06abc"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(call.recv_message(), 1.0)
        await wire.send(wire.data(1, b"def"), wire.trailers(1))
        assert await call.recv_message() == b"abcdef"


async def test_a_deadline_still_ends_a_call(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(asyncio.TimeoutError):
        async with wire.channel.open(timeout=5.0) as call:
            await call.send_message(b"hello", end=True)
            await call.recv_message()
    assert (await wire.expect(RstStreamFrame)).error_code == ErrorCodes.CANCEL


async def test_a_waiter_for_trailers_does_not_hang_when_there_are_none(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1))
        await call.recv_initial_metadata()
        waiting = asyncio.ensure_future(call.recv_trailing_metadata())
        await wire.settle()
        await wire.send(wire.data(1, b"", end=True))
        with pytest.raises(GRPCError, match="Missing grpc-status"):
            await waiting


# One call never harms another


async def test_a_stream_that_nobody_reads_does_not_use_up_the_connections_window(wire: Any) -> None:
    await wire.connect(stream_window=65_535, connection_window=65_535)
    async with wire.channel.open() as unread, wire.channel.open() as other:
        await unread.send_message(b"x")
        await other.send_message(b"x")
        await wire.send(wire.response(1), *(wire.data(1, bytes(13_000)) for _ in range(5)))
        assert wire.protocol.core.receive_window > 65_535 / 2
        await wire.send(wire.response(3), wire.message(3, bytes(30_000)), wire.trailers(3))
        assert await other.recv_message() == bytes(30_000)
        await unread.cancel()
    assert wire.protocol.core.unread == 0


async def test_all_that_lies_unread_is_bounded(wire: Any) -> None:
    await wire.connect(stream_window=65_535, connection_window=65_535, max_unread=130_000)
    calls = [wire.channel.open() for _ in range(4)]
    for call in calls:
        await call.__aenter__()
        await call.send_message(b"x")
    sent = 0
    for stream_id in (1, 3, 5, 7):
        await wire.send(wire.response(stream_id))
        for _ in range(6):
            if wire.protocol.core.receive_window >= 10_000:
                await wire.send(wire.data(stream_id, bytes(10_000)))
                sent += 10_000
    assert wire.protocol.core.unread == sent == 130_000
    await calls[0].cancel()  # what it held is given back
    assert wire.protocol.core.receive_window >= 50_000
    for call in calls:
        await call.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda w: [w.response(1, ("content-length", "3")), w.message(1, b"hello")], "content-length"),
        (lambda w: [w.window(1, 0)], "WINDOW_UPDATE of 0 bytes"),
        (lambda w: [w.response(1), w.trailers(1, 13, "x" * 70_000)], "a list of headers of 700"),
        (lambda w: [w.headers(1, [("content-type", "application/grpc")])], "no :status"),
        (lambda w: [w.headers(1, [(":status", "200"), (":path", "/")])], "beside :status"),
        (lambda w: [w.headers(1, [(":status", "200"), ("Upper", "x")])], "field name Upper"),
        (lambda w: [w.data(1, b"x")], "DATA before HEADERS"),
        (lambda w: [w.response(1), w.response(1)], "pseudo-header fields in trailers"),
    ],
)
async def test_a_malformed_response_costs_its_own_call_only(wire: Any, bad: Any, reason: str) -> None:
    await wire.connect(max_frame_size=100_000)
    async with wire.channel.open() as good:
        await wire.settle()
        with pytest.raises(GRPCError, match=reason) as caught:
            async with wire.channel.open() as call:
                await call.send_message(b"x")
                await good.send_message(b"x")
                await wire.send(*bad(wire))
                await call.recv_message()
        assert caught.value.status is Status.INTERNAL
        await wire.send(wire.response(3), wire.message(3, b"fine"), wire.trailers(3))
        assert await good.recv_message() == b"fine"
        await good.end()
    assert wire.protocol.accepting


# Every ending wakes everybody


@pytest.mark.parametrize("cardinality", [Cardinality.UNARY_UNARY, Cardinality.STREAM_UNARY])
async def test_a_status_ends_a_request_that_waits_for_a_window(wire: Any, cardinality: Cardinality) -> None:
    await wire.connect()
    request = bytes(1_000_000) if cardinality is Cardinality.UNARY_UNARY else [bytes(1_000_000)]
    calling = asyncio.ensure_future(wire.channel.method("/raw/call", cardinality)(request))
    await wire.settle()
    await wire.send(wire.headers(1, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "16"),
                                     ("grpc-message", "no token")], end=True))  # fmt: skip
    with pytest.raises(GRPCError) as caught:
        await calling
    assert (caught.value.status, caught.value.message) == (Status.UNAUTHENTICATED, "no token")
    assert (await wire.expect(RstStreamFrame)).error_code == ErrorCodes.NO_ERROR


async def test_a_response_to_half_a_request_counts(wire: Any) -> None:
    await wire.connect()
    calling = asyncio.ensure_future(wire.channel.method("/raw/call", Cardinality.UNARY_UNARY)(bytes(1_000_000)))
    await wire.settle()
    await wire.send(wire.response(1), wire.message(1, b"enough"), wire.trailers(1))
    assert await calling == b"enough"


async def test_a_cancel_from_another_task_wakes_who_receives_and_who_sends(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"x")
        receiving = asyncio.ensure_future(call.recv_message())
        sending = asyncio.ensure_future(call.send_message(bytes(100_000)))
        await wire.settle()
        await call.cancel()
        for task in (receiving, sending):
            with pytest.raises(StreamTerminatedError, match="cancelled"):
                await task
        for again in (call.recv_message(), call.send_message(b"x"), call.end()):
            with pytest.raises(StreamTerminatedError, match="cancelled"):
                await again


async def test_a_lost_connection_wakes_who_receives_and_who_sends(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"x")
        receiving = asyncio.ensure_future(call.recv_message())
        sending = asyncio.ensure_future(call.send_message(bytes(100_000)))
        await wire.settle()
        wire.protocol.abort()
        for task in (receiving, sending):
            with pytest.raises(StreamTerminatedError, match="Connection closed"):
                await task


@pytest.mark.parametrize("early", [0.01, 3.0])
async def test_a_servers_timer_just_before_ours_is_our_timeout(wire: Any, early: float) -> None:
    await wire.connect()
    expected = asyncio.TimeoutError if early < 1 else StreamTerminatedError
    with pytest.raises(expected):
        async with wire.channel.open(timeout=0.03 if early < 1 else 5.0) as call:
            await call.send_message(b"x", end=True)
            await wire.send(wire.reset(1, ErrorCodes.CANCEL))
            await call.recv_message()


async def test_a_status_of_deadline_exceeded_is_the_servers_word(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(GRPCError) as caught:
        async with wire.channel.open(timeout=5.0) as call:
            await call.send_message(b"x", end=True)
            await wire.send(wire.response(1), wire.trailers(1, 4, "too slow"))
            await call.recv_message()
    assert caught.value.status is Status.DEADLINE_EXCEEDED


async def test_a_deadline_does_not_cancel_the_callers_task(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(asyncio.TimeoutError):
        async with wire.channel.open(timeout=1.0) as call:
            await call.send_message(b"x", end=True)
            await call.recv_message()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_leaving_a_stream_of_messages_early_does_not_wait_for_room(wire: Any) -> None:
    await wire.connect(stream_window=65_535)
    async with wire.channel.open() as call:
        await call.send_message(b"x", end=True)
        await wire.send(wire.response(1), wire.message(1, bytes(30_000)))
        assert await call.recv_message() == bytes(30_000)

        async def rest() -> None:
            for _ in range(20):
                await wire.send(wire.message(1, bytes(10_000)))
            await wire.send(wire.trailers(1))

        sending = asyncio.ensure_future(rest())
    await sending


# The status is the server's


def headers(*fields: tuple[str, str], http: str = "200") -> list[tuple[str, str]]:
    return [(":status", http), ("content-type", "application/grpc"), *fields]


@pytest.mark.parametrize(
    ("frames", "status", "text"),
    [
        (lambda w: [w.headers(1, headers(("grpc-status", "0"))), w.message(1, b"x"), w.trailers(1, 13, "later")],
         Status.INTERNAL, "later"),
        (lambda w: [w.headers(1, headers(("grpc-status", "9"))), w.message(1, b"x", end=True)],
         Status.UNKNOWN, "Missing grpc-status"),
        (lambda w: [w.headers(1, headers(("grpc-status", "8"), http="503"), end=True)],
         Status.RESOURCE_EXHAUSTED, None),
        (lambda w: [w.headers(1, [(":status", "503")], end=True)], Status.UNAVAILABLE, "HTTP 503 Service Unavailable"),
        (lambda w: [w.headers(1, [(":status", "502"), ("content-type", "text/html")]),
                    w.data(1, b"<html><title>Bad Gateway</title>", end=True)], Status.UNAVAILABLE, "'Bad Gateway'"),
        (lambda w: [w.headers(1, [(":status", "200"), ("content-type", "text/html")]),
                    w.data(1, b"<p>Log in", end=True)],
         Status.UNKNOWN, "'Log in'"),
        (lambda w: [w.headers(1, [(":status", "502")]), w.trailers(1, 7, "still")], Status.PERMISSION_DENIED, "still"),
        (lambda w: [w.response(1, ("x-bin", "!")), w.message(1, b"x"), w.trailers(1)], Status.INTERNAL, "base64"),
        (lambda w: [w.response(1, ("x-bin", "!")), w.trailers(1, 5, "none")], Status.NOT_FOUND, "none"),
        (lambda w: [w.response(1, ("grpc-encoding", "snappy")), w.message(1, b"x"), w.trailers(1)],
         Status.INTERNAL, "snappy"),
    ],
)  # fmt: skip
async def test_what_ends_a_call(wire: Any, frames: Any, status: Status, text: str | None) -> None:
    await wire.connect()
    with pytest.raises(GRPCError) as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(*frames(wire))
            async for _ in call:
                pass
    assert caught.value.status is status
    assert text is None or text in str(caught.value.message)


async def test_a_page_that_never_ends_is_not_waited_for(wire: Any) -> None:
    await wire.connect()
    began = asyncio.get_running_loop().time()
    with pytest.raises(GRPCError, match="HTTP 500 Internal Server Error, not with gRPC: 'wait'"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            await wire.send(
                wire.headers(1, [(":status", "500"), ("content-type", "text/plain")]), wire.data(1, b"wait")
            )
            await call.recv_message()
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.0)


@pytest.mark.parametrize("cardinality", [Cardinality.UNARY_UNARY, Cardinality.STREAM_UNARY])
@pytest.mark.parametrize("count", [0, 2])
async def test_a_unary_response_has_one_message(wire: Any, cardinality: Cardinality, count: int) -> None:
    await wire.connect()
    request = b"x" if cardinality is Cardinality.UNARY_UNARY else [b"x"]
    calling = asyncio.ensure_future(wire.channel.method("/raw/call", cardinality)(request))
    await wire.settle()
    await wire.send(wire.response(1), *[wire.message(1, b"y")] * count, wire.trailers(1))
    with pytest.raises(GRPCError) as caught:
        await calling
    assert caught.value.status is Status.UNIMPLEMENTED


@pytest.mark.parametrize("cardinality", [Cardinality.UNARY_UNARY, Cardinality.STREAM_UNARY])
async def test_an_ok_in_headers_alone_is_no_unary_response(wire: Any, cardinality: Cardinality) -> None:
    await wire.connect()
    request = b"x" if cardinality is Cardinality.UNARY_UNARY else [b"x"]
    calling = asyncio.ensure_future(wire.channel.method("/raw/call", cardinality)(request))
    await wire.settle()
    status = [(":status", "200"), ("content-type", "application/grpc+raw"), ("grpc-status", "0")]
    await wire.send(wire.headers(1, status, end=True))
    with pytest.raises(GRPCError, match="without a message") as caught:
        await calling
    assert caught.value.status is Status.UNIMPLEMENTED


async def test_a_failed_unary_call_without_a_message_has_the_servers_status(wire: Any) -> None:
    await wire.connect()
    calling = asyncio.ensure_future(wire.channel.method("/raw/call", Cardinality.UNARY_UNARY)(b"x"))
    await wire.settle()
    await wire.send(wire.response(1), wire.trailers(1, 5, "none"))
    with pytest.raises(GRPCError) as caught:
        await calling
    assert caught.value.status is Status.NOT_FOUND


async def test_a_message_that_cannot_be_decoded_is_internal_and_has_its_cause(wire: Any, raw_codec: Any) -> None:
    await wire.connect()

    def decode(data: bytes, message_type: Any) -> bytes:
        raise ValueError("no protobuf")

    async with wire.channel.open() as call:
        call._codec = type("Broken", (type(raw_codec),), {"decode": staticmethod(decode)})()
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1))
        with pytest.raises(GRPCError, match="cannot be decoded: no protobuf") as caught:
            await call.recv_message()
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.status is Status.INTERNAL
