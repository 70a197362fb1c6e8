"""One call, cancelled at a given await, on both backends."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.testing import stream_pair
from ziggurat.layers.testing.stepping import call
from ziggurat.services import Uri

URI = Uri.parse("http://a:1")


async def test_each_await_can_be_cancelled() -> None:
    reached: list[int] = []

    async def connector(uri: Uri, /) -> ByteStream:
        for number in range(1, 5):
            reached[:] = [number]
            await anyio.sleep(1)
        reached[:] = [5]
        return stream_pair()[0]

    plain = await call(connector, URI, patience=60)
    assert (plain.kind, reached) == ("answered", [5])

    seen: list[int] = []
    for step in range(1, plain.steps + 1):
        outcome = await call(connector, URI, patience=60, cancel_at=step)
        assert outcome.kind == "cancelled"
        assert outcome.interrupted
        seen.append(reached[0])
    assert sorted(set(seen)) == [1, 2, 3, 4]

    late = await call(connector, URI, patience=60, cancel_at=plain.steps + 1)
    assert (late.kind, late.interrupted) == ("answered", False)


async def test_step_zero_cancels_before_the_call() -> None:
    passed: list[str] = []

    async def connector(uri: Uri, /) -> ByteStream:
        await checkpoint()
        passed.append("the first await")
        return stream_pair()[0]

    outcome = await call(connector, URI, patience=60, cancel_at=0)
    assert (outcome.kind, passed) == ("cancelled", [])


async def test_results_of_awaits_reach_the_call() -> None:
    near, far = stream_pair()

    async def connector(uri: Uri, /) -> ByteStream:
        assert await near.receive() == b"data"
        with pytest.raises(anyio.EndOfStream):
            await near.receive()
        return near

    async with anyio.create_task_group() as tasks:

        async def play() -> None:
            await anyio.sleep(1)
            await far.send(b"data")
            await far.send_eof()

        tasks.start_soon(play)
        outcome = await call(connector, URI, patience=60)
    assert outcome.stream is near


async def test_a_failed_call_and_a_stuck_call_differ() -> None:
    error = ValueError("no")

    async def fails(uri: Uri, /) -> ByteStream:
        raise error

    async def hangs(uri: Uri, /) -> ByteStream:
        await anyio.sleep_forever()
        raise AssertionError

    outcome = await call(fails, URI, patience=60)
    assert (outcome.kind, outcome.error) == ("failed", error)
    assert (await call(hangs, URI, patience=60)).kind == "stuck"


async def test_a_swallowed_cancellation_is_detected() -> None:
    async def swallows(uri: Uri, /) -> ByteStream:
        try:
            await checkpoint()
        except BaseException:
            pass
        return stream_pair()[0]

    outcome = await call(swallows, URI, patience=60, cancel_at=1)
    assert (outcome.kind, outcome.interrupted) == ("answered", True)


async def test_an_event_can_cancel_the_call() -> None:
    event = anyio.Event()

    async def hangs(uri: Uri, /) -> ByteStream:
        event.set()
        await anyio.sleep(1000)
        raise AssertionError

    assert (await call(hangs, URI, patience=60, cancel_when=event)).kind == "cancelled"
