from __future__ import annotations

import asyncio

import pytest

from ziggurat.services.signal import Signal

pytestmark = pytest.mark.asyncio_only


async def test_setting_it_wakes_all_and_later_ones_do_not_wait() -> None:
    signal = Signal()
    waiting = [asyncio.create_task(signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not signal.is_set()
    signal.set()
    await asyncio.gather(*waiting)
    assert signal.is_set()
    await asyncio.wait_for(signal.wait(), 0.1)


async def test_one_that_has_given_up_is_forgotten() -> None:
    signal = Signal()
    gone, staying = (asyncio.create_task(signal.wait()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    signal.set()
    await staying
    assert gone.cancelled() or not gone.done()
    await asyncio.gather(gone, return_exceptions=True)
    assert signal._waiters == []


async def test_it_can_be_used_again() -> None:
    signal = Signal()
    signal.set()
    signal.clear()
    waiting = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.set()
    await waiting
