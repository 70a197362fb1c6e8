"""B10: the cost of one layer per dial, over a connector that does nothing."""

from __future__ import annotations

import asyncio
from functools import partial

from anyio import aclose_forcefully
from anyio.abc import ByteStream
from clients import five_layers, silent_logger
from measure import Block, Scale, compare, estimate, typical
from processes import server
from report import Row

from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Layer, Stack, layer_fn
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = ["layer_cost"]


def bare(inner: Connector) -> Connector:
    """Return the smallest possible layer."""

    async def connect(uri: Uri, /) -> ByteStream:
        return await inner(uri)

    return connect


def keeping_contracts(inner: Connector) -> Connector:
    """Return the smallest layer that runs inside a dial, which here opens the ledger and attaches it."""

    async def connect(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            return current.established(await inner(uri))

    return connect


STACKS: dict[str, tuple[Layer, ...]] = {
    "a function": (layer_fn(bare),),
    "a function inside dial()": (layer_fn(keeping_contracts),),
    "TimeoutLayer": (TimeoutLayer(10.0),),
    "ConcurrencyLimitLayer": (ConcurrencyLimitLayer(10),),
    "KeepAliveLayer": (KeepAliveLayer(30.0),),
    "NoDelayLayer": (NoDelayLayer(),),
    "LoggingLayer, events dropped": (LoggingLayer(logger=silent_logger()),),
    "five layers": five_layers(),
}


async def layer_cost(scale: Scale) -> list[Row]:
    """B10: CPU time of a dial through each layer, minus that of a bare await."""
    uri = Uri("http", "127.0.0.1", 80)
    async with server("accept") as port:
        # A real stream, so that layers that set socket options find a socket.
        stream = await TcpConnector()(Uri("tcp", "127.0.0.1", port))

        async def leaf(uri: Uri, /) -> ByteStream:
            return stream

        connectors: dict[str, Connector] = {name: Stack(layers, leaf) for name, layers in STACKS.items()}
        blocks: dict[str, Block] = {
            name: partial(_dials, connector, uri, scale.units(2000, 10))
            for name, connector in {"bare await": leaf, **connectors}.items()
        }
        samples = await compare(blocks, scale.pairs(30))
        await aclose_forcefully(stream)
    await asyncio.sleep(0)
    rows: list[Row] = []
    for name in STACKS:
        added = estimate([(a.cpu - b.cpu) * 1e6 for a, b in zip(samples[name], samples["bare await"], strict=True)])
        shown = [f"{typical(samples[side]) * 1e6:.2f} us" for side in (name, "bare await")]
        rows.append(Row("B10", f"microseconds added to a dial: {name}", "bare await", *shown, added))
    return rows


async def _dials(connector: Connector, uri: Uri, count: int) -> float:
    for done in range(count):
        await connector(uri)
        if not done % 20:
            await asyncio.sleep(0)  # real dials wait, so that the loop can remove the timers of finished limits
    return count
