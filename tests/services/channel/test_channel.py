"""The channel: one dial for all calls, its states, its errors, its end. In memory and in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import warnings
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import grpclib.client
import pytest
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import Deadline
from hyperframe.frame import GoAwayFrame

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
    phase,
)

pytestmark = pytest.mark.asyncio_only

TARGET = "http://far.example:50051"
STEADY = Backoff(1.0, factor=2.0, jitter=0.0, maximum=8.0)

loose: contextvars.ContextVar[str] = contextvars.ContextVar("loose", default="clean")

Say = Callable[..., Awaitable[bytes]]


async def calls(say: Say, channel: Channel, count: int) -> list[Any]:
    return await asyncio.gather(*(say(channel) for _ in range(count)), return_exceptions=True)


async def settle() -> None:
    await asyncio.sleep(0.01)


async def goaway(far_end: Any, index: int = -1) -> None:
    """The server says that it takes no new call; it goes on with those it has."""
    far_end.transports[index].write(GoAwayFrame(0, last_stream_id=2**31 - 1).serialize())
    await settle()


# -- calls


async def test_any_stub_takes_the_channel_and_the_first_call_dials(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        assert isinstance(channel, grpclib.client.Channel)
        assert channel.state is ChannelState.IDLE
        assert far_end.dials == 0
        assert channel.ledger is None
        assert await say(channel, b"hello") == b"hello"
        assert await say(channel, b"again") == b"again"
        assert far_end.dials == 1
        assert channel.state is ChannelState.READY
        assert channel.ledger is not None
        assert [(p.name, p.outcome) for p in channel.ledger.phases] == [("memory", "ok"), ("http2", "ok")]
        assert channel.ledger.sent_to_target
        assert not channel.ledger.running
    assert channel.state is ChannelState.SHUTDOWN
    assert repr(channel) == "Channel('http://far.example:50051', shutdown)"


async def test_grpclibs_own_way_to_a_connection_dials_through_the_connector(far_end: Any) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        assert await channel._create_connection() is await channel.__connect__()
        assert far_end.dials == 1


async def test_call_timeout_is_the_deadline_of_a_call_that_brings_none(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET, call_timeout=30.0).connect_lazy(far_end) as channel:
        await say(channel)
        await say(channel, timeout=5.0)
        deadlines = far_end.service.deadlines
        assert 25 < deadlines[0] <= 30
        assert 4 < deadlines[1] <= 5
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        await say(channel)
        assert deadlines[2] is None


async def test_the_sooner_of_timeout_and_deadline_counts(far_end: Any, make_stub: Any) -> None:
    async with Endpoint(TARGET, call_timeout=1.0).connect_lazy(far_end) as channel:
        method = make_stub(channel).say
        for timeout, deadline in ((50.0, 20.0), (20.0, 50.0), (None, 20.0)):
            request = channel.request(
                method.name,
                method._cardinality,
                BytesValue,
                BytesValue,
                timeout=timeout,
                deadline=Deadline.from_timeout(deadline),
                metadata={"key": "value"},
            )
            async with request as stream:
                await stream.send_message(BytesValue(value=b"x"), end=True)
                await stream.recv_message()
            assert 15 < far_end.service.deadlines[-1] <= 20
            assert far_end.service.headers["key"] == "value"


# -- one dial for all


async def test_twenty_callers_on_a_dead_target_share_one_dial_of_a_fifth_of_a_second(far_end: Any, say: Say) -> None:
    far_end.delay, far_end.error = 0.2, ConnectRefused("nobody listens")
    start = anyio.current_time()
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        errors = await calls(say, channel, 20)
    assert anyio.current_time() - start <= 0.25
    assert far_end.dials == 1
    assert all(isinstance(error, GRPCError) and error.status is Status.UNAVAILABLE for error in errors)
    causes = [error.__cause__ for error in errors]
    assert all(isinstance(cause, ConnectRefused) for cause in causes)
    assert len({id(cause) for cause in causes}) == 20


async def test_twenty_callers_share_one_connection(far_end: Any, say: Say) -> None:
    far_end.delay = 0.2
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        assert await calls(say, channel, 20) == [b"hello"] * 20
        assert far_end.dials == 1


async def test_a_callers_deadline_or_cancellation_disturbs_nobody_else(far_end: Any, say: Say) -> None:
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


async def test_when_all_have_left_the_dial_is_cancelled_and_the_next_call_dials_anew(far_end: Any, say: Say) -> None:
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


async def test_the_dial_joins_no_other_and_sees_nothing_of_the_callers_context(far_end: Any, say: Say) -> None:
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


# -- backoff


async def test_while_backing_off_calls_fail_at_once_with_the_last_error(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("nobody listens")
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
        far_end.error = ConnectRefused("nobody listens")
        for wait in (1.0, 2.0, 4.0):
            await calls(say, channel, 1)
            await asyncio.sleep(wait)
        far_end.error = None
        assert await say(channel) == b"hello"
        far_end.transports[-1].abort()
        await settle()
        far_end.error = ConnectRefused("nobody listens")
        await calls(say, channel, 1)
        await asyncio.sleep(1.0)
        far_end.error = None
        assert await say(channel) == b"hello"


async def test_wait_for_ready_waits_until_the_target_is_there(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("nobody listens")
    start = anyio.current_time()
    async with Endpoint(TARGET, wait_for_ready=True, backoff=STEADY).connect_lazy(far_end) as channel:
        waiting = [asyncio.create_task(say(channel)) for _ in range(20)]
        await asyncio.sleep(6.5)
        assert far_end.dials == 3  # at 0, 1 and 3 seconds
        far_end.error = None
        assert await asyncio.gather(*waiting) == [b"hello"] * 20
        assert anyio.current_time() - start == pytest.approx(7.0, abs=0.01)
        assert far_end.dials == 4


async def test_who_waits_for_ready_still_has_a_deadline_and_hears_of_the_close(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("nobody listens")
    channel = Endpoint(TARGET, wait_for_ready=True).connect_lazy(far_end)
    with pytest.raises(asyncio.TimeoutError):
        await say(channel, timeout=0.5)
    waiting = asyncio.create_task(say(channel))
    await settle()
    channel.close()
    with pytest.raises(ChannelClosed):
        await waiting


async def test_wait_for_ready_does_not_wait_for_what_will_not_mend(far_end: Any, say: Say) -> None:
    far_end.error = ConnectError("wrong password", transient=False)
    async with Endpoint(TARGET, wait_for_ready=True).connect_lazy(far_end) as channel:
        with pytest.raises(GRPCError, match="wrong password"):
            await say(channel)


async def test_connect_tries_once_and_raises_the_error_itself(far_end: Any) -> None:
    far_end.error = ConnectRefused("nobody listens")
    for waits in (False, True):
        with pytest.raises(ConnectRefused) as caught:
            await Endpoint(TARGET, wait_for_ready=waits).connect(far_end)
        assert caught.value.ledger is not None
        assert caught.value.phase == "memory"
    assert far_end.dials == 2


async def test_connect_of_the_channel_does_not_wait_for_the_backoff(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("nobody listens")
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        for _ in range(2):
            with pytest.raises(ConnectRefused):
                await channel.connect()
        far_end.error = None
        await channel.connect()
        await channel.connect()
        assert far_end.dials == 3
        assert await say(channel) == b"hello"


async def test_an_attempt_that_was_given_up_does_not_end_the_backoff(far_end: Any, say: Say) -> None:
    far_end.error = ConnectRefused("nobody listens")
    async with Endpoint(TARGET, backoff=Backoff(100.0)).connect_lazy(far_end) as channel:
        await calls(say, channel, 1)
        far_end.delay = 10.0
        with anyio.move_on_after(1.0):
            await channel.connect()
        assert channel.state is ChannelState.TRANSIENT_FAILURE
        with pytest.raises(GRPCError, match="nobody listens"):
            await say(channel)
        assert far_end.dials == 2


async def test_a_connect_in_a_cancelled_scope_has_cleaned_up_when_it_returns(far_end: Any) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.play = mute
    with anyio.move_on_after(1.0) as scope:
        await Endpoint(TARGET).connect(far_end)
    assert scope.cancelled_caught
    assert far_end.dials == 1
    assert far_end.open == 0


# -- states


async def test_the_states_of_a_life(far_end: Any, say: Say) -> None:
    channel = Endpoint(TARGET, backoff=STEADY).connect_lazy(far_end)
    states = channel.states()
    far_end.error = ConnectRefused("nobody listens")
    await calls(say, channel, 1)
    far_end.error = None
    await asyncio.sleep(1)
    await say(channel)
    far_end.transports[-1].abort()
    assert await channel.wait_for_state(ChannelState.IDLE) is ChannelState.IDLE
    await say(channel)
    await channel.aclose()
    assert [state.name for state in [state async for state in states]] == [
        "IDLE",
        "CONNECTING",
        "TRANSIENT_FAILURE",
        "CONNECTING",
        "READY",
        "IDLE",
        "CONNECTING",
        "READY",
        "SHUTDOWN",
    ]


async def test_a_state_can_be_awaited_and_a_close_ends_the_wait(far_end: Any) -> None:
    channel = Endpoint(TARGET).connect_lazy(far_end)
    ready = asyncio.create_task(channel.wait_for_state(ChannelState.READY))
    failed = asyncio.create_task(channel.wait_for_state(ChannelState.TRANSIENT_FAILURE))
    await channel.connect()
    assert await ready is ChannelState.READY
    await channel.aclose()
    with pytest.raises(ChannelClosed):
        await failed
    assert await channel.wait_for_state(ChannelState.SHUTDOWN) is ChannelState.SHUTDOWN


# -- loss


async def test_a_lost_connection_is_made_again_through_the_whole_stack(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        for dials in (1, 2, 3):
            assert await say(channel) == b"hello"
            assert far_end.dials == dials
            far_end.transports[-1].abort()
            await settle()
            assert channel.state is ChannelState.IDLE
            assert channel._alive == set()
        assert far_end.open == 0


async def test_after_a_goaway_calls_in_flight_finish_and_new_ones_go_elsewhere(
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


async def test_a_server_that_goes_away_with_its_settings_is_a_failed_dial(far_end: Any, say: Say) -> None:
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


# -- http2


async def test_a_mute_server_is_a_timeout_of_the_phase_http2(far_end: Any, say: Say) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.play = mute
    start = anyio.current_time()
    with pytest.raises(ConnectTimeout) as caught:
        await Endpoint(TARGET, http2_timeout=3.0).connect(far_end)
    assert anyio.current_time() - start == pytest.approx(3.0)
    assert (caught.value.phase, caught.value.name, caught.value.limit) == ("http2", "http2_timeout", 3.0)
    assert caught.value.sent_to_target
    assert caught.value.transient
    assert far_end.open == 0
    async with Endpoint(TARGET, http2_timeout=3.0).connect_lazy(far_end) as channel:
        with pytest.raises(GRPCError) as rejected:
            await say(channel)
        assert rejected.value.status is Status.UNAVAILABLE
        assert rejected.value.message == str(rejected.value.__cause__)
        assert isinstance(rejected.value.__cause__, ConnectTimeout)


async def test_connect_timeout_covers_the_stack_and_http2(far_end: Any) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.delay, far_end.play = 2.0, mute
    start = anyio.current_time()
    with pytest.raises(ConnectTimeout) as caught:
        await Endpoint(TARGET, connect_timeout=3.0, http2_timeout=None).connect(far_end)
    assert anyio.current_time() - start == pytest.approx(3.0)
    assert (caught.value.phase, caught.value.name) == ("http2", "connect_timeout")
    far_end.delay = 10.0
    with pytest.raises(ConnectTimeout) as caught:
        await Endpoint(TARGET, connect_timeout=3.0).connect(far_end)
    assert (caught.value.phase, caught.value.name) == ("memory", "connect_timeout")
    assert not caught.value.sent_to_target
    assert far_end.open == 0


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"\x05\xff", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 64],
)
async def test_a_server_that_speaks_something_else_is_a_clear_error_at_once(far_end: Any, reply: bytes) -> None:
    async def speak(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(reply)
        if len(reply) < 9:
            return  # too short to judge before it hangs up
        await anyio.sleep(100)

    far_end.play = speak
    start = anyio.current_time()
    with pytest.raises(Http2Error) as caught:
        await Endpoint(TARGET).connect(far_end)
    assert anyio.current_time() - start < 1
    assert caught.value.phase == "http2"
    assert not caught.value.transient
    assert caught.value.sent_to_target
    await settle()
    assert far_end.open == 0


async def test_a_server_that_hangs_up_before_its_settings_is_a_transient_error(far_end: Any) -> None:
    async def hang_up(stream: ByteStream) -> None:
        await stream.receive()

    far_end.play = hang_up
    with pytest.raises(Http2Error, match="before its SETTINGS") as caught:
        await Endpoint(TARGET).connect(far_end)
    assert caught.value.transient


# -- foreign errors, and https


async def test_what_a_users_connector_raises_becomes_a_connect_error(say: Say) -> None:
    original = RuntimeError("a stranger's\nerror")

    async def broken(uri: Uri) -> ByteStream:
        with phase("my.step", via="gateway"):
            raise original

    async with Endpoint(TARGET).connect_lazy(broken) as channel:
        with pytest.raises(GRPCError) as caught:
            await say(channel)
    error = caught.value.__cause__
    assert type(error) is ConnectError
    assert error.__cause__ is original
    assert (error.phase, error.via) == ("my.step", "gateway")
    assert "RuntimeError: a stranger's error" in str(error)
    assert "\n" not in str(error)


async def test_a_connector_that_answers_with_something_else_is_told_so() -> None:
    async def wrong(uri: Uri) -> ByteStream:
        return None  # type: ignore[return-value]

    with pytest.raises(ConnectError, match="not an anyio ByteStream") as caught:
        await Endpoint(TARGET).connect(wrong)
    assert not caught.value.transient


async def test_https_without_a_verified_host_sends_nothing_and_says_what_to_add(far_end: Any) -> None:
    received: list[bytes] = []

    async def listen(stream: ByteStream) -> None:
        async for data in stream:
            received.append(data)

    far_end.play = listen
    for host in (None, "proxy.example"):
        far_end.tls_host = host
        with pytest.raises(ConnectError, match="TlsLayer") as caught:
            await Endpoint("https://far.example").connect(far_end)
        assert not caught.value.transient
        assert not caught.value.sent_to_target
        assert far_end.near[-1].closed
    await settle()
    assert received == []


async def test_https_is_content_with_a_tls_phase_of_its_own_host(far_end: Any, say: Say) -> None:
    far_end.tls_host = "far.example"
    async with Endpoint("https://far.example").connect(far_end) as channel:
        await say(channel)
        assert far_end.service.headers[":scheme"] == "https"
        assert far_end.service.headers[":authority"] == "far.example:443"


# -- the end


async def test_a_call_after_close_raises_channel_closed(far_end: Any, say: Say) -> None:
    channel = await Endpoint(TARGET).connect(far_end)
    await say(channel)
    channel.close()
    channel.close()
    with pytest.raises(ChannelClosed, match="closed"):
        await say(channel)
    with pytest.raises(ChannelClosed):
        await channel.connect()
    await channel.aclose()
    await channel.aclose()
    assert far_end.open == 0
    assert far_end.dials == 1


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


async def test_closing_while_http2_is_under_way_closes_the_stream(far_end: Any, say: Say) -> None:
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


async def test_aclose_returns_when_linger_is_over_although_the_peer_reads_nothing(far_end: Any) -> None:
    async def stuck(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"\0\0\0\4\0\0\0\0\0")
        await anyio.sleep(1000)

    far_end.play = stuck
    channel = await Endpoint(TARGET, linger=3.0).connect(far_end)
    protocol = await channel.__connect__()
    protocol.connection._transport.write(b"\0" * 10_000_000)
    start = anyio.current_time()
    await channel.aclose()
    assert anyio.current_time() - start == pytest.approx(3.0, abs=0.1)
    assert far_end.open == 0


async def test_a_dropped_channel_warns_closes_its_connection_and_needs_no_garbage_collector(far_end: Any) -> None:
    channel = await Endpoint(TARGET).connect(far_end)
    await settle()
    states = channel.states()
    gone = weakref.ref(channel)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    gc.disable()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del channel
        assert gone() is None
    finally:
        gc.enable()
        asyncio.get_running_loop().set_exception_handler(None)
    assert [(w.category, "Unclosed channel" in str(w.message)) for w in caught] == [(ResourceWarning, True)]
    assert len(reported) == 1
    assert [state async for state in states][-1] is ChannelState.SHUTDOWN
    await settle()
    assert far_end.open == 0


async def test_a_channel_without_a_connection_can_be_dropped_silently(far_end: Any, say: Say) -> None:
    channel = Endpoint(TARGET).connect_lazy(far_end)
    far_end.error = ConnectRefused("nobody listens")
    await calls(say, channel, 1)
    far_end.error = RuntimeError("a stranger's")
    with pytest.raises(ConnectError):
        await channel.connect()
    far_end.error = None
    await channel.connect()
    far_end.transports[-1].abort()
    await settle()
    gone = weakref.ref(channel)
    gc.disable()
    try:
        del channel
        if sys.version_info >= (3, 12):
            gc.collect()  # from there on a frame that a traceback holds may keep its callers
        assert gone() is None
    finally:
        gc.enable()


async def test_nothing_is_left_when_a_call_is_cancelled_at_any_step(far_end: Any, say: Say) -> None:
    before = len(asyncio.all_tasks())
    for steps in range(60):
        channel = Endpoint(TARGET).connect_lazy(far_end)
        call = asyncio.create_task(say(channel))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        await channel.aclose()
        assert far_end.open == 0, steps
    await settle()
    assert len(asyncio.all_tasks()) == before
    assert call.done()
    assert not call.cancelled()  # the last was late: the call had its answer


async def test_nothing_is_left_when_a_connect_is_cancelled_at_any_step(far_end: Any) -> None:
    before = len(asyncio.all_tasks())
    finished = False
    for steps in range(60):
        dialling = asyncio.ensure_future(_connect(far_end))
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


async def _connect(connector: Any) -> Channel:
    return await Endpoint(TARGET).connect(connector)


async def test_a_dial_that_fails_after_the_stack_answered_leaves_nothing_open(far_end: Any) -> None:
    near: list[ByteStream] = []

    class Unmade(anyio.abc.ByteStream):
        closed = False

        async def receive(self, max_bytes: int = 65536) -> bytes:
            raise anyio.BrokenResourceError

        async def send(self, item: bytes) -> None:
            raise anyio.BrokenResourceError

        async def send_eof(self) -> None: ...

        async def aclose(self) -> None:
            self.closed = True

    async def connector(uri: Uri) -> ByteStream:
        near.append(Unmade())
        return near[-1]

    with pytest.raises(Http2Error) as caught:
        await Endpoint(TARGET).connect(connector)
    assert caught.value.transient
    assert near[0].closed  # type: ignore[attr-defined]
