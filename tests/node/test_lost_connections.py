"""What a peer sent goes with its connection, not with the next run of the garbage collector.

Other objects of a connection may stay until then, so a connection that sends little is compared with one that sends
much.
"""

from __future__ import annotations

import gc
import tracemalloc

import anyio
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame

from tests.node.hostile import World, world
from tests.node.test_hostile_http2 import Dialer, attacked

pytestmark = [pytest.mark.slow, pytest.mark.asyncio_only]

TIMES = 10


async def half_a_header_block(dialer: Dialer, size: int) -> None:
    await dialer.preface()
    await dialer.frames(
        HeadersFrame(1, dialer.encoder.encode([(":method", "POST")])), ContinuationFrame(1, bytes(size))
    )


async def half_a_frame(dialer: Dialer, size: int) -> None:
    await dialer.preface()
    await dialer.send_raw(b"\0\xff\xff\x01\0\0\0\0\x01" + bytes(size))


async def half_a_message(dialer: Dialer, size: int) -> None:
    await dialer.become_a_peer()
    await dialer.frames(DataFrame(1, b"\0\0\x10\0\0"), *[DataFrame(1, bytes(1000))] * (size // 1000))


async def messages_that_nobody_reads(dialer: Dialer, size: int) -> None:
    """The first one ends the connection."""
    await dialer.become_a_peer()
    nothing = b"\0\0\0\0\0"
    await dialer.frames(DataFrame(1, nothing + b"\0\0\x10\0\0"), *[DataFrame(1, bytes(1000))] * (size // 1000))


@pytest.mark.parametrize(
    "part",
    [half_a_header_block, half_a_frame, half_a_message, messages_that_nobody_reads],
    ids=lambda part: part.__name__,
)
async def test_what_a_lost_connection_holds_goes_without_the_garbage_collector(part: object) -> None:
    async with world() as here:
        await held_after(here, part, 0)  # caches fill
        little, much = await held_after(here, part, 0), await held_after(here, part, 60_000)
        assert much - little < 10_000, (little, much)


async def held_after(here: World, part: object, size: int) -> float:
    """Return how many bytes a connection holds that has been lost."""

    async def leave(dialer: Dialer) -> None:
        await part(dialer, size)  # type: ignore[operator]
        await anyio.sleep(0.01)
        await dialer.stream.aclose()

    gc.collect()
    tracemalloc.start()
    gc.disable()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(TIMES):
            await attacked(here, leave)
            await anyio.sleep(3)
        return (tracemalloc.get_traced_memory()[0] - before) / TIMES
    finally:
        gc.enable()
        tracemalloc.stop()
