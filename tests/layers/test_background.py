from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest
from anyio.abc import ByteStream

from ziggurat.layers.background import Background, closing_iterator
from ziggurat.services.dial import dial
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://target.test:80")


async def test_tasks_run_beside_the_block_and_are_cancelled_at_its_end() -> None:
    ended: list[str] = []

    async def task() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    async with Background() as background:
        background.start(task)
        await anyio.wait_all_tasks_blocked()
        assert not ended
    assert ended == ["task"]


async def beside(task: Callable[[], Awaitable[object]], error: Exception | None = None) -> None:
    async with Background() as background:
        background.start(task)
        if error is not None:
            raise error
        await anyio.sleep_forever()


async def test_what_the_block_raises_passes_unchanged() -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        await beside(anyio.sleep_forever, error)
    assert caught.value is error


async def test_what_a_task_raises_ends_the_block() -> None:
    async def task() -> None:
        raise ValueError("the task's")

    with pytest.raises(ValueError, match="the task's"):
        await beside(task)


async def test_a_cancellation_of_the_block_passes() -> None:
    with anyio.move_on_after(1.0) as scope:
        async with Background() as background:
            background.start(anyio.sleep_forever)
            await anyio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.asyncio_only
async def test_a_foreign_cancellation_passes_too() -> None:
    """grpclib and ``asyncio.timeout`` cancel the task itself."""

    async def body() -> None:
        async with Background() as background:
            background.start(anyio.sleep_forever)
            await anyio.sleep_forever()

    task = asyncio.get_running_loop().create_task(body())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_iterator_that_is_left_in_the_middle_is_closed_at_once() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async with closing_iterator(numbers()) as iterator:
        assert await anext(iterator) == 1
        assert not closed
    assert closed == [True]


async def test_an_iterator_without_aclose_is_taken_too() -> None:
    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

    async with closing_iterator(Plain()) as iterator:
        assert [number async for number in iterator] == []


async def test_dials_in_a_task_are_dials_of_their_own() -> None:
    owners: list[bool] = []

    async def connect(uri: Uri) -> ByteStream:
        raise NotImplementedError

    async def task() -> None:
        with dial(TARGET) as current:
            owners.append(current.owner)

    with dial(TARGET):
        async with Background() as background:
            background.start(task)
            await anyio.wait_all_tasks_blocked()
    assert owners == [True]


async def test_an_exception_of_a_task_makes_no_cycle() -> None:
    async def task() -> None:
        raise ValueError("the task's")

    with pytest.raises(ValueError, match="the task's") as caught:
        await beside(task)
    frames = [entry.frame.f_locals for entry in caught.traceback if entry.name == "__aexit__"]
    assert frames
    assert not any(caught.value in frame.values() for frame in frames)
