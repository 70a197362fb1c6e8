from __future__ import annotations

import asyncio

import pytest

from ziggurat.services.channel.ping_timer import PingTimer

pytestmark = pytest.mark.asyncio_only


class Watched:
    """Records when a `PingTimer` sends PINGs and reports a dead peer."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.pings: list[float] = []
        self.dead: list[float] = []
        self.timer = PingTimer(10.0, 4.0, ping=self.ping, on_dead=lambda: self.dead.append(self.now))

    @property
    def now(self) -> float:
        return round(self.loop.time() - self.began, 3)

    def ping(self) -> bool:
        self.pings.append(self.now)
        return self.wanted


async def test_silence_leads_to_a_ping_and_further_silence_to_a_dead_peer() -> None:
    watched = Watched()
    await asyncio.sleep(100.0)
    assert watched.pings == [10.0]
    assert watched.dead == [14.0]


async def test_arriving_data_postpones_the_ping() -> None:
    watched = Watched()
    await asyncio.sleep(7.0)
    watched.timer.heard()
    await asyncio.sleep(9.0)
    assert watched.pings == []
    await asyncio.sleep(2.0)
    assert watched.pings == [17.0]
    watched.timer.stop()


async def test_any_byte_after_a_ping_is_a_sign_of_life() -> None:
    watched = Watched()
    for _ in range(4):
        await asyncio.sleep(10.5)
        watched.timer.heard()
    assert watched.dead == []
    assert len(watched.pings) == 4
    watched.timer.stop()


async def test_a_ping_that_is_not_needed_does_not_count_as_unanswered() -> None:
    watched = Watched(wanted=False)
    await asyncio.sleep(35.0)
    assert watched.pings == [10.0, 20.0, 30.0]
    assert watched.dead == []
    watched.timer.stop()


async def test_a_stopped_timer_sends_no_pings() -> None:
    watched = Watched()
    watched.timer.stop()
    await asyncio.sleep(100.0)
    assert watched.pings == []


async def test_the_next_ping_does_not_wait_for_the_timeout_of_the_last() -> None:
    watched = Watched()
    watched.timer.stop()
    watched.timer = PingTimer(2.0, 60.0, ping=watched.ping, on_dead=lambda: watched.dead.append(watched.now))
    for _ in range(3):
        await asyncio.sleep(2.5)
        watched.timer.heard()
    watched.timer.stop()
    assert watched.pings == [2.0, 4.5, 7.0]
