from __future__ import annotations

import asyncio

import pytest

from ziggurat.node.peer.task_group import TaskGroup

pytestmark = pytest.mark.asyncio_only


async def test_cancelling_ends_all_tasks_and_is_no_error() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(number)

    async with TaskGroup() as tasks:
        tasks.start(work(1))
        tasks.start(work(2))
        await asyncio.sleep(0)
        tasks.cancel()
    assert sorted(ended) == [1, 2]


async def test_work_for_a_group_that_is_ending_is_dropped() -> None:
    async def never() -> None:
        raise AssertionError

    async def late(tasks: TaskGroup) -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            tasks.start(never())

    async def run() -> None:
        async with TaskGroup() as tasks:
            tasks.start(late(tasks))
            await asyncio.sleep(1e9)

    running = asyncio.create_task(run())
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_task_that_has_ended_is_not_kept() -> None:
    async def nothing() -> None:
        pass

    async with TaskGroup() as tasks:
        tasks.start(nothing())
        await asyncio.sleep(1)
        assert tasks._running == set()
