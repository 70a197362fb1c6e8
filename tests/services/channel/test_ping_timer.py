from __future__ import annotations

import asyncio

import pytest

from ziggurat.services.channel.ping_timer import PingTimer

pytestmark = pytest.mark.asyncio_only


class Watched:
    """What a `PingTimer` does, with the time of it."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.pings: list[float] = []
        self.dead: list[float] = []
        self.keepalive = PingTimer(10.0, 4.0, ping=self.ping, on_dead=lambda: self.dead.append(self.now))

    @property
    def now(self) -> float:
        return round(self.loop.time() - self.began, 3)

    def ping(self) -> bool:
        self.pings.append(self.now)
        return self.wanted


async def test_silence_is_answered_with_a_ping_and_more_silence_with_the_end() -> None:
    watched = Watched()
    await asyncio.sleep(100.0)
    assert watched.pings == [10.0]
    assert watched.dead == [14.0]


async def test_whatever_arrives_puts_the_ping_off() -> None:
    watched = Watched()
    await asyncio.sleep(7.0)
    watched.keepalive.heard()
    await asyncio.sleep(9.0)
    assert watched.pings == []
    await asyncio.sleep(2.0)
    assert watched.pings == [17.0]
    watched.keepalive.stop()


async def test_any_byte_behind_a_ping_is_a_sign_of_life() -> None:
    watched = Watched()
    for _ in range(4):
        await asyncio.sleep(10.5)
        watched.keepalive.heard()
    assert watched.dead == []
    assert len(watched.pings) == 4
    watched.keepalive.stop()


async def test_a_ping_that_nobody_wants_is_no_reason_to_die() -> None:
    watched = Watched(wanted=False)
    await asyncio.sleep(35.0)
    assert watched.pings == [10.0, 20.0, 30.0]
    assert watched.dead == []
    watched.keepalive.stop()


async def test_it_stops() -> None:
    watched = Watched()
    watched.keepalive.stop()
    await asyncio.sleep(100.0)
    assert watched.pings == []


async def test_the_next_ping_does_not_wait_for_the_time_that_the_answer_had() -> None:
    watched = Watched()
    watched.keepalive.stop()
    watched.keepalive = PingTimer(2.0, 60.0, ping=watched.ping, on_dead=lambda: watched.dead.append(watched.now))
    for _ in range(3):
        await asyncio.sleep(2.5)
        watched.keepalive.heard()
    watched.keepalive.stop()
    assert watched.pings == [2.0, 4.5, 7.0]
