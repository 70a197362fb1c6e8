"""The stream pair keeps anyio's stream contracts on both backends."""

from __future__ import annotations

import anyio
import pytest
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.testing import MemoryStream, stream_pair


async def read_all(stream: MemoryStream, max_bytes: int = 65536) -> bytes:
    data = b""
    try:
        while True:
            data += await stream.receive(max_bytes)
    except EndOfStream:
        return data


async def test_each_end_receives_what_the_other_sends() -> None:
    left, right = stream_pair()
    await left.send(b"ping")
    await right.send(b"pong")

    assert await right.receive() == b"ping"
    assert await left.receive() == b"pong"


async def test_a_receive_waits_for_a_send() -> None:
    left, right = stream_pair()
    got: list[bytes] = []

    async def receive() -> None:
        got.append(await right.receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        await left.send(b"late")

    assert got == [b"late"]


async def test_an_exact_read_leaves_the_rest_and_writes_are_not_merged() -> None:
    left, right = stream_pair()
    await left.send(b"abcdef")
    await left.send(b"gh")

    assert [await right.receive(4), await right.receive(4), await right.receive(4)] == [b"abcd", b"ef", b"gh"]


async def test_a_full_buffer_makes_the_sender_wait() -> None:
    left, right = stream_pair(max_buffer=4)
    with anyio.move_on_after(1) as scope:
        await left.send(b"0123456789")
    assert scope.cancelled_caught
    assert await right.receive() == b"0123"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(left.send, b"0123456789")
        data = b""
        while len(data) < 10:
            data += await right.receive()
    assert data == b"0123456789"


async def test_half_close_ends_one_direction_only() -> None:
    left, right = stream_pair()
    await left.send(b"last")
    await left.send_eof()
    await left.send_eof()

    assert await read_all(right) == b"last"
    await right.send(b"still")
    assert await left.receive() == b"still"
    with pytest.raises(ClosedResourceError):
        await left.send(b"more")
    assert left.ended
    assert not left.closed


async def test_after_a_close_the_other_end_can_read_but_not_send() -> None:
    left, right = stream_pair()
    await left.send(b"last")
    await left.aclose()
    await left.aclose()

    assert await read_all(right) == b"last"
    with pytest.raises(BrokenResourceError):
        await right.send(b"x")
    for call in (left.receive, left.send_eof):
        with pytest.raises(ClosedResourceError):
            await call()
    with pytest.raises(ClosedResourceError):
        await left.send(b"x")
    assert left.closed
    assert not left.closed_by_force
    assert not right.closed


@pytest.mark.parametrize("closer", ["near", "far", "reset"])
async def test_closing_wakes_waiting_tasks(closer: str) -> None:
    near, far = stream_pair(max_buffer=1)
    raised: list[type[Exception]] = []

    async def wait_to_receive() -> None:
        try:
            await near.receive()
        except Exception as error:
            raised.append(type(error))

    async def wait_to_send() -> None:
        try:
            await near.send(b"too long")
        except Exception as error:
            raised.append(type(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_to_receive)
        tasks.start_soon(wait_to_send)
        await anyio.wait_all_tasks_blocked()
        if closer == "reset":
            far.reset()
        else:
            await (near if closer == "near" else far).aclose()

    expected: dict[str, set[type[Exception]]] = {
        "near": {ClosedResourceError},
        "far": {EndOfStream, BrokenResourceError},
        "reset": {BrokenResourceError},
    }
    assert len(raised) == 2
    assert set(raised) == expected[closer]


async def test_a_reset_loses_unread_data_and_breaks_both_ends() -> None:
    left, right = stream_pair()
    await left.send(b"lost")
    left.reset()

    for stream in (left, right):
        with pytest.raises(BrokenResourceError):
            await stream.receive()
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")


async def test_a_forced_close_is_recorded() -> None:
    left, _ = stream_pair()
    await anyio.aclose_forcefully(left)

    assert left.closed
    assert left.closed_by_force


async def test_two_tasks_cannot_use_one_direction_at_once() -> None:
    left, right = stream_pair(max_buffer=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(right.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await right.receive()
        await left.send(b"x")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(left.send, b"xyz")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await left.send(b"x")
        tasks.cancel_scope.cancel()


async def test_a_cancelled_receive_loses_nothing() -> None:
    left, right = stream_pair()
    with anyio.move_on_after(1):
        await right.receive()
    await left.send(b"kept")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await right.receive()

    assert await right.receive() == b"kept"


async def test_typed_attributes_can_be_added() -> None:
    left, right = stream_pair()
    left.attributes[SocketAttribute.remote_port] = lambda: 16111

    assert left.extra(SocketAttribute.remote_port) == 16111
    assert right.extra(SocketAttribute.remote_port, None) is None


async def test_every_call_is_a_checkpoint() -> None:
    left, right = stream_pair()
    await left.send(b"there")
    for call in (left.send_eof, lambda: left.send(b"x"), right.receive, left.aclose):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await call()  # type: ignore[operator]
        assert scope.cancelled_caught


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_buffer must be a whole number of bytes \(at least 1\), not 0"):
        stream_pair(0)


async def test_a_receive_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_bytes must be a whole number of bytes \(at least 1\), not 0"):
        await stream_pair()[0].receive(0)


@given(
    chunks=st.lists(st.binary(max_size=40), max_size=12),
    max_buffer=st.integers(1, 50),
    max_bytes=st.integers(1, 50),
)
def test_bytes_arrive_intact_and_in_order(chunks: list[bytes], max_buffer: int, max_bytes: int) -> None:
    async def run() -> bytes:
        left, right = stream_pair(max_buffer)

        async def send() -> None:
            for chunk in chunks:
                await left.send(chunk)
            await checkpoint()
            await left.aclose()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            return await read_all(right, max_bytes)
        raise AssertionError

    for backend in ("asyncio", "trio"):
        assert anyio.run(run, backend=backend) == b"".join(chunks)


async def test_a_stream_is_readable_when_a_receive_would_end_at_once() -> None:
    for make_readable in (lambda far: far.send(b"x"), lambda far: far.send_eof(), lambda far: far.aclose()):
        near, far = stream_pair()
        assert not near.readable
        await make_readable(far)
        assert near.readable
    near, _ = stream_pair()
    await near.aclose()
    assert near.readable
