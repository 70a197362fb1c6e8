"""The relay of any two streams, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import EndOfStream

from ziggurat.layers.forward.connection import ForwardedConnection
from ziggurat.layers.forward.relay import relay
from ziggurat.layers.testing import MemoryStream, stream_pair


class Ends:
    def __init__(self) -> None:
        self.client, self.near = stream_pair()
        self.target, self.far = stream_pair()
        self.record = ForwardedConnection("here")


@asynccontextmanager
async def relayed(early: bytes = b"", idle_timeout: float | None = None) -> AsyncIterator[Ends]:
    """A running relay, which must have closed both streams at the end of the block."""
    ends = Ends()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay, ends.near, ends.far, ends.record, early, idle_timeout)
        yield ends
    assert ends.near.closed
    assert ends.far.closed


async def at_end(stream: MemoryStream) -> bool:
    with pytest.raises(EndOfStream):
        await stream.receive()
    return True


async def test_one_direction_goes_on_for_hours_after_the_other_has_ended() -> None:
    """socat ends it half a second later (its -t), and what was still to come is lost."""
    async with relayed() as ends:
        await ends.client.send(b"question")
        await ends.client.send_eof()
        assert await ends.target.receive() == b"question"
        assert await at_end(ends.target)
        for _ in range(3):
            await anyio.sleep(3600.0)
            await ends.target.send(b"answer")
            assert await ends.client.receive() == b"answer"
        await ends.target.send_eof()
        assert await at_end(ends.client)
    assert (ends.record.sent, ends.record.received, ends.record.error) == (8, 18, None)
    assert not ends.near.closed_by_force


async def test_what_came_early_goes_first() -> None:
    async with relayed(b"early ") as ends:
        await ends.client.send(b"late")
        assert await ends.target.receive() == b"early "
        assert await ends.target.receive() == b"late"
        await ends.client.send_eof()
        await ends.target.send_eof()
    assert ends.record.sent == 10


async def test_a_side_that_does_not_read_stops_the_other() -> None:
    async with relayed() as ends:
        total = 0
        with anyio.move_on_after(1.0):
            while True:
                await ends.client.send(b"x" * 1000)
                total += 1000
        assert total <= 4 * 65536  # two pipes of a pair, and one piece in the relay
        await ends.client.aclose()
        await ends.target.aclose()


@pytest.mark.parametrize("side", ["client", "target"])
async def test_a_side_that_breaks_ends_the_other_by_force(side: str) -> None:
    async with relayed() as ends:
        await anyio.wait_all_tasks_blocked()
        (ends.client if side == "client" else ends.target).reset()
    assert ends.record.error == f"the {side} broke the connection"
    assert ends.near.closed_by_force
    assert ends.far.closed_by_force


async def test_an_idle_connection_is_cut_and_a_byte_either_way_counts() -> None:
    async with relayed(idle_timeout=60.0) as ends:
        start = anyio.current_time()
        await anyio.sleep(50.0)
        await ends.client.send(b"x")
        await anyio.sleep(50.0)
        await ends.target.send(b"y")
        await anyio.wait_all_tasks_blocked()
        assert await ends.client.receive() == b"y"
        with pytest.raises(EndOfStream):
            await ends.client.receive()
        assert anyio.current_time() - start == pytest.approx(160.0)
    assert ends.record.error == "idle for 60 s"


async def test_a_connection_that_ends_before_its_limit_is_not_held() -> None:
    async with relayed(idle_timeout=60.0) as ends:
        start = anyio.current_time()
        await ends.client.send_eof()
        await ends.target.send_eof()
    assert anyio.current_time() - start < 1.0
    assert ends.record.error is None


async def test_a_cancelled_relay_closes_by_force_and_says_so() -> None:
    ends = Ends()
    with anyio.move_on_after(5.0):
        await relay(ends.near, ends.far, ends.record)
    assert ends.near.closed_by_force
    assert ends.far.closed_by_force
    assert ends.record.error == "cut off when the forwarder stopped"


class NoHalfClose(MemoryStream):
    """As TLS before 1.3."""

    async def send_eof(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("answers", [0, 3])
async def test_a_target_that_cannot_be_told_of_the_end_may_answer_but_is_not_kept_for_good(answers: int) -> None:
    client, near = stream_pair()
    target, far = stream_pair()
    far.__class__ = NoHalfClose
    record = ForwardedConnection("here")
    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay, near, far, record)
        await client.send(b"last")
        await client.send_eof()
        assert await target.receive() == b"last"
        for _ in range(answers):
            await anyio.sleep(20.0)
            await target.send(b"answer")
            assert await client.receive() == b"answer"
        assert await at_end(target)
    assert record.error is None
    assert anyio.current_time() - start == pytest.approx(20.0 * answers + 30.0)


async def test_a_target_that_could_not_be_told_and_then_ends_ends_the_connection() -> None:
    client, near = stream_pair()
    target, far = stream_pair()
    far.__class__ = NoHalfClose
    record = ForwardedConnection("here")
    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay, near, far, record)
        await client.send_eof()
        await target.send(b"answer")
        await target.send_eof()
        assert await client.receive() == b"answer"
        assert await at_end(client)
    assert record.error is None
    assert anyio.current_time() - start < 1.0


async def test_a_side_that_is_already_broken_ends_the_other() -> None:
    ends = Ends()
    ends.client.reset()
    await relay(ends.near, ends.far, ends.record, b"early")
    assert ends.far.closed
    assert ends.record.error == "the client broke the connection"
