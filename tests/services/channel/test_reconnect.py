"""Shared dials, backoff, and redials after a loss."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
import structlog
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from hyperframe.frame import GoAwayFrame

from tests.eager import EAGER, eagerly
from tests.services.channel.calling import STEADY, TARGET, Say, calls, goaway, loose, settle
from ziggurat.layers.logging import LoggingLayer
from ziggurat.services import (
    Backoff,
    Channel,
    ChannelClosed,
    ChannelState,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Endpoint,
    Http2Error,
    Uri,
    dial,
)

pytestmark = pytest.mark.asyncio_only


async def connect(connector: Any) -> Channel:
    return await Endpoint(TARGET).connect(connector)


async def test_twenty_callers_of_a_dead_target_share_one_failed_dial(far_end: Any, say: Say) -> None:
    far_end.delay, far_end.error = 0.2, ConnectRefused("connection refused")
    start = anyio.current_time()
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        errors = await calls(say, channel, 20)
    assert anyio.current_time() - start <= 0.25
    assert far_end.dials == 1
    assert all(isinstance(error, GRPCError) and error.status is Status.UNAVAILABLE for error in errors)
    causes = [error.__cause__ for error in errors]
    assert all(isinstance(cause, ConnectRefused) for cause in causes)
    assert len({id(cause) for cause in causes}) == 20


@pytest.mark.parametrize("factory", EAGER)
async def test_with_eager_tasks_a_dial_that_fails_at_once_is_forgotten_after_its_backoff(
    far_end: Any, say: Say, factory: Any
) -> None:
    refusing = True
    dials = 0

    async def connector(uri: Uri) -> ByteStream:
        nonlocal dials
        dials += 1
        if refusing:
            raise ConnectRefused("connection refused")  # without a single suspension
        return await far_end(uri)  # type: ignore[no-any-return]

    with eagerly(factory):
        async with Endpoint(TARGET, backoff=STEADY).connect_lazy(connector) as channel:
            for number in (1, 2):
                with pytest.raises(GRPCError) as caught:
                    await say(channel)
                assert isinstance(caught.value.__cause__, ConnectRefused)
                assert channel.state is ChannelState.TRANSIENT_FAILURE
                assert dials == number
                await asyncio.sleep(60)
            refusing = False
            assert await say(channel) == b"hello"
            assert channel.state is ChannelState.READY
            assert dials == 3


async def test_twenty_callers_share_one_connection(far_end: Any, say: Say) -> None:
    far_end.delay = 0.2
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        assert await calls(say, channel, 20) == [b"hello"] * 20
        assert far_end.dials == 1


async def test_a_callers_deadline_or_cancellation_does_not_affect_other_callers(far_end: Any, say: Say) -> None:
    far_end.delay = 1.0
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        staying = asyncio.create_task(say(channel))
        hurried = asyncio.create_task(say(channel, timeout=0.1))
        leaving = asyncio.create_task(say(channel))
        await asyncio.sleep(0.5)
        leaving.cancel()
        with pytest.raises(asyncio.TimeoutError) as caught:
            await hurried
        assert not isinstance(caught.value, ConnectError)
        assert await staying == b"hello"
        assert leaving.cancelled()
        assert (far_end.dials, far_end.cancelled) == (1, 0)


async def test_when_all_callers_have_left_the_dial_is_cancelled_and_the_next_call_redials(
    far_end: Any, say: Say
) -> None:
    far_end.delay = 1.0
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        with pytest.raises(asyncio.TimeoutError):
            await say(channel, timeout=0.1)
        assert channel.state is ChannelState.IDLE
        leaving = asyncio.create_task(say(channel))
        await settle()
        assert channel.state is ChannelState.CONNECTING
        assert far_end.cancelled == 1
        leaving.cancel()
        await asyncio.wait([leaving])
        assert channel.state is ChannelState.IDLE
        assert await say(channel) == b"hello"
        assert (far_end.dials, far_end.cancelled) == (3, 2)


async def test_a_shared_dial_joins_no_other_and_runs_in_a_fresh_context(far_end: Any, say: Say) -> None:
    seen: list[str] = []

    async def look(uri: Uri) -> ByteStream:
        seen.append(loose.get())
        return await far_end(uri)

    loose.set("leaked")
    async with Endpoint(TARGET).connect_lazy(look) as channel:
        with dial(Uri.parse("http://other.example")) as other:
            await say(channel)
        assert seen == ["clean"]
        assert channel.ledger is not None
        assert channel.ledger.target == Uri.parse(TARGET)
        assert other.ledger.phases == []


async def test_while_backing_off_calls_fail_at_once_with_the_last_error(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    async with Endpoint(TARGET, backoff=STEADY).connect_lazy(far_end) as channel:
        (first,) = await calls(say, channel, 1)
        start = anyio.current_time()
        again = await calls(say, channel, 5)
        assert anyio.current_time() == start
        assert far_end.dials == 1
        assert {str(error) for error in again} == {str(first)}
        assert channel.state is ChannelState.TRANSIENT_FAILURE
        assert len({id(error.__cause__) for error in (first, *again)}) == 6
        dials = []
        for _ in range(60):
            await asyncio.sleep(0.5)
            await calls(say, channel, 1)
            dials.append(far_end.dials)
        # after 1, 2, 4, 8 and 8 seconds
        assert [dials[1], dials[2], dials[5], dials[13], dials[29], dials[45]] == [2, 2, 3, 4, 5, 6]


async def test_a_success_resets_the_backoff(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET, backoff=STEADY).connect_lazy(far_end) as channel:
        far_end.error = ConnectRefused("connection refused")
        for wait in (1.0, 2.0, 4.0):
            await calls(say, channel, 1)
            await asyncio.sleep(wait)
        far_end.error = None
        assert await say(channel) == b"hello"
        far_end.transports[-1].abort()
        await settle()
        far_end.error = ConnectRefused("connection refused")
        await calls(say, channel, 1)
        await asyncio.sleep(1.0)
        far_end.error = None
        assert await say(channel) == b"hello"


async def test_wait_for_ready_waits_until_the_target_is_up(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    start = anyio.current_time()
    async with Endpoint(TARGET, wait_for_ready=True, backoff=STEADY).connect_lazy(far_end) as channel:
        waiting = [asyncio.create_task(say(channel)) for _ in range(20)]
        await asyncio.sleep(6.5)
        assert far_end.dials == 3  # at 0, 1 and 3 seconds
        far_end.error = None
        assert await asyncio.gather(*waiting) == [b"hello"] * 20
        assert anyio.current_time() - start == pytest.approx(7.0, abs=0.01)
        assert far_end.dials == 4


async def test_wait_for_ready_ends_at_the_deadline_and_when_the_channel_is_closed(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    channel = Endpoint(TARGET, wait_for_ready=True).connect_lazy(far_end)
    with pytest.raises(asyncio.TimeoutError):
        await say(channel, timeout=0.5)
    waiting = asyncio.create_task(say(channel))
    await settle()
    channel.close()
    with pytest.raises(ChannelClosed):
        await waiting


async def test_wait_for_ready_fails_on_an_error_that_is_not_transient(far_end: Any, say: Say) -> None:
    far_end.error = ConnectError("wrong password", transient=False)
    async with Endpoint(TARGET, wait_for_ready=True).connect_lazy(far_end) as channel:
        with pytest.raises(GRPCError, match="wrong password"):
            await say(channel)


async def test_connect_tries_once_and_raises_the_error_itself(far_end: Any) -> None:
    far_end.error = ConnectRefused("connection refused")
    for waits in (False, True):
        with pytest.raises(ConnectRefused) as caught:
            await Endpoint(TARGET, wait_for_ready=waits).connect(far_end)
        assert caught.value.ledger is not None
        assert caught.value.phase == "memory"
    assert far_end.dials == 2


async def test_channel_connect_ignores_the_backoff(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        for _ in range(2):
            with pytest.raises(ConnectRefused):
                await channel.connect()
        far_end.error = None
        await channel.connect()
        await channel.connect()
        assert far_end.dials == 3
        assert await say(channel) == b"hello"


async def test_a_cancelled_attempt_does_not_end_the_backoff(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    async with Endpoint(TARGET, backoff=Backoff(100.0)).connect_lazy(far_end) as channel:
        await calls(say, channel, 1)
        far_end.delay = 10.0
        with anyio.move_on_after(1.0):
            await channel.connect()
        assert channel.state is ChannelState.TRANSIENT_FAILURE
        with pytest.raises(GRPCError, match="connection refused"):
            await say(channel)
        assert far_end.dials == 2


async def test_a_cancelled_connect_has_cleaned_up_when_it_returns(far_end: Any) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.play = mute
    with anyio.move_on_after(1.0) as scope:
        await Endpoint(TARGET).connect(far_end)
    assert scope.cancelled_caught
    assert far_end.dials == 1
    assert far_end.open == 0


async def test_a_lost_connection_is_replaced_through_the_whole_stack(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        for dials in (1, 2, 3):
            assert await say(channel) == b"hello"
            assert far_end.dials == dials
            far_end.transports[-1].abort()
            await settle()
            assert channel.state is ChannelState.IDLE
            assert channel._reconnect.open == ()
        assert far_end.open == 0


async def test_after_a_goaway_calls_in_flight_finish_and_new_ones_use_a_new_connection(
    far_end: Any, say: Say, make_stub: Any
) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        held = asyncio.create_task(make_stub(channel).hold(BytesValue(value=b"held")))
        await far_end.service.holding.wait()
        await goaway(far_end)
        assert channel.state is ChannelState.IDLE
        assert await say(channel) == b"hello"
        assert far_end.dials == 2
        assert far_end.open == 2
        far_end.service.release.set()
        assert (await held).value == b"held"
        await settle()
        assert far_end.open == 1
        assert channel.state is ChannelState.READY


async def test_closing_ends_the_draining_connections_too(far_end: Any, say: Say, make_stub: Any) -> None:
    channel = Endpoint(TARGET).connect_lazy(far_end)
    held = asyncio.create_task(make_stub(channel).hold(BytesValue(value=b"held")))
    await far_end.service.holding.wait()
    await goaway(far_end)
    await say(channel)
    assert far_end.open == 2
    await channel.aclose()
    assert far_end.open == 0
    with pytest.raises(StreamTerminatedError):
        await held


async def test_a_goaway_right_after_the_settings_fails_the_dial(far_end: Any, say: Say) -> None:
    async def leave(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"\0\0\0\4\0\0\0\0\0" + GoAwayFrame(0, last_stream_id=0).serialize())
        await anyio.sleep(100)

    far_end.play = leave
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        with pytest.raises(GRPCError) as caught:
            await say(channel)
        assert isinstance(caught.value.__cause__, Http2Error)
        assert caught.value.__cause__.transient
        assert channel.state is ChannelState.TRANSIENT_FAILURE
        await settle()
        assert far_end.open == 0


async def test_closing_during_a_dial_ends_the_wait_and_the_dial(far_end: Any, say: Say) -> None:
    far_end.delay = 10.0
    channel = Endpoint(TARGET).connect_lazy(far_end)
    waiting = [asyncio.create_task(say(channel)) for _ in range(3)]
    await asyncio.sleep(1)
    await channel.aclose()
    assert far_end.cancelled == 1
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [ChannelClosed] * 3
    assert channel.state is ChannelState.SHUTDOWN


async def test_closing_during_the_http2_phase_closes_the_stream(far_end: Any, say: Say) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.play = mute
    channel = Endpoint(TARGET).connect_lazy(far_end)
    waiting = asyncio.create_task(say(channel))
    await asyncio.sleep(1)
    assert far_end.open == 1
    await channel.aclose()
    assert far_end.open == 0
    with pytest.raises(ChannelClosed):
        await waiting


async def test_a_connect_cancelled_at_any_step_leaves_nothing_behind(far_end: Any) -> None:
    before = len(asyncio.all_tasks())
    finished = False
    for steps in range(60):
        dialling = asyncio.ensure_future(connect(far_end))
        for _ in range(steps):
            await asyncio.sleep(0)
        dialling.cancel()
        await asyncio.wait([dialling])
        if not dialling.cancelled():
            finished = True
            await dialling.result().aclose()
        assert far_end.open == 0, steps
    await settle()
    assert finished
    assert len(asyncio.all_tasks()) == before


# -- a deadline that cuts off a dial


async def test_a_deadline_during_a_dial_has_the_dial_so_far_as_its_cause(far_end: Any, say: Say) -> None:
    far_end.delay = 60.0
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        with pytest.raises(asyncio.TimeoutError) as caught:
            await say(channel, timeout=2.0)
        assert channel.last_failure is None  # it does not count as a failure
        assert channel.state is ChannelState.IDLE  # and starts no backoff
    cause = caught.value.__cause__
    assert isinstance(cause, ConnectTimeout)
    assert not isinstance(caught.value, ConnectError)
    assert (cause.phase, cause.name, cause.limit) == ("memory", "call deadline", pytest.approx(2.0, abs=0.01))
    assert (
        str(cause) == "http://far.example:50051: memory failed after 2.00 s: the call's deadline passed during the dial"
    )


async def test_such_a_deadline_does_not_end_a_dial_that_others_await(far_end: Any, say: Say) -> None:
    far_end.delay = 10.0
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        staying = asyncio.create_task(say(channel))
        with pytest.raises(asyncio.TimeoutError) as caught:
            await say(channel, timeout=2.0)
        assert await staying == b"hello"
        assert (far_end.dials, far_end.cancelled) == (1, 0)
        assert channel.ledger is not None
        assert channel.ledger.error is None
    cause = caught.value.__cause__
    assert isinstance(cause, ConnectTimeout)
    assert cause.ledger is not None
    assert str(cause.ledger) == "memory 2.00 s"  # as of the deadline


async def test_a_deadline_during_the_backoff_has_the_last_error_as_its_cause(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    async with Endpoint(TARGET, backoff=STEADY, wait_for_ready=True).connect_lazy(far_end) as channel:
        with pytest.raises(asyncio.TimeoutError) as caught:
            await say(channel, timeout=0.5)
        assert isinstance(caught.value.__cause__, ConnectRefused)
        assert caught.value.__cause__ is not channel.last_failure  # each caller gets its own copy
        assert isinstance(channel.last_failure, ConnectRefused)


async def test_the_last_failure_is_kept_until_a_success(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("connection refused")
    async with Endpoint(TARGET, backoff=STEADY).connect_lazy(far_end) as channel:
        assert channel.last_failure is None
        with pytest.raises(GRPCError):
            await say(channel)
        await asyncio.sleep(10)
        assert isinstance(channel.last_failure, ConnectRefused)
        far_end.error = None
        await say(channel)
        assert channel.last_failure is None


async def test_a_cancelled_caller_gets_a_plain_cancellation(far_end: Any, say: Say) -> None:
    far_end.delay = 60.0
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        leaving = asyncio.create_task(say(channel, timeout=30.0))
        await asyncio.sleep(1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await leaving
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("alone", [True, False])
async def test_the_log_of_a_dial_cut_off_by_a_deadline_says_where_the_time_went(
    far_end: Any, say: Say, alone: bool
) -> None:
    far_end.delay = 10.0
    structlog.configure()
    with structlog.testing.capture_logs() as logs:
        async with Endpoint(TARGET).connect_lazy(LoggingLayer().layer(far_end)) as channel:
            others = [] if alone else [asyncio.create_task(say(channel))]
            with pytest.raises(asyncio.TimeoutError):
                await say(channel, timeout=2.0)
            await asyncio.gather(*others)
    ends = [(entry["event"], entry["log_level"]) for entry in logs]
    if alone:
        assert ends == [("dial.started", "info"), ("dial.failed", "warning")]
        assert (logs[1]["phase"], logs[1]["elapsed"]) == ("memory", 2.0)
        assert logs[1]["error"] == "ConnectTimeout: the call's deadline passed during the dial"
    else:
        assert ends == [("dial.started", "info"), ("dial.connected", "info")]


# PINGs (gRFC A8)


async def test_too_many_pings_doubles_the_interval_and_says_so(
    far_end: Any, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = Endpoint(TARGET, http2_keepalive_interval=10.0)
    async with endpoint.connect(far_end) as channel:
        for expected in (10.0, 20.0, 40.0):
            assert await say(channel) == b"hello"
            protocol = await channel.__connect__()
            assert protocol.options.http2_keepalive_interval == expected
            frame = GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=11, additional_data=b"too_many_pings")
            far_end.transports[-1].write(frame.serialize())
            await protocol.lost.wait()
    assert [record.name for record in caplog.records] == ["ziggurat.services"] * 3
    assert "too_many_pings: HTTP/2 keepalive PINGs are now 20 s apart, not 10 s" in caplog.text
    assert "now 80 s" in caplog.text


async def test_another_calm_down_leaves_the_interval_alone(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET, http2_keepalive_interval=10.0).connect(far_end) as channel:
        await say(channel)
        protocol = await channel.__connect__()
        frame = GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=11, additional_data=b"slow down")
        far_end.transports[-1].write(frame.serialize())
        await protocol.lost.wait()
        await say(channel)
        assert (await channel.__connect__()).options.http2_keepalive_interval == 10.0
