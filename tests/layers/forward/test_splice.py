"""The relay between two asyncio transports, on real sockets: what is queued at the start, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.layers.forward.ends import End, until
from tests.layers.forward.test_accepted import tcp_pair
from ziggurat.layers.forward.accepted import accepted_stream
from ziggurat.layers.forward.connection import ForwardedConnection
from ziggurat.layers.forward.relay import relay
from ziggurat.layers.forward.splice import splice
from ziggurat.services import TransportStream

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MANY = bytes(range(256)) * 4096 * 4

LOOPS = ["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"]


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(loop_name: str) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"debug": True, "use_uvloop": loop_name == "uvloop"}


class Ends:
    """Both peers, and both streams between which to relay."""

    def __init__(self, client: End, near: TransportStream, target: End, far: TransportStream) -> None:
        self.client, self.near, self.target, self.far = client, near, target, far
        self.record = ForwardedConnection("here")
        self.closed: list[str] = []
        near.on_close(lambda: self.closed.append("near"))
        far.on_close(lambda: self.closed.append("far"))


async def stream_of(raw: object) -> TransportStream:
    stream = await accepted_stream(raw)  # type: ignore[arg-type]
    assert type(stream) is TransportStream
    return stream


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    one, other = tcp_pair(), tcp_pair()
    async with End(one[0]) as client, End(other[0]) as target:
        with anyio.fail_after(20):
            yield Ends(client, await stream_of(one[1]), target, await stream_of(other[1]))


async def test_what_both_streams_had_queued_comes_first_and_in_order() -> None:
    async with ends() as there:
        await there.client.send(b"second ")
        await there.target.send(b"to the client ")
        await until(lambda: there.near._protocol.waiting and there.far._protocol.waiting)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(splice, there.near, there.far, there.record, b"first ")
            await there.client.send(b"third")
            await there.target.send(b"and more")
            there.client.end()
            there.target.end()
            assert await there.target.rest() == b"first second third"
            assert await there.client.rest() == b"to the client and more"
    assert (there.record.sent, there.record.received, there.record.error) == (18, 22, None)
    assert sorted(there.closed) == ["far", "near"]


async def test_both_had_ended_before_it_began() -> None:
    async with ends() as there:
        for end in (there.client, there.target):
            await end.send(b"all")
            end.end()
        await until(lambda: there.near._protocol.eof and there.far._protocol.eof)
        await splice(there.near, there.far, there.record)
        assert await there.client.rest() == b"all"
        assert await there.target.rest() == b"all"
    assert there.record.error is None


async def test_a_full_queue_at_the_start_does_not_undo_the_backpressure() -> None:
    """A hand-over ends by resuming to read, even if its own replay has filled the other side."""
    async with ends() as there:
        there.client.fill()  # the client does not read: nothing more can be written to it
        total = there.target.fill()
        await until(lambda: there.far._protocol.read_paused)
        near = there.near._transport
        near.write(b"x" * (8 << 20))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(splice, there.near, there.far, there.record)
            before = -1
            while before != there.record.received:
                before = there.record.received
                total += there.target.fill()
                await anyio.sleep(0.02)
            buffered = near.get_write_buffer_size()
            assert buffered <= (8 << 20) + (1 << 20)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("side", ["client", "target"])
async def test_a_stream_that_was_lost_before_breaks_the_other(side: str) -> None:
    async with ends() as there:
        broken, other = (there.client, there.target) if side == "client" else (there.target, there.client)
        broken.break_off()
        stream = there.near if side == "client" else there.far
        await until(lambda: stream._protocol.lost)
        await relay(there.near, there.far, there.record)
        assert await other.is_reset()
    assert there.record.error == "the connection was lost"
    assert sorted(there.closed) == ["far", "near"]


async def test_a_break_waits_until_our_own_buffer_is_written() -> None:
    """Without the wait the client would get only what is in its own receive buffer already."""
    async with ends() as there, anyio.create_task_group() as tasks:
        tasks.start_soon(splice, there.near, there.far, there.record)
        while not there.near._transport.get_write_buffer_size():
            there.target.fill()
            await anyio.sleep(0.001)
        waiting = struct.unpack("i", fcntl.ioctl(there.client.raw, termios.FIONREAD, bytes(4)))[0]
        there.target.break_off()
        await there.client.send(b"x")  # nothing is read from the target now: only writing to it shows that it is gone
        await until(lambda: "far" in there.closed)
        received = 0
        with pytest.raises(ConnectionResetError):  # noqa: PT012
            while data := await there.client.receive():
                received += len(data)
        assert received > waiting
        there.client.close()


async def test_a_slow_reader_is_not_idle_while_it_takes_what_waits_for_it() -> None:
    async with ends() as there, anyio.create_task_group() as tasks:
        there.near._transport.write(b"x" * (8 << 20))
        tasks.start_soon(splice, there.near, there.far, there.record)
        await until(lambda: there.near._spent)
        there.record.last_active = 0.0
        await there.client.exactly(8 << 20)
        await until(lambda: there.record.last_active)
        assert there.record.received == 0
        there.client.end()
        there.target.end()


async def test_an_idle_relay_is_cut() -> None:
    async with ends() as there:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await splice(there.near, there.far, there.record, idle_timeout=0.05)
        assert loop.time() - start >= 0.05
        assert await there.client.is_reset()
        assert await there.target.is_reset()
    assert there.record.error == "idle for 0.05 s"


async def test_a_byte_puts_the_limit_off() -> None:
    async with ends() as there, anyio.create_task_group() as tasks:
        tasks.start_soon(splice, there.near, there.far, there.record, b"", 0.1)
        await until(lambda: there.near._spent)
        first = there.record.last_active
        await there.client.send(b"x")
        assert await there.target.receive() == b"x"
        assert there.record.last_active > first


async def test_a_cancelled_relay_resets_both_and_is_over() -> None:
    async with ends() as there:
        with anyio.move_on_after(0.01):
            await splice(there.near, there.far, there.record)
        assert sorted(there.closed) == ["far", "near"]
        assert await there.client.is_reset()
        assert await there.target.is_reset()
    assert there.record.error == "cut off when the forwarder stopped"


async def test_a_client_that_never_reads_its_last_bytes_is_cut_by_a_cancellation() -> None:
    async with ends() as there:
        there.client.end()
        with anyio.move_on_after(0.2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(splice, there.near, there.far, there.record)
                await there.target.rest()
                there.target.fill()
                there.target.end()
                await anyio.sleep_forever()
        assert sorted(there.closed) == ["far", "near"]
