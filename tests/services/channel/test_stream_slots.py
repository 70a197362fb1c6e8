from __future__ import annotations

import asyncio

import pytest

from ziggurat.services.channel.stream_slots import StreamSlots

pytestmark = pytest.mark.asyncio_only


class Desk:
    """Slots, and who has got one."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.let_in: list[int] = []
        self.slots = StreamSlots(lambda: self.room)

    async def enter(self, number: int) -> None:
        if not self.slots.free:
            await self.slots.wait()
            self.slots.used()
        self.room -= 1
        self.let_in.append(number)

    def leave(self, count: int = 1) -> None:
        self.room += count
        self.slots.wake()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_first_is_served_first_and_one_slot_wakes_one() -> None:
    desk = Desk(2)
    tasks = [asyncio.ensure_future(desk.enter(number)) for number in range(8)]
    await settle()
    assert desk.let_in == [0, 1]
    desk.leave()
    assert desk.slots.granted == 1  # it wakes one of six
    await settle()
    assert desk.let_in == [0, 1, 2]
    desk.leave(3)
    await settle()
    assert desk.let_in == [0, 1, 2, 3, 4, 5]
    desk.leave(9)
    await asyncio.gather(*tasks)
    assert desk.let_in == list(range(8))


async def test_nobody_overtakes_those_who_wait() -> None:
    desk = Desk(0)
    waiting = asyncio.ensure_future(desk.enter(1))
    await settle()
    desk.leave()
    assert not desk.slots.free  # there is room, but it is promised
    await waiting
    assert desk.let_in == [1]


async def test_who_gives_up_passes_the_slot_on() -> None:
    desk = Desk(0)
    first, second = asyncio.ensure_future(desk.enter(1)), asyncio.ensure_future(desk.enter(2))
    await settle()
    desk.leave()
    first.cancel()  # the slot is granted, and not yet taken
    await settle()
    assert desk.let_in == [2]
    assert desk.slots.granted == 0
    await second


async def test_those_who_gave_up_do_not_stand_in_the_way() -> None:
    desk = Desk(0)
    waiting = [asyncio.ensure_future(desk.enter(number)) for number in range(3)]
    await settle()
    for task in waiting:
        task.cancel()
    await settle()
    desk.room = 1
    assert desk.slots.free


async def test_all_are_woken_when_there_will_be_no_slot() -> None:
    desk = Desk(0)
    waiting = [asyncio.ensure_future(desk.slots.wait()) for _ in range(3)]
    await settle()
    desk.slots.wake_all()
    await settle()
    assert all(task.done() and task.exception() is None for task in waiting)
