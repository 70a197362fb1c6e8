"""The pump: any byte stream as an asyncio transport."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import ssl
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream
from hypothesis import given
from hypothesis import strategies as st

from tests.eager import EAGER, eagerly
from ziggurat.layers.testing import MemoryStream, stream_pair
from ziggurat.services.stream_transport import CLOSE_LIMIT, HIGH_WATER, StreamTransport

pytestmark = pytest.mark.asyncio_only

loose: contextvars.ContextVar[str] = contextvars.ContextVar("loose", default="clean")


class Recorder(asyncio.Protocol):
    """Records its callbacks in order."""

    def __init__(self, *, keep_half_open: bool = False) -> None:
        self.events: list[str] = []
        self.data = b""
        self.error: Exception | None = None
        self.lost = asyncio.Event()
        self.arrived = asyncio.Event()
        self.keep_half_open = keep_half_open
        self.seen: str | None = None
        self.on_data: Callable[[], object] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.seen = loose.get()
        self.data += data
        self.arrived.set()
        self.on_data()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_half_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.error = exc
        self.lost.set()


class Slow(MemoryStream):
    """A stream whose close hangs until it is forced, as with TLS."""

    async def aclose(self) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await super().aclose()


class Prompt(MemoryStream):
    """A stream that does not suspend when it need not, like our own."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return self._incoming.take(max_bytes) if self._incoming.chunks else await super().receive(max_bytes)

    async def send(self, item: bytes) -> None:
        self._outgoing.put(item)


def prompt_pair() -> tuple[Prompt, MemoryStream]:
    near, far = stream_pair()
    return Prompt(near._incoming, near._outgoing), far


def pumped(**kwargs: bool) -> tuple[StreamTransport, Recorder, MemoryStream, MemoryStream]:
    near, far = stream_pair()
    protocol = Recorder(**kwargs)
    return StreamTransport(near, protocol), protocol, near, far


async def drained(stream: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await stream.receive()
    except anyio.EndOfStream:
        return data


async def test_bytes_pass_both_ways_and_consecutive_writes_are_sent_in_one_piece() -> None:
    transport, protocol, _, far = pumped()
    for piece in (b"one ", bytearray(b"two "), memoryview(b"three")):
        transport.write(piece)
    transport.write(b"")
    assert await far.receive() == b"one two three"
    await far.send(b"back")
    await protocol.arrived.wait()
    assert protocol.data == b"back"
    transport.close()
    await protocol.lost.wait()


async def test_a_mutable_buffer_may_be_changed_after_write() -> None:
    transport, protocol, _, far = pumped()
    buffer = bytearray(b"before")
    transport.write(buffer)
    buffer[:] = b"after!"
    assert await far.receive() == b"before"
    transport.abort()
    await protocol.lost.wait()


async def test_close_sends_pending_data_and_reports_the_loss_once() -> None:
    transport, protocol, near, far = pumped()
    transport.write(b"x" * 200_000)
    transport.close()
    transport.close()
    transport.write(b"too late")
    assert transport.is_closing()
    assert await drained(far) == b"x" * 200_000
    await protocol.lost.wait()
    await asyncio.sleep(1)
    assert near.closed
    assert not near.closed_by_force
    assert protocol.events.count("lost") == 1
    assert protocol.error is None
    assert transport.get_write_buffer_size() == 0


async def test_abort_drops_pending_data_and_closes_by_force() -> None:
    transport, protocol, near, _far = pumped()
    transport.write(b"x" * 10_000_000)
    await asyncio.sleep(1)
    assert transport.get_write_buffer_size() > 0
    transport.abort()
    transport.abort()
    await protocol.lost.wait()
    assert near.closed
    assert near.closed_by_force
    assert transport.get_write_buffer_size() == 0
    assert protocol.events.count("lost") == 1


async def test_nothing_is_delivered_after_close() -> None:
    transport, protocol, _, far = pumped()
    await far.send(b"first")
    await protocol.arrived.wait()
    transport.close()
    await far.send(b"second")
    await protocol.lost.wait()
    assert protocol.data == b"first"


async def test_closing_from_within_data_received_ends_the_connection() -> None:
    transport, protocol, near, far = pumped()
    protocol.on_data = transport.close
    await far.send(b"bye")
    await protocol.lost.wait()
    assert near.closed


async def test_the_protocol_is_paused_and_resumed_at_the_limits() -> None:
    transport, protocol, _, far = pumped()
    transport.set_write_buffer_limits(high=1000, low=100)
    assert transport.get_write_buffer_limits() == (100, 1000)
    transport.write(b"x" * 1000)
    assert "pause" not in protocol.events
    transport.write(b"x" * 1_000_000)
    assert protocol.events == ["made", "pause"]
    await asyncio.sleep(1)
    assert protocol.events == ["made", "pause"]  # the peer reads nothing
    received = 0
    while received < 1_001_000:
        received += len(await far.receive())
    await asyncio.sleep(1)
    assert protocol.events == ["made", "pause", "resume"]
    transport.abort()
    await protocol.lost.wait()


class Gated(MemoryStream):
    """A stream that sends when released, and records its context and whether it was closed during a receive."""

    def __init__(self, near: MemoryStream) -> None:
        super().__init__(near._incoming, near._outgoing)
        self.gate = asyncio.Semaphore(0)
        self.seen: str | None = None
        self.closed_in_receive = False

    async def send(self, item: bytes) -> None:
        self.seen = loose.get()
        await self.gate.acquire()
        await super().send(item)

    async def aclose(self) -> None:
        self.closed_in_receive = self._incoming.reading
        await super().aclose()


async def test_the_protocol_is_resumed_at_the_low_limit_and_data_is_sent_in_a_fresh_context() -> None:
    loose.set("leaked")
    stream = Gated(stream_pair()[0])
    protocol = Recorder()
    transport = StreamTransport(stream, protocol)
    transport.set_write_buffer_limits(high=1000, low=100)
    transport.write(b"x" * 2000)
    await asyncio.sleep(1)
    transport.write(b"x" * 100)
    stream.gate.release()
    await asyncio.sleep(1)
    assert transport.get_write_buffer_size() == 100
    assert protocol.events == ["made", "pause", "resume"]
    assert stream.seen == "clean"
    transport.abort()
    await protocol.lost.wait()


async def test_the_stream_is_closed_after_the_reader_has_ended() -> None:
    for end in ("close", "abort"):
        stream = Gated(stream_pair()[0])
        protocol = Recorder()
        transport = StreamTransport(stream, protocol)
        await asyncio.sleep(1)
        assert stream._incoming.reading
        getattr(transport, end)()
        await protocol.lost.wait()
        assert stream.closed
        assert not stream.closed_in_receive


async def test_the_limits_default_to_asyncios_and_are_checked() -> None:
    transport, protocol, *_ = pumped()
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    with pytest.raises(ValueError, match="high"):
        transport.set_write_buffer_limits(high=1, low=2)
    transport.abort()
    await protocol.lost.wait()


async def test_reading_pauses_even_during_a_receive() -> None:
    transport, protocol, _, far = pumped()
    await asyncio.sleep(1)  # the reader waits in receive()
    transport.pause_reading()
    assert not transport.is_reading()
    await far.send(b"held back")
    await asyncio.sleep(1)
    assert protocol.data == b""
    transport.resume_reading()
    assert transport.is_reading()
    await protocol.arrived.wait()
    assert protocol.data == b"held back"
    transport.pause_reading()
    transport.close()  # a paused reader does not hold up the end
    await protocol.lost.wait()


async def test_the_peers_end_of_stream_closes_unless_the_protocol_keeps_its_side_open() -> None:
    transport, protocol, near, far = pumped()
    await far.send_eof()
    await protocol.lost.wait()
    assert protocol.events == ["made", "eof", "lost"]
    assert near.closed

    transport, protocol, _, far = pumped(keep_half_open=True)
    await far.send_eof()
    await asyncio.sleep(1)
    assert protocol.events == ["made", "eof"]
    transport.write(b"still talking")
    assert await far.receive() == b"still talking"
    transport.close()
    await protocol.lost.wait()


async def test_write_eof_is_sent_after_the_data() -> None:
    transport, protocol, near, far = pumped()
    assert transport.can_write_eof()
    transport.write(b"the end")
    transport.write_eof()
    with pytest.raises(RuntimeError):
        transport.write(b"not quite")
    assert await drained(far) == b"the end"
    assert near.ended
    assert "lost" not in protocol.events
    await far.send(b"heard")
    await protocol.arrived.wait()
    transport.close()
    await protocol.lost.wait()


async def test_a_reset_is_reported_with_its_error() -> None:
    class Reset(MemoryStream):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            raise anyio.BrokenResourceError from ConnectionResetError("reset by peer")

    near, _far = stream_pair()
    protocol = Recorder()
    transport = StreamTransport(Reset(near._incoming, near._outgoing), protocol)
    await protocol.lost.wait()
    assert isinstance(protocol.error, ConnectionResetError)
    assert transport.is_closing()


async def test_a_failing_send_ends_the_connection() -> None:
    transport, protocol, near, far = pumped(keep_half_open=True)
    await far.aclose()
    transport.write(b"hello?")
    await protocol.lost.wait()
    assert near.closed
    assert protocol.events.count("lost") == 1


async def test_a_task_cancelled_before_its_first_step_still_closes_the_stream_and_reports_the_loss() -> None:
    for which in ("_reader", "_writer"):
        transport, protocol, near, _far = pumped()
        tasks = transport._reader, transport._writer
        getattr(transport, which).cancel()
        await protocol.lost.wait()
        assert near.closed
        assert protocol.events == ["made", "lost"]
        assert all(task.done() for task in tasks)


@pytest.mark.parametrize("factory", EAGER)
async def test_with_eager_tasks_nothing_is_read_or_sent_before_connection_made(factory: Any) -> None:
    near, far = prompt_pair()
    await far.send(b"already here")
    with eagerly(factory):
        protocol = Recorder(keep_half_open=True)
        transport = StreamTransport(near, protocol)
        assert protocol.events == ["made"]
        assert protocol.data == b""
        await protocol.arrived.wait()
        assert protocol.data == b"already here"
        transport.write(b"answer")
        assert await far.receive() == b"answer"
        transport.close()
        await protocol.lost.wait()
    assert near.closed


@pytest.mark.parametrize("factory", EAGER)
@pytest.mark.parametrize("how", ["abort", "close", "raise"])
async def test_with_eager_tasks_a_protocol_may_end_it_in_connection_made(factory: Any, how: str) -> None:
    class Ending(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            transport.write(b"x")  # type: ignore[attr-defined]
            if how == "raise":
                raise KeyError("a bug")
            getattr(transport, how)()

    near, far = prompt_pair()
    await far.send(b"unread")
    protocol = Ending()
    with eagerly(factory):
        if how == "raise":
            with pytest.raises(KeyError):
                StreamTransport(near, protocol)
        else:
            StreamTransport(near, protocol)
        await protocol.lost.wait()
    assert protocol.events == ["made", "lost"]
    assert near.closed
    assert await drained(far) == (b"x" if how == "close" else b"")


async def test_cancelling_a_running_task_closes_the_stream_and_reports_the_loss() -> None:
    for which in ("_reader", "_writer"):
        transport, protocol, near, _far = pumped()
        await asyncio.sleep(1)
        getattr(transport, which).cancel()
        await protocol.lost.wait()
        assert near.closed
        assert protocol.events == ["made", "lost"]


async def test_a_hanging_close_is_forced_after_the_limit() -> None:
    near, far = stream_pair()
    slow = Slow(near._incoming, near._outgoing)
    protocol = Recorder()
    transport = StreamTransport(slow, protocol)
    start = anyio.current_time()
    transport.close()
    await protocol.lost.wait()
    assert anyio.current_time() - start == pytest.approx(CLOSE_LIMIT)
    assert slow.closed
    await far.aclose()


async def test_abort_ends_a_hanging_close() -> None:
    near, far = stream_pair()
    slow = Slow(near._incoming, near._outgoing)
    protocol = Recorder()
    transport = StreamTransport(slow, protocol)
    start = anyio.current_time()
    transport.close()
    await asyncio.sleep(0.5)
    transport.abort()
    await protocol.lost.wait()
    assert slow.closed
    assert anyio.current_time() - start == pytest.approx(0.5)
    await far.aclose()


async def test_a_bug_in_the_protocol_is_reported_and_ends_the_connection() -> None:
    transport, protocol, near, far = pumped()
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))

    def fail() -> None:
        raise ValueError("a bug")

    protocol.on_data = fail
    await far.send(b"x")
    await protocol.lost.wait()
    loop.set_exception_handler(None)
    assert near.closed
    assert str(reported[0]["exception"]) == "a bug"
    assert reported[0]["transport"] is transport


async def test_a_protocol_that_fails_in_connection_made_leaves_nothing_open() -> None:
    class Refuses(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raise ValueError("no")

    near, _far = stream_pair()
    with pytest.raises(ValueError, match="no"):
        StreamTransport(near, Refuses())
    await asyncio.sleep(1)
    assert near.closed


async def test_the_pump_does_not_run_in_the_callers_context() -> None:
    loose.set("leaked")
    transport, protocol, _, far = pumped()
    await far.send(b"x")
    await protocol.arrived.wait()
    assert protocol.seen == "clean"
    transport.abort()
    await protocol.lost.wait()


async def test_extra_info_comes_from_the_streams_typed_attributes() -> None:
    near, far = stream_pair()
    marker = object()

    def gone() -> str:
        raise OSError("closed")

    near.attributes = {
        SocketAttribute.raw_socket: lambda: marker,
        SocketAttribute.remote_address: lambda: ("192.0.2.1", 1),
        SocketAttribute.local_address: gone,
    }
    protocol = Recorder()
    transport = StreamTransport(near, protocol)
    assert transport.get_extra_info("socket") is marker
    assert transport.get_extra_info("peername") == ("192.0.2.1", 1)
    assert transport.get_extra_info("sockname", "none") == "none"
    assert transport.get_extra_info("ssl_object") is None
    assert transport.get_extra_info("compression", 1) == 1
    transport.abort()
    await protocol.lost.wait()
    await far.aclose()


async def test_the_protocol_can_be_replaced() -> None:
    transport, first, _, far = pumped()
    second = Recorder()
    assert transport.get_protocol() is first
    transport.set_protocol(second)
    with pytest.raises(TypeError):
        transport.set_protocol(asyncio.BaseProtocol())
    await far.send(b"x")
    await second.arrived.wait()
    assert first.data == b""
    assert repr(transport).startswith("StreamTransport(")
    transport.close()
    await second.lost.wait()
    assert "closing" in repr(transport)


async def test_a_closed_connection_is_freed_without_the_garbage_collector() -> None:
    transport, protocol, near, _far = pumped()
    transport.close()
    await protocol.lost.wait()
    await asyncio.sleep(1)
    gone = weakref.ref(transport)
    gc.disable()
    try:
        del transport, near
        assert gone() is None
    finally:
        gc.enable()


async def test_tls_works_and_cannot_be_half_closed() -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("far.example").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    near, far = stream_pair()
    streams: list[TLSStream] = []

    async def serve() -> None:
        streams.append(await TLSStream.wrap(far, server_side=True, ssl_context=server_context))

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        client = await TLSStream.wrap(near, hostname="far.example", ssl_context=client_context)
    protocol = Recorder()
    transport = StreamTransport(client, protocol)
    assert not transport.can_write_eof()
    assert transport.get_extra_info("ssl_object").version().startswith("TLS")
    assert transport.get_extra_info("peercert") is not None
    transport.write(b"secret")
    assert await streams[0].receive() == b"secret"
    await streams[0].send(b"answer")
    await protocol.arrived.wait()
    assert protocol.data == b"answer"
    transport.close()
    with pytest.raises(anyio.EndOfStream):
        await streams[0].receive()
    await streams[0].aclose()
    await protocol.lost.wait()
    assert near.closed
    assert protocol.error is None


@given(st.lists(st.binary(max_size=5000), max_size=30))
def test_whatever_is_written_arrives_in_order(pieces: list[bytes]) -> None:
    async def run() -> None:
        transport, protocol, _, far = pumped()
        for piece in pieces:
            transport.write(piece)
            if len(piece) % 3 == 0:
                await asyncio.sleep(0)
        transport.close()
        assert await drained(far) == b"".join(pieces)
        await protocol.lost.wait()

    asyncio.run(run())
