from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from ziggurat.layers.balance.discovery import Change, Insert, Remove
from ziggurat.layers.balance.feed import Feed
from ziggurat.layers.balance.load import PendingLoad
from ziggurat.layers.balance.members import Members
from ziggurat.services.tcp import TcpConnector


def members() -> Members:
    return Members(PendingLoad(), lambda: 0.0)


def keys(made: Members) -> list[object]:
    return [member.key for member in made.all()]


async def test_changes_apply_in_order_and_the_end_of_the_iterator_is_no_failure() -> None:
    async def changes() -> AsyncIterator[Change]:
        yield Insert("a", TcpConnector())
        yield Insert("b", TcpConnector())
        yield Remove("a")
        yield Remove("never seen")

    made = members()
    feed = Feed(changes(), made)
    assert not feed.started
    await feed.run()
    assert keys(made) == ["b"]
    assert (feed.started, feed.ended, feed.error) == (True, True, None)


async def test_a_failure_keeps_the_endpoints_is_logged_and_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    async def changes() -> AsyncIterator[Change]:
        yield Insert("a", TcpConnector())
        raise ValueError("the registry is gone")

    made = members()
    feed = Feed(changes(), made)
    with caplog.at_level(logging.WARNING, "ziggurat"):
        await feed.run()
    assert keys(made) == ["a"]
    assert isinstance(feed.error, ValueError)
    assert "balance.feed_failed error=ValueError: the registry is gone count=1" in caplog.text


@pytest.mark.parametrize("wrong", [None, ("a", TcpConnector()), "a"])
async def test_something_else_than_a_change_is_a_failure(wrong: Any) -> None:
    async def changes() -> AsyncIterator[Change]:
        yield wrong

    feed = Feed(changes(), members())
    await feed.run()
    assert isinstance(feed.error, TypeError)
    assert "Insert(key, connector) and Remove(key)" in str(feed.error)


async def test_thousands_of_changes_at_once_do_not_stop_the_loop() -> None:
    """tonic panics beyond 1024 changes; an iterator that never waits would stop everything else."""

    async def changes() -> AsyncIterator[Change]:
        for key in range(3000):
            yield Insert(key, TcpConnector())

    made = members()
    others = 0

    async def other() -> None:
        nonlocal others
        while len(made.all()) < 3000:
            others += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        tasks.start_soon(Feed(changes(), made).run)
    assert others > 100


async def test_a_cancelled_feed_closes_the_users_generator() -> None:
    closed: list[bool] = []

    async def changes() -> AsyncIterator[Change]:
        try:
            yield Insert("a", TcpConnector())
            await anyio.sleep_forever()
        finally:
            closed.append(True)

    feed = Feed(changes(), members())
    with anyio.move_on_after(1.0):
        await feed.run()
    assert closed == [True]
    assert feed.ended
    assert feed.error is None
