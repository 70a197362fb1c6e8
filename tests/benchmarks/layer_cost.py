"""B10 and B15: the cost of one layer per dial, over a connector that does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from anyio import aclose_forcefully
from anyio.abc import ByteStream
from clients import five_layers, silent_logger
from measure import Block, Scale, compare, estimate, typical
from processes import server
from report import Row, not_measured

from ziggurat import layers as face
from ziggurat.layers.circuit_breaker import CircuitBreakerLayer
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.hedge import HedgeLayer, LatencyQuantile
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.keyed_limiter import KeyedLimiter
from ziggurat.layers.layer import Layer, Stack, layer_fn
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.race import race
from ziggurat.layers.rate_limit import FixedWindow, RateLimitLayer, TokenBucket
from ziggurat.layers.retry import RetryBudget, RetryLayer, RetryPolicy
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = ["every_layer", "layer_cost", "without_a_recipe"]


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


async def as_it_is(stream: ByteStream) -> ByteStream:
    """Return the stream."""
    return stream


EVERY: dict[str, tuple[Layer, ...]] = {
    "TimeoutLayer": (TimeoutLayer(10.0),),
    "KeepAliveLayer": (KeepAliveLayer(30.0),),
    "NoDelayLayer": (NoDelayLayer(),),
    "LoggingLayer": (LoggingLayer(logger=silent_logger()),),
    "ConcurrencyLimitLayer": (ConcurrencyLimitLayer(10),),
    "ConcurrencyLimitLayer, by host": (ConcurrencyLimitLayer(KeyedLimiter(10)),),
    "RateLimitLayer, token bucket": (RateLimitLayer(TokenBucket(1e9)),),
    "RateLimitLayer, window by host": (RateLimitLayer(FixedWindow(10**9, key=face.by_host)),),
    "CircuitBreakerLayer": (CircuitBreakerLayer(),),
    "RetryLayer": (RetryLayer(),),
    "RetryLayer, with a budget": (RetryLayer(RetryPolicy(budget=RetryBudget())),),
    "HedgeLayer, not needed": (HedgeLayer(10.0),),
    "HedgeLayer, by a quantile": (HedgeLayer(LatencyQuantile()),),
    "race of two, won by the first": (layer_fn(lambda inner: race(inner, inner)),),
}
"""A recipe for each layer that does not use the stream, by its exported name and a remark."""


RECIPES: dict[str, Callable[[Callable[..., Layer]], Layer]] = {
    "AndThenLayer": lambda layer: layer(as_it_is),
    "DirectLayer": lambda layer: layer(),
    "FilterLayer": lambda layer: layer(lambda uri: True),
    "MapErrorLayer": lambda layer: layer(lambda error: error),
    "MapRequestLayer": lambda layer: layer(lambda uri: uri),
    "MapResponseLayer": lambda layer: layer(lambda stream: stream),
}
"""Recipes for layers that may not be there."""

ELSEWHERE = {
    "HttpConnectLayer": "B16",
    "Socks4Layer": "B16",
    "Socks5Layer": "B5",
    "TorLayer": "B5",
    "TlsLayer": "P2",
}
"""Layers that talk on the stream, and the benchmarks that measure them."""


def _measured() -> dict[str, tuple[Layer, ...]]:
    there = {name: (make(getattr(face, name)),) for name, make in RECIPES.items() if hasattr(face, name)}
    return {**EVERY, **there}


def without_a_recipe() -> list[str]:
    """Return the exported layers that are measured neither here nor elsewhere."""
    known = {name.partition(",")[0] for name in _measured()} | set(ELSEWHERE)
    return [name for name in face.__all__ if name.endswith("Layer") and name != "Layer" and name not in known]


async def every_layer(scale: Scale) -> list[Row]:
    """B15: the same for every layer that does not use the stream."""
    rows = await _costs("B15", _measured(), scale)
    return rows + [not_measured("B15", name, "no recipe in layer_cost.py") for name in without_a_recipe()]


async def layer_cost(scale: Scale) -> list[Row]:
    """B10: CPU time of a dial through each layer, minus that of a bare await."""
    return await _costs("B10", STACKS, scale)


async def _costs(benchmark: str, stacks: Mapping[str, tuple[Layer, ...]], scale: Scale) -> list[Row]:
    uri = Uri("http", "127.0.0.1", 80)
    async with server("accept") as port:
        # A real stream, so that layers that set socket options find a socket.
        stream = await TcpConnector()(Uri("tcp", "127.0.0.1", port))

        async def leaf(uri: Uri, /) -> ByteStream:
            return stream

        connectors: dict[str, Connector] = {name: Stack(layers, leaf) for name, layers in stacks.items()}
        blocks: dict[str, Block] = {
            name: partial(_dials, connector, uri, scale.units(2000, 10))
            for name, connector in {"bare await": leaf, **connectors}.items()
        }
        samples = await compare(blocks, scale.pairs(30))
        await aclose_forcefully(stream)
    await asyncio.sleep(0)
    rows: list[Row] = []
    for name in stacks:
        added = estimate([(a.cpu - b.cpu) * 1e6 for a, b in zip(samples[name], samples["bare await"], strict=True)])
        shown = [f"{typical(samples[side]) * 1e6:.2f} us" for side in (name, "bare await")]
        rows.append(Row(benchmark, f"microseconds added to a dial: {name}", "bare await", *shown, added))
    return rows


async def _dials(connector: Connector, uri: Uri, count: int) -> float:
    for done in range(count):
        await connector(uri)
        if not done % 20:
            await asyncio.sleep(0)  # real dials wait, so that the loop can remove the timers of finished limits
    return count
