from __future__ import annotations

from typing import Any

import pytest

from ziggurat.services.channel.snapshot import take_snapshot

pytestmark = pytest.mark.asyncio_only


async def test_a_snapshot_says_what_a_connection_has_done(wire: Any) -> None:
    await wire.connect(connection_window=100_000)
    await wire.send(wire.settings({3: 7}), wire.window(0, 1000))
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.settle()
        before = take_snapshot(wire.protocol)
        assert (before.streams_open, before.streams_started, before.max_streams) == (1, 1, 7)
        assert before.send_window == 65_535 + 1000 - 10
        assert before.receive_window == 100_000
        assert before.accepting
        await wire.send(wire.response(1), wire.message(1, bytes(995)))
        after = take_snapshot(wire.protocol)
        assert after.unread == 1000
        assert after.receive_window == 99_000
        assert after.bytes_received - before.bytes_received > 1000
        assert after.bytes_sent == before.bytes_sent > 100
        await call.cancel()
    await wire.send(wire.goaway(1))
    assert not take_snapshot(wire.protocol).accepting


async def test_a_server_without_a_limit_on_streams_has_none(wire: Any) -> None:
    await wire.connect()
    assert take_snapshot(wire.protocol).max_streams is None
