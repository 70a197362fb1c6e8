"""Helpers shared by the channel's tests."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

from hyperframe.frame import GoAwayFrame

from ziggurat.services import (
    Backoff,
    Channel,
)

TARGET = "http://far.example:50051"
STEADY = Backoff(1.0, factor=2.0, jitter=0.0, maximum=8.0)

loose: contextvars.ContextVar[str] = contextvars.ContextVar("loose", default="clean")

Say = Callable[..., Awaitable[bytes]]


async def calls(say: Say, channel: Channel, count: int) -> list[Any]:
    return await asyncio.gather(*(say(channel) for _ in range(count)), return_exceptions=True)


async def settle() -> None:
    await asyncio.sleep(0.01)


async def goaway(far_end: Any, index: int = -1) -> None:
    """Let the server send GOAWAY: it accepts no new calls and finishes those under way."""
    far_end.transports[index].write(GoAwayFrame(0, last_stream_id=2**31 - 1).serialize())
    await settle()
