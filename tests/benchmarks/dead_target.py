"""B8: 20 concurrent callers of an unreachable target, where each dial takes 0.2 s to fail."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from anyio.abc import ByteStream
from bench_service import UNARY, BytesValue
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError
from measure import Scale, estimate
from report import Must, Row, number

from ziggurat.services.channel import Endpoint
from ziggurat.services.uri import Uri

__all__ = ["dead_target"]

CALLERS = 20
TAKES = 0.2
"""Duration of a failing dial in seconds."""


class DeadConnector:
    """Fails slowly and counts the dials."""

    def __init__(self, takes: float) -> None:
        self.dials = 0
        self._takes = takes

    async def __call__(self, uri: Uri, /) -> ByteStream:
        await self.fail()
        raise AssertionError

    async def fail(self) -> None:
        self.dials += 1
        await asyncio.sleep(self._takes)
        raise ConnectionRefusedError("connection refused")


class PlainChannel(Channel):
    """grpclib's plain channel, with the same dead target."""

    def __init__(self, connector: DeadConnector) -> None:
        super().__init__("127.0.0.1", 1)
        self._connector = connector

    async def _create_connection(self) -> Any:
        await self._connector.fail()


async def dead_target(scale: Scale) -> list[Row]:
    """B8: number of dials, and seconds until the last caller has its error."""
    takes = 0.01 if scale.quick else TAKES
    ours = [await _ours(takes) for _ in range(scale.pairs(5))]
    theirs = [await _theirs(takes) for _ in range(scale.pairs(2))]
    dials = {count for count, _ in ours}
    seconds = estimate([spent for _, spent in ours])
    what = f"{CALLERS} callers on a dead target"
    other_dials, other_seconds = theirs[-1][0], estimate([spent for _, spent in theirs]).median
    return [
        Row("B8", f"{what}, dials", "grpclib", str(max(dials)), str(other_dials), number(max(dials)), Must(1, "=")),
        Row(
            "B8",
            f"{what}, seconds",
            "grpclib",
            f"{seconds.median:.3f} s",
            f"{other_seconds:.1f} s",
            seconds,
            Must(0.25),
        ),
    ]


async def _ours(takes: float) -> tuple[int, float]:
    connector = DeadConnector(takes)
    async with Endpoint("http://127.0.0.1:1").connect_lazy(connector) as channel:
        seconds = await _call(channel)
    return connector.dials, seconds


async def _theirs(takes: float) -> tuple[int, float]:
    connector = DeadConnector(takes)
    channel = PlainChannel(connector)
    seconds = await _call(channel)
    channel.close()
    return connector.dials, seconds


async def _call(channel: Channel) -> float:
    method = UnaryUnaryMethod(channel, UNARY, BytesValue, BytesValue)
    start = time.perf_counter()
    answers = await asyncio.gather(*(method(BytesValue()) for _ in range(CALLERS)), return_exceptions=True)
    seconds = time.perf_counter() - start
    assert all(isinstance(answer, (GRPCError, OSError)) for answer in answers), answers
    return seconds
