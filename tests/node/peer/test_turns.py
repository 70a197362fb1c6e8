"""Turns on the event loop, with a clock that moves only when a task says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from ziggurat.node.peer.turns import CYCLE, Turns

pytestmark = pytest.mark.asyncio_only


class Machine:
    """A machine whose time passes with work only, and which notes how long each cycle of the event loop took."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = Turns(lambda: self.now)
        self.did: Counter[int] = Counter()
        self.cycles: list[float] = []
        self._watcher = asyncio.ensure_future(self._watch())

    async def work(self, number: int, times: int, seconds: float) -> None:
        for _ in range(times):
            await self.turns.take()
            self.now += seconds
            self.did[number] += 1

    async def _watch(self) -> None:
        while True:
            before = self.now
            await asyncio.sleep(0)
            self.cycles.append(self.now - before)

    async def run(self, *work: asyncio.Future[None]) -> None:
        await asyncio.gather(*work)
        self._watcher.cancel()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_a_cycle_of_the_loop_takes_about_as_long_however_many_have_work() -> None:
    machine = Machine()
    await machine.run(*[asyncio.ensure_future(machine.work(number, 20, 0.002)) for number in range(100)])
    assert machine.did == dict.fromkeys(range(100), 20)
    assert max(machine.cycles) <= 2 * CYCLE + 2 * 0.002


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    machine = Machine()
    work = [asyncio.ensure_future(machine.work(number, 40, 0.004)) for number in range(10)]
    await until(lambda: machine.did.total() >= 200)
    assert max(machine.did.values()) - min(machine.did.values()) <= 4  # a turn is two at most
    await machine.run(*work)


async def test_cheap_work_is_done_without_waiting() -> None:
    machine = Machine()
    await machine.turns.take()
    assert all(cycle == 0 for cycle in machine.cycles)
    await machine.work(0, 1000, CYCLE / 10_000)
    assert machine.cycles == []  # not one cycle went by
    await machine.run()


async def test_who_has_waited_gets_the_time_of_a_whole_cycle() -> None:
    machine = Machine()
    one, other = (asyncio.ensure_future(machine.work(number, 500, CYCLE / 100)) for number in range(2))
    await machine.run(one, other)
    assert len(machine.cycles) < 60


async def test_a_cancelled_wait_gives_its_turn_to_the_next_one() -> None:
    machine = Machine()
    first = asyncio.ensure_future(machine.work(0, 1, 1.0))
    second, third = (asyncio.ensure_future(machine.work(number, 1, 1.0)) for number in (1, 2))
    await until(lambda: machine.did[0])
    second.cancel()
    await machine.run(first, third)
    assert machine.did[2] == 1


async def test_a_turn_granted_to_a_task_that_is_cancelled_just_then_is_not_lost() -> None:
    machine = Machine()
    tasks = [asyncio.ensure_future(machine.work(number, 1, 1.0)) for number in range(4)]
    await until(lambda: machine.did[0] and len(machine.turns._waiting) < 3)
    tasks[1].cancel()  # its turn may have been granted, but it has not run since
    await machine.run(tasks[2], tasks[3])
    assert machine.did[2] == machine.did[3] == 1


async def test_nothing_stays_scheduled_when_there_is_no_work() -> None:
    turns = Turns()
    await turns.take()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert turns._over is None
    assert not turns._waiting
