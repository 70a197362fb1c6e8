"""P6: a server's cost of a unary call."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from clients import Client, handed_over
from measure import Block, Sample, Scale, compare
from processes import server_process
from report import Row, cpu_row, not_measured
from unary import CONCURRENT, SEQUENTIAL, works

__all__ = ["listening"]

SIDES = ("listener", "mixin", "grpclib")
"""The same service on the node's listener, on `CompressionMixin` with grpclib's, and on grpclib's server."""

LIMITS = {SEQUENTIAL: 0.4, CONCURRENT: 0.25}

HAS_SCHEDSTAT = Path("/proc/self/schedstat").exists()


def used(pid: int) -> float:
    """Return the seconds that a process has run, which the kernel counts in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def listening(scale: Scale) -> list[Row]:
    """P6: our client is the load; the CPU is the server's, each server a process on the servers' core."""
    if not HAS_SCHEDSTAT:
        return [not_measured("P6", "a server's CPU per unary call", "it needs Linux's schedstat")]
    samples: dict[str, dict[str, list[Sample]]] = {}
    async with AsyncExitStack() as stack:
        clients: dict[str, Client] = {}
        clocks = {}
        for side in SIDES:
            port, pid = await stack.enter_async_context(server_process(side))
            clients[side] = await handed_over(port, stack)
            await clients[side].unary()
            clocks[side] = partial(used, pid)
        for how in LIMITS:
            work, usual = works(scale)[how]
            blocks: dict[str, Block] = {side: partial(work, client) for side, client in clients.items()}
            samples[how] = await compare(blocks, scale.pairs(usual), clocks=clocks)
        await asyncio.sleep(0)
    return [
        cpu_row("P6", f"a server's CPU per unary call, {how}, {side}", samples[how], "grpclib", LIMITS[how], ours=side)
        for how in LIMITS
        for side in ("listener", "mixin")
    ]
