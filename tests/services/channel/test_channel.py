"""The channel: calls, states, closing. In memory and in virtual time."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
import weakref
from typing import Any

import anyio
import grpclib.client
import pytest
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.metadata import Deadline

from tests.services.channel.calling import STEADY, TARGET, Say, calls, settle
from ziggurat.services import (
    Channel,
    ChannelClosed,
    ChannelState,
    ConnectError,
    ConnectRefused,
    Endpoint,
)

pytestmark = pytest.mark.asyncio_only


async def _connect(connector: Any) -> Channel:
    return await Endpoint(TARGET).connect(connector)


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


async def test_grpclibs_create_connection_dials_through_the_connector(far_end: Any) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        assert await channel._create_connection() is await channel.__connect__()
        assert far_end.dials == 1


async def test_call_timeout_is_the_deadline_of_calls_that_set_none(far_end: Any, say: Say) -> None:
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


async def test_the_states_of_a_channel_in_order(far_end: Any, say: Say) -> None:
    channel = Endpoint(TARGET, backoff=STEADY).connect_lazy(far_end)
    states = channel.states()
    far_end.error = ConnectRefused("connection refused")
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


async def test_aclose_returns_after_linger_even_if_the_peer_reads_nothing(far_end: Any) -> None:
    async def stuck(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"\0\0\0\4\0\0\0\0\0")
        await anyio.sleep(1000)

    far_end.play = stuck
    channel = await Endpoint(TARGET, linger=3.0).connect(far_end)
    protocol = await channel.__connect__()
    protocol._transport.write(b"\0" * 10_000_000)
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
    far_end.error = ConnectRefused("connection refused")
    await calls(say, channel, 1)
    far_end.error = RuntimeError("a foreign error")
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
            gc.collect()  # from 3.12 on, a frame in a traceback may keep its callers alive
        assert gone() is None
    finally:
        gc.enable()


async def test_a_call_cancelled_at_any_step_leaves_nothing_behind(far_end: Any, say: Say) -> None:
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
    assert not call.cancelled()  # the last cancellation came after the reply


# Loops


async def test_a_new_channel_does_not_let_python_forget_which_warnings_it_has_shown(far_end: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warnings.warn("once", UserWarning, stacklevel=1)
            Endpoint(TARGET).connect_lazy(far_end)
    assert len(caught) == 1


def test_a_channel_may_be_made_before_its_loop_runs_and_belongs_to_it(memory_server: Any, say: Say) -> None:
    dialled: list[Any] = []

    async def connect(uri: Any) -> ByteStream:
        dialled.append(memory_server())
        return await dialled[-1](uri)  # type: ignore[no-any-return]

    channel = Endpoint(TARGET).connect_lazy(connect)

    async def first() -> None:
        assert await say(channel) == b"hello"
        for server in dialled:
            await server.aclose()

    async def second() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await say(channel)
        with pytest.raises(RuntimeError, match="another event loop"):
            await channel.connect()
        with pytest.raises(RuntimeError, match="another event loop"):
            await channel.aclose()

    asyncio.run(first())
    asyncio.run(second())
    channel.close()
    assert channel.state is ChannelState.SHUTDOWN


async def test_a_channel_tells_what_its_connections_have_done(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET).connect_lazy(far_end) as channel:
        assert channel.connections == ()
        await say(channel)
        await say(channel)
        (connection,) = channel.connections
        assert (connection.streams_started, connection.streams_open, connection.accepting) == (2, 0, True)
    assert channel.connections == ()


async def test_an_infinite_timeout_is_none(far_end: Any, say: Say) -> None:
    async with Endpoint(TARGET).connect(far_end) as channel:
        assert await say(channel, timeout=float("inf")) == b"hello"
        assert far_end.service.deadlines == [None]
