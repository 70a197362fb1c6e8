from __future__ import annotations

import anyio
import pytest

from tests.node.lines import info
from ziggurat.node.peer.events import Event, EventStream, PeerConnected, PeerDisconnected, TransactionsAnnounced

pytestmark = pytest.mark.asyncio_only


def stream(capacity: int = 10) -> tuple[EventStream, list[EventStream]]:
    forgotten: list[EventStream] = []
    return EventStream(forgotten.append, capacity), forgotten


async def test_events_arrive_in_order_and_end_when_the_stream_is_closed() -> None:
    one, forgotten = stream()
    events: list[Event] = [PeerConnected(info()), PeerDisconnected(info(), "why")]
    with one:
        for event in events:
            one.put(event)
    assert [event async for event in one] == events
    assert forgotten == [one]


async def test_a_slow_subscriber_loses_the_oldest_events() -> None:
    one, _ = stream(2)
    for number in range(5):
        one.put(PeerDisconnected(info(), str(number)))
    one.close()
    assert [event.reason async for event in one if isinstance(event, PeerDisconnected)] == ["3", "4"]
    assert one.dropped == 3


async def test_the_ids_in_queued_events_are_bounded_too() -> None:
    one, _ = stream()
    ids = (bytes(32),) * 131_072
    for _ in range(5):
        one.put(TransactionsAnnounced(info(), ids))
    assert one.dropped == 3
    one.put(TransactionsAnnounced(info(), ids * 3))  # above the limit on its own, but the newest event is always kept
    one.close()
    assert [len(event.ids) async for event in one if isinstance(event, TransactionsAnnounced)] == [3 * 131_072]


async def test_reading_an_event_makes_room() -> None:
    one, _ = stream()
    ids = (bytes(32),) * 131_072
    for _ in range(5):
        one.put(TransactionsAnnounced(info(), ids))
        await anext(one)
    assert one.dropped == 0


async def test_a_waiting_subscriber_is_woken() -> None:
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
