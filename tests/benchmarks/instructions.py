"""P5: the instructions of a unary call, counted by valgrind's callgrind.

A count hardly depends on what else the machine does. It is the difference of two processes, one of which makes twice as
many calls: ``python instructions.py SIDE PORT COUNT [--at-once]`` makes them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from contextlib import AsyncExitStack

from clients import Client, OpenClient, handed_over, plain
from comparison import server_kinds
from measure import Scale
from processes import server
from raw_echo import open_raw_echo
from report import Must, Row, not_measured, number

__all__ = ["instructions"]

SIDES: dict[str, OpenClient] = {"ziggurat": handed_over, "grpclib": plain}

FLOOR = "a raw echo"

WARM = 20
"""Calls before those that count: the first ones fill caches."""

AT_ONCE = 50

COUNTS = {"ziggurat": 1000, "grpclib": 300, FLOOR: 1000}
"""Calls of the shorter process. What a process does beside them varies by some million instructions."""

COLLECTED = re.compile(rb"Collected : (\d+)")


async def instructions(scale: Scale) -> list[Row]:
    """P5: one call after the other, and 50 at once."""
    if shutil.which("valgrind") is None and not scale.quick:
        return [not_measured("P5", "kilo-instructions of a unary call", "valgrind is not installed")]
    rows: list[Row] = []
    kind = server_kinds(scale)[0]
    async with server(kind) as port:
        for how, limit in (("one after the other", 160.0), (f"{AT_ONCE} at once", None)):
            found = {side: await _per_call(side, port, how, scale) for side in SIDES}
            rows.append(
                Row(
                    *("P5", f"kilo-instructions of a unary call, {how}, {kind}", "grpclib"),
                    *(f"{found[side]:.0f}" for side in ("ziggurat", "grpclib")),
                    None if scale.quick else number(round(found["ziggurat"])),
                    None if limit is None else Must(limit),
                )
            )
    async with server("echo") as port:
        floor = await _per_call(FLOOR, port, "one after the other", scale)
    value = None if scale.quick else number(round(floor))
    what = "kilo-instructions of a raw echo of as many bytes, the floor"
    return [*rows, Row("P5", what, "", f"{floor:.0f}", "", value)]


async def _per_call(side: str, port: int, how: str, scale: Scale) -> float:
    count = AT_ONCE if scale.quick else COUNTS[side]
    extra = ["--at-once"] if how != "one after the other" else []
    if scale.quick:
        await _counted([side, str(port), str(count), *extra], scale)
        return 0.0
    once, twice = [await _counted([side, str(port), str(size), *extra], scale) for size in (count, 2 * count)]
    return (twice - once) / count / 1000


async def _counted(arguments: list[str], scale: Scale) -> int:
    """Return the instructions of a process; 0 with ``--quick``, where they are not counted."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*([] if scale.quick else valgrind), sys.executable, __file__, *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, env=environment)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"counting instructions failed: {output.decode(errors='replace')[-500:]}")
    collected = COLLECTED.search(output)
    return int(collected[1]) if collected else 0


async def _calls(client: Client, count: int) -> None:
    for _ in range(count):
        await client.unary()


async def _run(side: str, port: int, count: int, at_once: bool) -> None:
    async with AsyncExitStack() as stack:
        client = await (open_raw_echo(port, port, stack) if side == FLOOR else SIDES[side](port, stack, None))
        await _calls(client, WARM)
        if at_once:
            await asyncio.gather(*(_calls(client, count // AT_ONCE) for _ in range(AT_ONCE)))
        else:
            await _calls(client, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=sorted(COUNTS))
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--at-once", action="store_true")
    given = parser.parse_args()
    asyncio.run(_run(given.side, given.port, given.count, given.at_once))


if __name__ == "__main__":
    main()
