"""The states of a channel, and watching them."""

from __future__ import annotations

import asyncio

import pytest

from ziggurat.services.channel.state import ChannelState, StateChanges, StateWatch

pytestmark = pytest.mark.asyncio_only


async def test_a_watcher_sees_the_state_and_every_change_in_order() -> None:
    watch = StateWatch()
    changes = StateChanges(watch)
    watch.enter(ChannelState.CONNECTING)
    watch.enter(ChannelState.CONNECTING)  # no change
    watch.enter(ChannelState.READY)
    watch.enter(ChannelState.SHUTDOWN)
    assert [state async for state in changes] == [
        ChannelState.IDLE,
        ChannelState.CONNECTING,
        ChannelState.READY,
        ChannelState.SHUTDOWN,
    ]
    assert [state async for state in changes] == []


async def test_shutdown_is_final() -> None:
    watch = StateWatch()
    watch.enter(ChannelState.SHUTDOWN)
    watch.enter(ChannelState.IDLE)
    assert watch.state is ChannelState.SHUTDOWN
    assert [state async for state in StateChanges(watch)] == [ChannelState.SHUTDOWN]


async def test_a_watcher_waits_for_the_next_change() -> None:
    watch = StateWatch()
    changes = StateChanges(watch)
    assert await anext(changes) is ChannelState.IDLE
    waiting = asyncio.create_task(changes.__anext__())
    await asyncio.sleep(1)
    assert not waiting.done()
    watch.enter(ChannelState.READY)
    assert await waiting is ChannelState.READY


async def test_a_dropped_watcher_is_forgotten() -> None:
    watch = StateWatch()
    changes = StateChanges(watch)
    assert len(watch.queues) == 1
    del changes
    assert len(watch.queues) == 0
