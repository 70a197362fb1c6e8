"""B18: one slow endpoint of four: the time that all but one in a hundred dials stay below, against round robin."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle

from anyio.abc import ByteStream
from measure import Estimate, Scale, estimate
from report import Must, Row

from ziggurat.layers.balance import Balance, PeakEwma, PendingLoad
from ziggurat.layers.testing import stream_pair
from ziggurat.services.service import Connector
from ziggurat.services.stream import WrappedStream
from ziggurat.services.uri import Uri

__all__ = ["balance"]

FAST, SLOW = 0.004, 0.1
"""Seconds that a dial takes."""

WORKERS = 12
"""Dials at once; each is followed by the next."""

URI = Uri("http", "target.example", 80)


class Endpoint:
    """Takes its time, which grows when it has more than four dials at once, as a busy server's does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._dials = 0

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self._dials += 1
        try:
            await asyncio.sleep(self._seconds * max(1.0, self._dials / 4))
        finally:
            self._dials -= 1
        return WrappedStream(stream_pair()[0])


class RoundRobin:
    """Dials each in its turn."""

    def __init__(self, connectors: list[Endpoint]) -> None:
        self._turns = cycle(connectors)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        return await next(self._turns)(uri)


def endpoints() -> list[Endpoint]:
    return [Endpoint(seconds) for seconds in (FAST, FAST, SLOW, FAST)]


async def balance(scale: Scale) -> list[Row]:
    """B18: the 99th percentile of a dial's seconds."""
    found: dict[str, list[float]] = {"peak EWMA": [], "pending": [], "round robin": []}
    for _ in range(scale.pairs(10)):
        made: dict[str, Connector] = {
            "peak EWMA": Balance(endpoints(), load=PeakEwma()),
            "pending": Balance(endpoints(), load=PendingLoad()),
            "round robin": RoundRobin(endpoints()),
        }
        for name, connector in made.items():
            found[name].append(await _p99(connector, scale.units(600, 12)))
    theirs = estimate(found["round robin"]).median
    rows: list[Row] = []
    for name, must in (("peak EWMA", Must(0.5)), ("pending", None)):
        value: Estimate = estimate([a / b for a, b in zip(found[name], found["round robin"], strict=True)])
        shown = [f"{seconds * 1e3:.1f} ms" for seconds in (estimate(found[name]).median, theirs)]
        rows.append(Row("B18", f"p99 of a dial, one slow of four, {name}", "round robin", *shown, value, must))
    return rows


async def _p99(connector: Connector, dials: int) -> float:
    spent: list[float] = []

    async def work() -> None:
        while len(spent) < dials:
            start = time.perf_counter()
            stream = await connector(URI)
            spent.append(time.perf_counter() - start)
            await stream.aclose()

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return sorted(spent)[int(len(spent) * 0.99)]
