"""B1 and B2: the client's cost of a unary call, on both paths from a connector to HTTP/2."""

from __future__ import annotations

import asyncio
from functools import partial

from clients import Client, OpenClient, handed_over, opened, plain, pumped
from measure import Sample, Scale, compare
from processes import server
from report import Row, cpu_row

__all__ = ["hand_over", "pump"]

AT_ONCE = 50
SESSIONS = 5
"""Sessions, each on new connections: the layout of objects in memory can favour one side."""


async def hand_over(scale: Scale) -> list[Row]:
    """B1: five layers over `TcpConnector`; the transport is handed over."""
    return await _unary("B1", "hand-over", handed_over, scale, (1.03, 1.03))


async def pump(scale: Scale) -> list[Row]:
    """B2: the same below a stream that has to be pumped."""
    return await _unary("B2", "pump", pumped, scale, (1.20, 1.05))


async def _unary(name: str, path: str, ours: OpenClient, scale: Scale, must: tuple[float, float]) -> list[Row]:
    rows: list[Row] = []
    rounds = scale.pairs(100)
    sessions = min(SESSIONS, rounds)
    async with server("grpcio") as port:
        for block, what, limit in (
            (partial(_sequential, count=scale.units(100, 5)), "one after the other", must[0]),
            (partial(_at_once, batches=scale.units(4, 1)), f"{AT_ONCE} at once", must[1]),
        ):
            samples: dict[str, list[Sample]] = {"ziggurat": [], "grpclib": []}
            for _ in range(sessions):
                async with opened(port, {"ziggurat": ours, "grpclib": plain}) as clients:
                    blocks = {side: partial(block, client) for side, client in clients.items()}
                    for side, more in (await compare(blocks, rounds // sessions)).items():
                        samples[side] += more
            rows.append(cpu_row(name, f"CPU per unary call, {what}, {path}", samples, "grpclib", limit))
    return rows


async def _sequential(client: Client, *, count: int) -> float:
    for _ in range(count):
        await client.unary()
    return count


async def _at_once(client: Client, *, batches: int) -> float:
    # 50 tasks, each of which makes its calls one after the other, so that 50 are under way all the time.
    await asyncio.gather(*(_sequential(client, count=batches) for _ in range(AT_ONCE)))
    return AT_ONCE * batches
