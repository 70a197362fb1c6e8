"""P3: the client's cost of a small message in a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from bench_service import SMALL
from clients import Client, OpenClient, grpcio, handed_over, plain
from comparison import FAST, Work, compared, server_kinds, without_fast_server
from measure import Scale
from report import Row, cpu_row

__all__ = ["message_streams"]

LIMITS = {"server stream": 0.30, "client stream": 0.20, "both ways, pipelined": 0.25, "both ways, ping-pong": 0.60}


async def message_streams(scale: Scale) -> list[Row]:
    """P3: messages of 100 bytes; down, up, and both ways."""
    sides: dict[str, OpenClient] = {"ziggurat": handed_over, "grpclib": plain, "grpcio.aio": grpcio}
    many, few = scale.units(1000, 20), scale.units(100, 5)
    works: dict[str, tuple[Work, int]] = {
        "server stream": (partial(_stream, lambda client: client.receive, many), 40),
        "client stream": (partial(_stream, lambda client: client.send, many), 40),
        "both ways, pipelined": (partial(_stream, lambda client: client.pipeline, many), 40),
        "both ways, ping-pong": (partial(_stream, lambda client: client.ping_pong, few), 40),
    }
    rows = without_fast_server("P3", scale)
    for kind in server_kinds(scale):
        found = await compared(kind, sides, works, scale)
        for against in ("grpclib", "grpcio.aio"):
            for how, samples in found.items():
                limit = LIMITS[how] if (kind, against) == (FAST, "grpclib") else None
                what = f"CPU per message of {SMALL} bytes, {how}, {kind}"
                rows.append(cpu_row("P3", what, samples, against, limit, unit="message"))
    return rows


async def _stream(method: Callable[[Client], Callable[[int], Awaitable[None]]], count: int, client: Client) -> float:
    await method(client)(count)
    return count
