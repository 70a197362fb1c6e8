"""Each fault happens at the requested byte; bytes arrive intact and in order, whatever the split."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.testing import (
    DelayStream,
    EofStream,
    ResetStream,
    SplitStream,
    StallStream,
    fault_layer,
    mock_connector,
    stream_pair,
)
from ziggurat.services import Uri

FAULTS: list[Callable[[ByteStream], ByteStream]] = [
    lambda stream: SplitStream(stream, 3),
    lambda stream: DelayStream(stream, 1.0),
    lambda stream: StallStream(stream, 100),
    lambda stream: EofStream(stream, 100),
    lambda stream: ResetStream(stream, 100, sent=100),
]


async def test_split_cuts_received_and_sent_data() -> None:
    near, far = stream_pair()
    stream = SplitStream(near, 2)
    await far.send(b"abcde")
    await stream.send(b"vwxyz")
    await stream.send(b"")

    assert [await stream.receive() for _ in range(3)] == [b"ab", b"cd", b"e"]
    assert [await far.receive() for _ in range(3)] == [b"vw", b"xy", b"z"]


async def test_delay_waits_before_each_receive() -> None:
    near, far = stream_pair()
    stream = DelayStream(near, 1.5)
    await far.send(b"a")
    await far.send(b"b")
    start = anyio.current_time()

    assert await stream.receive() + await stream.receive() == b"ab"
    assert anyio.current_time() - start == pytest.approx(3.0)


async def test_stall_receives_its_bytes_and_then_nothing_until_it_is_closed() -> None:
    near, far = stream_pair()
    stream = StallStream(near, 3)
    await far.send(b"abcdef")
    await far.send_eof()
    assert await stream.receive() == b"abc"
    with anyio.move_on_after(1000) as scope:
        await stream.receive()
    assert scope.cancelled_caught

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.aclose)
        with pytest.raises(ClosedResourceError):
            await stream.receive()


async def test_eof_comes_at_its_byte_and_sending_still_works() -> None:
    near, far = stream_pair()
    stream = EofStream(near, 3)
    await far.send(b"abcdef")
    assert await stream.receive() == b"abc"
    with pytest.raises(EndOfStream):
        await stream.receive()
    await stream.send(b"x")
    assert await far.receive() == b"x"
    await stream.aclose()
    with pytest.raises(ClosedResourceError):
        await stream.receive()


async def test_reset_breaks_at_the_received_byte_for_good() -> None:
    near, far = stream_pair()
    stream = ResetStream(near, 3)
    await far.send(b"abcdef")
    await stream.send(b"before")
    assert await stream.receive() == b"abc"
    for call in (stream.receive, lambda: stream.send(b"after"), stream.receive):
        with pytest.raises(BrokenResourceError):
            await call()  # type: ignore[operator]
    assert await far.receive() == b"before"
    await stream.aclose()
    with pytest.raises(ClosedResourceError):
        await stream.receive()


async def test_reset_breaks_at_the_sent_byte_for_good() -> None:
    near, far = stream_pair()
    stream = ResetStream(near, sent=5)
    await stream.send(b"abc")
    with pytest.raises(BrokenResourceError):
        await stream.send(b"def")
    with pytest.raises(BrokenResourceError):
        await stream.receive()
    assert [await far.receive(), await far.receive()] == [b"abc", b"de"]


async def test_reset_at_byte_zero_breaks_the_first_call() -> None:
    near, _ = stream_pair()
    with pytest.raises(BrokenResourceError):
        await ResetStream(near, 0).receive()
    with pytest.raises(BrokenResourceError):
        await ResetStream(near, sent=0).send(b"a")


async def test_faults_can_be_stacked() -> None:
    near, far = stream_pair()
    stream = DelayStream(EofStream(SplitStream(near, 2), 5), 1.0)
    await far.send(b"abcdefgh")
    start = anyio.current_time()

    assert [await stream.receive() for _ in range(3)] == [b"ab", b"cd", b"e"]
    with pytest.raises(EndOfStream):
        await stream.receive()
    assert anyio.current_time() - start == pytest.approx(4.0)


@pytest.mark.parametrize("fault", FAULTS)
async def test_closing_eof_and_attributes_pass_through(fault: Callable[[ByteStream], ByteStream]) -> None:
    near, far = stream_pair()
    near.attributes[SocketAttribute.remote_port] = lambda: 7
    stream = fault(near)

    assert stream.extra(SocketAttribute.remote_port) == 7
    await stream.send_eof()
    assert near.ended
    with pytest.raises(EndOfStream):
        await far.receive()
    await stream.aclose()
    assert near.closed


async def test_a_fault_layer_puts_its_fault_on_every_stream() -> None:
    connector, handle = mock_connector()
    faulty = fault_layer(lambda stream: SplitStream(stream, 1)).layer(connector)
    far = None

    async def answer() -> None:
        nonlocal far
        far = (await handle.next()).accept()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        stream = await faulty(Uri.parse("http://a:1"))
    assert far is not None
    await far.send(b"xy")
    assert await stream.receive() == b"x"
    await stream.aclose()
    assert handle.open_streams == 0


async def test_a_fault_with_wrong_arguments_leaves_nothing_open() -> None:
    connector, handle = mock_connector()

    async def answer() -> None:
        (await handle.next()).accept()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        with pytest.raises(ValueError, match=r"size must be a whole number of bytes \(at least 1\), not 0"):
            await fault_layer(lambda stream: SplitStream(stream, 0)).layer(connector)(Uri.parse("http://a:1"))
    assert handle.open_streams == 0


async def test_wrong_arguments_are_refused() -> None:
    near, _ = stream_pair()
    for make, message in (
        (lambda: DelayStream(near, -1.0), "seconds must be 0 or a positive number of seconds, not -1.0"),
        (lambda: StallStream(near, -1), r"after must be a whole number of bytes \(at least 0\), not -1"),
        (lambda: EofStream(near, -1), r"after must be a whole number of bytes \(at least 0\), not -1"),
        (lambda: ResetStream(near, -1), r"received must be a whole number of bytes \(at least 0\) or None, not -1"),
        (lambda: ResetStream(near, sent=-1), r"sent must be a whole number of bytes \(at least 0\) or None, not -1"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@given(
    data=st.binary(max_size=200),
    write=st.integers(1, 60),
    split=st.integers(1, 60),
    far_split=st.integers(1, 60),
    max_bytes=st.integers(1, 60),
    end=st.integers(0, 250),
)
def test_bytes_arrive_intact_and_in_order_up_to_the_fault(
    data: bytes, write: int, split: int, far_split: int, max_bytes: int, end: int
) -> None:
    async def run(fault: Callable[[ByteStream, int], ByteStream], error: type[Exception]) -> bytes:
        near, far = stream_pair(max_buffer=32)
        stream = SplitStream(fault(near, end), split)
        received = b""

        async def send() -> None:
            outer = SplitStream(far, far_split)
            for start in range(0, len(data), write):
                await outer.send(data[start : start + write])
            await outer.aclose()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            try:
                while True:
                    received += await stream.receive(max_bytes)
            except (error, EndOfStream):
                pass
            tasks.cancel_scope.cancel()
        return received

    for backend in ("asyncio", "trio"):
        assert anyio.run(run, EofStream, EndOfStream, backend=backend) == data[:end]
        assert anyio.run(run, ResetStream, BrokenResourceError, backend=backend) == data[:end]
