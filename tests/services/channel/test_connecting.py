"""The result of `Endpoint.connect`."""

from __future__ import annotations

from typing import Any

import pytest

from ziggurat.services import Channel, Endpoint


@pytest.mark.asyncio_only
async def test_connect_can_be_awaited_and_entered(far_end: Any, say: Any) -> None:
    connecting = Endpoint("http://far.example").connect(far_end)
    assert far_end.dials == 0
    channel = await connecting
    assert isinstance(channel, Channel)
    assert await say(channel) == b"hello"
    await channel.aclose()
    async with Endpoint("http://far.example").connect(far_end) as channel:
        assert await say(channel) == b"hello"
    assert far_end.open == 0
    assert far_end.dials == 2
