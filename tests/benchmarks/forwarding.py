"""B17: the local forwarder's cost of a MiB, and the time that it adds to a round trip."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import AsyncExitStack
from functools import partial
from statistics import median

from forwarders import FORWARDERS, cpu
from listening import HAS_SCHEDSTAT
from measure import Block, Scale, compare, estimate, ratios, typical
from processes import server
from report import Must, Row, not_measured

__all__ = ["forwarding"]

MIB = 1024 * 1024
PIECE = bytes(MIB)
ROUND_TRIPS = 200


class End:
    """A connection to the sink, through a forwarder or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.trips: list[float] = []

    @classmethod
    async def open(cls, port: int) -> End:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def upload(self, count: int) -> float:
        """Send ``count`` MiB in writes of one, and wait for the answer."""
        self.writer.write((count * MIB).to_bytes(8, "big"))
        for _ in range(count):
            self.writer.write(PIECE)
            await self.writer.drain()
        await self.reader.readexactly(1)
        return count

    async def ping(self, count: int) -> float:
        """Make ``count`` round trips, each of nine bytes there and one back; their median is added to ``trips``.

        The median, since an interruption of some milliseconds is nothing that a forwarder adds.
        """
        message = (1).to_bytes(8, "big") + b"x"
        took: list[float] = []
        for _ in range(count):
            start = time.perf_counter()
            self.writer.write(message)
            await self.reader.readexactly(1)
            took.append(time.perf_counter() - start)
        self.trips.append(median(took))
        return count


async def forwarding(scale: Scale) -> list[Row]:
    """B17: each forwarder is a process on the servers' core, and the CPU is that of its whole tree."""
    if not HAS_SCHEDSTAT:
        return [not_measured("B17", "a forwarder's CPU per MiB", "it needs Linux's schedstat")]
    programs = {"ziggurat": "python", "ssh -L": "ssh"}
    present = [name for name in FORWARDERS if name == "ziggurat" or shutil.which(programs.get(name, "socat"))]
    missing = [name for name in FORWARDERS if name not in present]
    rows = [not_measured("B17", f"CPU per MiB, against {name}", "not installed") for name in missing]
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(server("sink"))
        ends = {"directly": await End.open(sink)}
        clocks = {"directly": time.process_time}
        for name in present:
            run, arguments = FORWARDERS[name]
            port, pid = await stack.enter_async_context(run(sink, *arguments))
            ends[name] = await End.open(port)
            await ends[name].ping(1)  # socat has forked by then
            clocks[name] = cpu(pid)
        count = scale.units(256, 4)
        blocks: dict[str, Block] = {name: partial(ends[name].upload, count) for name in present}
        bulk = await compare(blocks, scale.pairs(15), clocks=clocks)
        blocks = {name: partial(end.ping, scale.units(ROUND_TRIPS, 5)) for name, end in ends.items()}
        trips = await compare(blocks, scale.pairs(25), clocks=clocks)
        for end in ends.values():
            end.writer.close()
    for name in present[1:]:
        shown = [f"{1 / typical(bulk[side]):.0f} MiB/CPU s" for side in ("ziggurat", name)]
        rate = [f"{1 / typical(bulk[side], 'wall'):.0f}" for side in ("ziggurat", name)]
        must = Must(0.8, ">=") if name == "socat" else None
        note = f"{rate[0]} against {rate[1]} MiB/s"
        value = ratios(bulk[name], bulk["ziggurat"])
        rows.append(Row("B17", "MiB per CPU second, in writes of 1 MiB", name, *shown, value, must, note))
        shown = [f"{typical(trips[side]) * 1e6:.0f} us" for side in ("ziggurat", name)]
        value = ratios(trips["ziggurat"], trips[name])
        rows.append(Row("B17", "CPU per round trip", name, *shown, value))
    counted = {name: end.trips[-scale.pairs(25) :] for name, end in ends.items()}
    direct = counted["directly"]
    for name in present:
        pairs = zip(counted[name], direct, strict=True)
        added = estimate([(there - straight) * 1e6 for there, straight in pairs])
        shown = [f"{median(times) * 1e6:.0f} us" for times in (counted[name], direct)]
        rows.append(Row("B17", f"microseconds added to a round trip, {name}", "directly", *shown, added))
    return rows
