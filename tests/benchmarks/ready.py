"""B12: from a dial to a ready peer, compared with the round trips that it takes.

A relay delays each direction and counts how often the client had to wait for a reply before it went on. TCP's own round
trip is not included, as the relay accepts at once. The proxy is the library's own: one that leaves Nagle's algorithm
on, as microsocks does, holds back small messages until the last is acknowledged, which adds 40 ms now and then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from measure import Scale, estimate
from processes import server
from relay import DelayingRelay
from report import Must, Row, number

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.handshake.identity import NodeIdentity

__all__ = ["ready"]

DELAY = 0.025
"""Delay of each direction in seconds."""

EXPECTED = {"directly": 4, "through a proxy": 5}
"""Round trips: HTTP/2's SETTINGS; the request and its response headers; Version and Verack; Ready. A proxy adds its
greeting and its CONNECT and saves one, as the peer's SETTINGS arrive together with the proxy's reply."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer is reached. The relay is in front of the peer, or of the proxy."""

    name: str
    relay: DelayingRelay
    handler: ConnectionHandler
    target: NetAddress


async def ready(scale: Scale) -> list[Row]:
    """B12: directly and through a proxy; also without delay, which shows the machine's part."""
    rows: list[Row] = []
    for name, turns in EXPECTED.items():
        async with _way(name, DELAY) as way, _way(name, 0.0) as near:
            slow, fast = [], []
            counts: list[int] = []
            for _ in range(scale.pairs(20)):
                slow.append(await _seconds(way))
                counts.append(way.relay.turns)
                fast.append(await _seconds(near))
        counted = min(counts)  # a property of the protocol; a busy machine may split a turn in two
        trips = counted * 2 * DELAY
        shown = f"{estimate(slow).median * 1000:.0f} ms"
        rows += [
            Row("B12", f"round trips to a ready peer, {name}", "", str(counted), "", number(counted), Must(turns, "=")),
            Row(
                *("B12", f"seconds to a ready peer, {name}", f"{counted} round trips of {2000 * DELAY:.0f} ms"),
                *(shown, f"{trips * 1000:.0f} ms", estimate([seconds / trips for seconds in slow])),
            ),
            Row(
                *("B12", f"milliseconds to a ready peer on loopback, {name}", ""),
                *(f"{estimate(fast).median * 1000:.1f} ms", "", estimate([seconds * 1000 for seconds in fast])),
            ),
        ]
    return rows


@asynccontextmanager
async def _way(name: str, delay: float) -> AsyncIterator[Way]:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(server("kaspa"))
        behind = port if name == "directly" else await stack.enter_async_context(server("socks5"))
        relay = DelayingRelay(behind, delay)
        front = await stack.enter_async_context(relay.serve())
        layer = None if behind == port else proxy_layer(f"127.0.0.1:{front}")
        target = NetAddress.parse(f"127.0.0.1:{front if layer is None else port}")
        yield Way(name, relay, ConnectionHandler(layer), target)


async def _seconds(way: Way) -> float:
    async with Adaptor(way.handler, NodeIdentity("kaspa-devnet")) as adaptor:
        start = time.perf_counter()
        await adaptor.connect_peer(way.target)
        seconds = time.perf_counter() - start
        turns = way.relay.turns
    way.relay.turns = turns  # not counting what followed
    await asyncio.sleep(0)
    return seconds
