"""Our stream over real sockets: exact reads, backpressure both ways, and a hand-over that loses nothing."""

from __future__ import annotations

import asyncio
import errno
import gc
import importlib.util
import socket
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from ziggurat.services import DialAttribute, TransportStream, Uri, dial
from ziggurat.services.transport_stream import HIGH_WATER, StreamProtocol

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

LOOPS = ["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"]
MANY = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the buffers of a loopback connection take


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(loop_name: str) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"debug": True, "use_uvloop": loop_name == "uvloop"}


class Far:
    """The far end: a plain socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        """Return exactly ``size`` bytes, or fewer at EOF."""
        data = bytearray()
        while len(data) < size:
            chunk = await asyncio.get_running_loop().sock_recv(self.sock, min(size - len(data), 1 << 20))
            if not chunk:
                break
            data += chunk
        return bytes(data)

    def fill(self) -> int:
        """Send until the system accepts no more; return the number of bytes."""
        sent = 0
        try:
            while True:
                sent += self.sock.send(b"z" * 65536)
        except BlockingIOError:
            return sent

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@asynccontextmanager
async def connected(family: int = socket.AF_INET, path: str = "") -> AsyncIterator[tuple[TransportStream, Far]]:
    loop = asyncio.get_running_loop()
    address: Any = path or ("127.0.0.1" if family == socket.AF_INET else "::1", 0)
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
        connect = (
            loop.create_unix_connection(StreamProtocol, path)
            if path
            else loop.create_connection(StreamProtocol, *listener.getsockname()[:2])
        )
        transport, protocol = await connect
        sock, _ = await loop.sock_accept(listener)
    sock.setblocking(False)
    stream = TransportStream(transport, protocol)
    try:
        with sock, anyio.fail_after(30):
            yield stream, Far(sock)
    finally:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
            if not protocol.lost:
                transport.abort()
            await checkpoint()
            await checkpoint()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await checkpoint()


async def read(stream: TransportStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await stream.receive()
    return bytes(data)


class Taker(asyncio.Protocol):
    """A protocol that takes over a transport; ``keep_open`` is returned at EOF, ``act`` runs at each call."""

    def __init__(self, stream: TransportStream, *, keep_open: bool = True) -> None:
        self.stream = stream
        self.keep_open = keep_open
        self.calls: list[str] = []
        self.data = bytearray()
        self.transport: asyncio.Transport | None = None
        self.act: Callable[[str], None] = lambda _: None

    def note(self, call: str) -> None:
        if not self.calls or self.calls[-1] != call:
            self.calls.append(call)
        self.act(call)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not an instance of it
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")

    def eof_received(self) -> bool:
        self.note("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost")
        self.stream.report_close()


# --- receive and send -------------------------------------------------------------------------------------------------


async def test_an_exact_read_leaves_the_rest_in_the_queue() -> None:
    async with connected() as (stream, far):
        await far.send(b"abcdefghij")
        await until(lambda: stream._protocol.waiting == 10)

        assert [await stream.receive(n) for n in (1, 2, 3, 100)] == [b"a", b"bc", b"def", b"ghij"]
        assert stream.bytes_received == 10


@pytest.mark.parametrize("size", [1, 7, 4096, 65535, 65537, 1 << 20])
async def test_reads_of_any_size_return_every_byte_once_and_in_order(size: int) -> None:
    data = MANY[: min(len(MANY), size * 3000)]
    async with connected() as (stream, far), anyio.create_task_group() as group:
        group.start_soon(far.send, data)
        received = bytearray()
        while len(received) < len(data):
            chunk = await stream.receive(size)
            assert 0 < len(chunk) <= size
            received += chunk

    assert received == data
    assert stream.bytes_received == len(data)


async def test_data_before_eof_is_read_before_eof_is_reported() -> None:
    async with connected() as (stream, far):
        await far.send(b"last words")
        far.sock.shutdown(socket.SHUT_WR)
        await until(lambda: stream._protocol.eof)

        assert await read(stream, 10) == b"last words"
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await stream.receive()


async def test_a_stream_is_readable_while_receive_would_not_wait() -> None:
    async with connected() as (stream, far):
        assert not stream.readable
        await far.send(b"ab")
        await until(lambda: stream.readable)
        assert await read(stream, 2) == b"ab"
        assert not stream.readable
        far.sock.shutdown(socket.SHUT_WR)
        await until(lambda: stream.readable)  # the end of an idle connection
        await stream.aclose()
        assert stream.readable


async def test_after_the_peers_eof_we_can_still_send() -> None:
    async with connected() as (stream, far):
        far.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(EndOfStream):
            await stream.receive()
        await stream.send(b"answer")

        assert await far.receive(6) == b"answer"
        assert stream.bytes_sent == 6


async def test_after_our_eof_we_can_still_receive() -> None:
    async with connected() as (stream, far):
        await stream.send(b"question")
        await stream.send_eof()
        await stream.send_eof()

        assert await far.receive(100) == b"question"
        await far.send(b"answer")
        assert await read(stream, 6) == b"answer"


async def test_data_before_a_reset_is_read_before_the_reset_is_reported() -> None:
    async with connected() as (stream, far):
        await far.send(b"abc")
        await until(lambda: stream._protocol.waiting == 3)
        far.reset()
        await until(lambda: stream._protocol.lost)

        assert await stream.receive() == b"abc"
        with pytest.raises(BrokenResourceError) as caught:
            await stream.receive()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_a_reset_breaks_a_waiting_receive_and_every_later_send() -> None:
    async with connected() as (stream, far), anyio.create_task_group() as group:

        async def receive() -> None:
            with pytest.raises(BrokenResourceError) as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, OSError)
            assert caught.value.__cause__.errno == errno.ECONNRESET

        group.start_soon(receive)
        await until(lambda: stream._protocol.reader)
        far.reset()
        await until(lambda: stream._protocol.lost)

        for _ in range(8):
            with pytest.raises(BrokenResourceError):
                await stream.send(b"x")


async def test_a_reset_breaks_a_waiting_send() -> None:
    async with connected() as (stream, far), anyio.create_task_group() as group:

        async def send() -> None:
            with pytest.raises(BrokenResourceError):
                await stream.send(MANY)

        group.start_soon(send)
        await until(lambda: stream._protocol.writer)
        far.reset()


# --- backpressure -----------------------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_read_blocks_send_until_it_does() -> None:
    async with connected() as (stream, far), anyio.create_task_group() as group:
        done: list[bool] = []

        async def send() -> None:
            await stream.send(MANY)
            done.append(True)

        group.start_soon(send)
        await until(lambda: stream._protocol.writer)
        assert not done
        assert await far.receive(len(MANY)) == MANY
        await until(lambda: done)


async def test_unread_data_stops_the_peer_and_is_not_lost() -> None:
    async with connected() as (stream, far):
        sent = 0
        while not stream._protocol.read_paused:
            sent += far.fill()
            await checkpoint()
        for _ in range(50):
            sent += far.fill()
            await checkpoint()

        assert HIGH_WATER < stream._protocol.waiting <= HIGH_WATER + 256 * 1024
        far.sock.shutdown(socket.SHUT_WR)
        received = await read(stream, sent)
        assert received == b"z" * sent
        assert not stream._protocol.read_paused
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_sending_to_a_fast_peer_lets_other_tasks_run() -> None:
    async with connected() as (stream, far), anyio.create_task_group() as group:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await checkpoint()

        def drain() -> None:
            far.sock.setblocking(True)
            while far.sock.recv(1 << 20):
                pass

        group.start_soon(run_sync, drain)
        group.start_soon(count)
        await checkpoint()
        for _ in range(100):
            await stream.send(bytes(HIGH_WATER + 1))
        assert turns >= 100
        await stream.aclose()
        group.cancel_scope.cancel()


# --- cancellation, closing, two tasks at once -------------------------------------------------------------------------


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with connected() as (stream, far):
        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(stream.receive)
                await until(lambda: stream._protocol.reader)
                group.cancel_scope.cancel()
        await far.send(b"abc")

        assert await read(stream, 3) == b"abc"


async def test_a_receive_that_is_cancelled_as_data_arrives_loses_nothing() -> None:
    async with connected() as (stream, far):
        received = bytearray()

        async def receive() -> None:
            received.extend(await stream.receive())

        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await until(lambda: stream._protocol.reader)
            stream._protocol.data_received(b"abc")
            group.cancel_scope.cancel()
        await far.send(b"def")

        assert bytes(received) + await read(stream, 6 - len(received)) == b"abcdef"


@pytest.mark.parametrize("call", ["receive", "send"])
async def test_a_call_in_a_cancelled_scope_does_nothing(call: str) -> None:
    async with connected() as (stream, far):
        await far.send(b"abc")
        await until(lambda: stream._protocol.waiting)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await (stream.receive() if call == "receive" else stream.send(b"x"))
        await stream.send(b"y")

        assert scope.cancelled_caught
        assert await stream.receive() == b"abc"
        assert await far.receive(1) == b"y"


async def test_a_send_after_a_cancelled_one_keeps_the_order() -> None:
    async with connected() as (stream, far), anyio.create_task_group() as outer:
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, MANY)
            await until(lambda: stream._protocol.writer)
            group.cancel_scope.cancel()
        outer.start_soon(stream.send, b"next")

        assert await far.receive(len(MANY) + 4) == MANY + b"next"


@pytest.mark.parametrize("call", ["receive", "send"])
async def test_aclose_wakes_waiting_tasks(call: str) -> None:
    async with connected() as (stream, _), anyio.create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await (stream.receive() if call == "receive" else stream.send(MANY))

        group.start_soon(wait)
        await until(lambda: stream._protocol.reader or stream._protocol.writer)
        await stream.aclose()


async def test_a_second_receive_is_refused_and_the_first_continues() -> None:
    async with connected() as (stream, far), anyio.create_task_group() as group:
        received: list[bytes] = []

        async def receive() -> None:
            received.append(await stream.receive())

        group.start_soon(receive)
        await until(lambda: stream._protocol.reader)
        with pytest.raises(BusyResourceError):
            await stream.receive()
        await far.send(b"abc")
        await until(lambda: received)

        assert received == [b"abc"]


@pytest.mark.parametrize("wait_until_blocked", [True, False])
async def test_a_second_send_is_refused_and_the_first_arrives_whole(wait_until_blocked: bool) -> None:
    async with connected() as (stream, far), anyio.create_task_group() as group:
        group.start_soon(stream.send, MANY)
        await until(lambda: stream._protocol.writer if wait_until_blocked else stream.bytes_sent)
        with pytest.raises(BusyResourceError):
            await stream.send(b"second")

        assert await far.receive(len(MANY)) == MANY


async def test_a_closed_stream_refuses_everything_but_another_close() -> None:
    async with connected() as (stream, far):
        await far.send(b"unread")
        await until(lambda: stream._protocol.waiting)
        await stream.aclose()
        await stream.aclose()

        refused: list[Callable[[], Awaitable[object]]] = [stream.receive, lambda: stream.send(b"x"), stream.send_eof]
        for call in refused:
            with pytest.raises(ClosedResourceError):
                await call()
        with pytest.raises(ClosedResourceError):
            stream.hand_over(Taker(stream))
        assert "spent" in repr(stream)


async def test_what_was_sent_before_aclose_arrives() -> None:
    async with connected() as (stream, far):
        await stream.send(b"bye")
        await stream.aclose()

        assert await far.receive(100) == b"bye"


async def test_aclose_with_unsent_data_does_not_wait_for_the_peer() -> None:
    async with connected() as (stream, far):
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, MANY)
            await until(lambda: stream._protocol.writer)
            group.cancel_scope.cancel()
        await stream.aclose()
        await until(lambda: stream._protocol.lost)
        try:
            assert len(await far.receive(len(MANY))) < len(MANY)
        except ConnectionResetError:
            pass


async def test_send_nowait_sends_behind_what_is_being_sent_and_does_nothing_once_closed() -> None:
    async with connected() as (stream, far):
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, MANY)
            await until(lambda: stream._protocol.writer)
            stream.send_nowait(b"behind")
            assert await far.receive(len(MANY) + 6) == MANY + b"behind"
        assert stream.bytes_sent == len(MANY) + 6
        await stream.aclose()
        stream.send_nowait(b"x")
        assert await far.receive(1) == b""
        assert stream.bytes_sent == len(MANY) + 6


async def test_aclose_after_a_reset_is_quiet() -> None:
    async with connected() as (stream, far):
        far.reset()
        await until(lambda: stream._protocol.lost)
        await stream.send_eof()
        await stream.aclose()
        with pytest.raises(ClosedResourceError):
            await stream.receive()


@pytest.mark.parametrize("how", ["aclose", "reset", "both"])
async def test_on_close_is_called_once_however_it_ends(how: str) -> None:
    async with connected() as (stream, far):
        calls: list[int] = []
        stream.on_close(lambda: calls.append(1))
        await far.send(b"unread")
        await until(lambda: stream._protocol.waiting)
        assert not calls
        if how != "aclose":
            far.reset()
            await until(lambda: stream._protocol.lost)
        if how != "reset":
            await stream.aclose()
        await until(lambda: stream._protocol.lost)

    assert calls == [1]


async def test_a_forced_close_leaves_nothing_open() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with connected() as (stream, _):
            raw = stream.extra(SocketAttribute.raw_socket)
            await anyio.aclose_forcefully(stream)
            while raw.fileno() != -1:
                await checkpoint()
        del stream, raw
        gc.collect()

    assert not [w for w in caught if issubclass(w.category, ResourceWarning)]


# --- hand-over --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_first", [0, 3, 10, 70_000, 200_000])
async def test_a_hand_over_replays_unread_data_and_reading_goes_on(read_first: int) -> None:
    early, late = MANY[:300_000], b"late" * 1000
    async with connected() as (stream, far), anyio.create_task_group() as group:
        group.start_soon(far.send, early)
        received = bytearray()
        while len(received) < read_first:
            received += await stream.receive(read_first - len(received))
        # Let it read ahead as far as it can.
        await until(lambda: stream._protocol.waiting > HIGH_WATER or stream._protocol.waiting == 300_000 - read_first)
        over_read = stream._protocol.waiting
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        assert len(taker.data) == over_read
        assert transport is taker.transport
        await until(lambda: len(taker.data) == len(early) - read_first)
        await far.send(late)
        await until(lambda: len(taker.data) == len(early) + len(late) - read_first)
        transport.write(b"up")

        assert bytes(received) + bytes(taker.data) == early + late
        assert await far.receive(2) == b"up"
        assert taker.calls == ["made", "data"]
        assert stream.bytes_received == read_first


async def test_a_hand_over_replays_an_eof_that_came_before_it() -> None:
    async with connected() as (stream, far):
        await far.send(b"abcdef")
        far.sock.shutdown(socket.SHUT_WR)
        await until(lambda: stream._protocol.eof)
        assert await stream.receive(2) == b"ab"
        taker = Taker(stream)
        transport = stream.hand_over(taker)

        assert (taker.calls, bytes(taker.data)) == (["made", "data", "eof"], b"cdef")
        transport.write(b"still open")
        assert await far.receive(10) == b"still open"


async def test_a_protocol_that_does_not_stay_open_after_eof_is_closed() -> None:
    async with connected() as (stream, far):
        far.sock.shutdown(socket.SHUT_WR)
        await until(lambda: stream._protocol.eof)
        taker = Taker(stream, keep_open=False)
        stream.hand_over(taker)
        await until(lambda: "lost" in taker.calls)

        assert taker.calls == ["made", "eof", "lost"]
        assert await far.receive(1) == b""


async def test_an_eof_after_the_hand_over_reaches_the_protocol() -> None:
    async with connected() as (stream, far):
        taker = Taker(stream, keep_open=False)
        stream.hand_over(taker)
        far.sock.shutdown(socket.SHUT_WR)
        await until(lambda: "lost" in taker.calls)

        assert taker.calls == ["made", "eof", "lost"]


async def test_after_a_hand_over_the_stream_is_unusable_and_closing_it_does_nothing() -> None:
    async with connected() as (stream, far):
        calls: list[int] = []
        stream.on_close(lambda: calls.append(1))
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        with pytest.raises(ClosedResourceError):
            await stream.receive()
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")
        with pytest.raises(ClosedResourceError):
            stream.hand_over(taker)
        await stream.aclose()
        assert not calls
        transport.write(b"open")
        assert await far.receive(4) == b"open"
        transport.close()
        await until(lambda: "lost" in taker.calls)

        assert calls == [1]


async def test_a_lost_connection_cannot_be_handed_over() -> None:
    async with connected() as (stream, far):
        far.reset()
        await until(lambda: stream._protocol.lost)
        taker = Taker(stream)
        with pytest.raises(BrokenResourceError):
            stream.hand_over(taker)

        assert taker.calls == []


@pytest.mark.parametrize("call", ["receive", "send"])
async def test_a_stream_in_use_cannot_be_handed_over(call: str) -> None:
    async with connected() as (stream, _), anyio.create_task_group() as group:
        group.start_soon(*((stream.receive,) if call == "receive" else (stream.send, MANY)))
        await until(lambda: stream._protocol.reader or stream._protocol.writer)
        taker = Taker(stream)
        with pytest.raises(BusyResourceError):
            stream.hand_over(taker)
        group.cancel_scope.cancel()

    assert taker.calls == []


async def test_a_protocol_that_closes_during_the_replay_gets_no_more_data() -> None:
    async with connected() as (stream, _):
        for letter in (b"a", b"b", b"c"):
            stream._protocol.data_received(letter)
        taker = Taker(stream)
        taker.act = lambda call: taker.transport.close() if call == "data" and taker.transport is not None else None
        stream.hand_over(taker)
        await until(lambda: "lost" in taker.calls)

        assert bytes(taker.data) == b"a"


@pytest.mark.parametrize("where", ["made", "data"])
async def test_a_protocol_that_fails_during_the_hand_over_leaves_nothing_open(where: str) -> None:
    async with connected() as (stream, far):
        stream._protocol.data_received(b"a")
        taker = Taker(stream)

        def fail(call: str) -> None:
            if call == where:
                raise ValueError("not today")

        taker.act = fail
        with pytest.raises(ValueError, match="not today"):
            stream.hand_over(taker)
        await until(lambda: "lost" in taker.calls)

        try:
            assert await far.receive(1) == b""
        except ConnectionResetError:
            pass


async def test_a_hand_over_restores_the_default_limits_of_the_write_buffer() -> None:
    async with connected() as (stream, _):
        assert stream._transport.get_write_buffer_limits()[1] == 0
        transport = stream.hand_over(Taker(stream))

        assert transport.get_write_buffer_limits()[1] >= 65536


# --- attributes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_the_socket_attributes_have_anyios_form(family: int, host: str) -> None:
    async with connected(family) as (stream, far):
        ours, theirs = far.sock.getpeername(), far.sock.getsockname()

        assert stream.extra(SocketAttribute.family) == family
        assert stream.extra(SocketAttribute.local_address) == (host, ours[1])
        assert stream.extra(SocketAttribute.remote_address) == (host, theirs[1])
        assert stream.extra(SocketAttribute.local_port) == ours[1]
        assert stream.extra(SocketAttribute.remote_port) == theirs[1]
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert f"to ('{host}', " in repr(stream)


async def test_a_unix_socket_has_an_address_and_no_port(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with connected(socket.AF_UNIX, path) as (stream, far):
        await far.send(b"abc")

        assert await stream.receive() == b"abc"
        assert stream.extra(SocketAttribute.remote_address) == path
        assert stream.extra(SocketAttribute.remote_port, None) is None


async def test_the_ledger_is_a_typed_attribute() -> None:
    async with connected() as (stream, _):
        assert stream.extra(DialAttribute.ledger, None) is None
        with dial(Uri("http", "h", 80)) as current:
            assert current.established(stream) is stream
        assert stream.extra(DialAttribute.ledger) is current.ledger


# --- push_back --------------------------------------------------------------------------------------------------------


async def test_pushed_back_bytes_come_first_and_are_counted_once() -> None:
    async with connected() as (stream, far):
        await far.send(b"reply and tunnel")
        assert await stream.receive(6) == b"reply "
        data = await stream.receive(3)
        stream.push_back(data)  # in front of the rest of a chunk
        assert stream.bytes_received == 6
        stream.push_back(b"")
        assert [await stream.receive(n) for n in (2, 1, 100)] == [b"an", b"d", b" tunnel"]
        assert stream.bytes_received == 16


async def test_pushed_back_bytes_come_before_the_end() -> None:
    async with connected() as (stream, far):
        far.sock.shutdown(socket.SHUT_WR)
        await until(lambda: stream._protocol.eof)
        stream.push_back(b"last")
        assert await stream.receive() == b"last"
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_pushed_back_bytes_are_replayed_by_a_hand_over() -> None:
    async with connected() as (stream, far):
        await far.send(b"reply: tunnel")
        data = await read(stream, 13)
        stream.push_back(data[7:])
        await far.send(b", more")
        await until(lambda: stream._protocol.waiting == 12)
        taker = Taker(stream)
        stream.hand_over(taker)
        assert bytes(taker.data) == b"tunnel, more"
        with pytest.raises(ClosedResourceError):
            stream.push_back(b"x")


async def test_nothing_is_pushed_back_under_a_reader() -> None:
    async with connected() as (stream, _), anyio.create_task_group() as group:
        group.start_soon(stream.receive)
        await until(lambda: stream._protocol.reader)
        with pytest.raises(BusyResourceError):
            stream.push_back(b"x")
        group.cancel_scope.cancel()
