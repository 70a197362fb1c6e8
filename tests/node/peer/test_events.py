from __future__ import annotations

import anyio
import pytest

from tests.node.lines import info
from ziggurat.node.peer.events import Event, EventStream, PeerConnected, PeerDisconnected, TransactionsAnnounced

pytestmark = pytest.mark.asyncio_only


def stream(capacity: int = 10) -> tuple[EventStream, list[EventStream]]:
    forgotten: list[EventStream] = []
    return EventStream(forgotten.append, capacity), forgotten


async def test_events_come_in_order_and_end_with_the_close() -> None:
    one, forgotten = stream()
    events: list[Event] = [PeerConnected(info()), PeerDisconnected(info(), "why")]
    with one:
        for event in events:
            one.put(event)
    assert [event async for event in one] == events
    assert forgotten == [one]


async def test_a_listener_that_sleeps_loses_the_oldest() -> None:
    one, _ = stream(2)
    for number in range(5):
        one.put(PeerDisconnected(info(), str(number)))
    one.close()
    assert [event.reason async for event in one if isinstance(event, PeerDisconnected)] == ["3", "4"]
    assert one.dropped == 3


async def test_what_waits_is_bounded_by_what_is_in_it_too() -> None:
    one, _ = stream()
    ids = (bytes(32),) * 131_072
    for _ in range(5):
        one.put(TransactionsAnnounced(info(), ids))
    assert one.dropped == 3
    one.put(TransactionsAnnounced(info(), ids * 3))  # larger than all that may wait: the newest is kept all the same
    one.close()
    assert [len(event.ids) async for event in one if isinstance(event, TransactionsAnnounced)] == [3 * 131_072]


async def test_what_was_read_makes_room() -> None:
    one, _ = stream()
    ids = (bytes(32),) * 131_072
    for _ in range(5):
        one.put(TransactionsAnnounced(info(), ids))
        await anext(one)
    assert one.dropped == 0


async def test_a_listener_is_woken() -> None:
    one, _ = stream()
    got: list[Event] = []

    async def listen() -> None:
        async for event in one:
            got.append(event)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.sleep(1)
        one.put(PeerConnected(info()))
        await anyio.sleep(1)
        assert len(got) == 1
        one.close()
