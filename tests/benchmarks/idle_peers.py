"""B13, and P7 for the node: the cost of 128 idle inbound peers, compared with as many idle streams of a grpclib server.

Memory is only comparable between processes with the same history, so each side has its own process:
``python idle_peers.py SIDE COUNT SECONDS`` serves, and prints the bytes per peer and the share of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kaspa_end import converse, kaspa_server, version
from measure import Scale, estimate
from memory import HAS_STATM, resident
from report import Must, Row

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.inbound.limits import InboundLimits
from ziggurat.node.inbound.listener import TcpListener
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM

__all__ = ["idle_peers"]

WARM = 8
"""Peers before the measurement: the first ones import modules and fill caches."""

PINGS = 10
"""Ping rate relative to kaspad's, so that a short window has enough of them: one every 12 seconds."""


@asynccontextmanager
async def node() -> AsyncIterator[int]:
    """Run a listening node; yields its port."""
    listener = TcpListener(NetAddress.parse("127.0.0.1:0"))
    context = FlowContext(ping_interval=120.0 / PINGS)
    adaptor = Adaptor(
        ConnectionHandler(),
        NodeIdentity("kaspa-devnet"),
        listener=listener,
        context=context,
        limits=InboundLimits(peers=1000),
    )
    async with adaptor:
        assert adaptor.listening is not None
        yield adaptor.listening.port


SIDES = {"ziggurat": node, "grpclib": kaspa_server}


async def measured(side: str, count: int, seconds: float) -> dict[str, float]:
    """Accept the peers and return their cost."""
    async with SIDES[side]() as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "dial", str(count), str(port), stdin=PIPE, stdout=PIPE
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            await _line(process.stdout, "warm")
            before = resident()
            process.stdin.write(b"go on\n")
            await _line(process.stdout, "all")
            growth = resident() - before
            cpu, start = time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            share = (time.process_time() - cpu) / (time.perf_counter() - start)
        finally:
            process.stdin.close()
            await process.wait()
    return {"bytes": growth / count, "share": share}


async def _line(output: asyncio.StreamReader, expected: str) -> None:
    said = (await output.readline()).decode().strip()
    if said != expected:
        raise RuntimeError(f"the peers did not connect: {said!r}")


async def dial(count: int, port: int) -> None:
    """Act as all the peers until standard input ends."""
    try:
        async with asyncio.TaskGroup() as tasks:
            await _open(tasks, port, WARM)
            print("warm", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await _open(tasks, port, count)
            print("all", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            os._exit(0)  # the peers leave at once, without a hundred tracebacks
    except* Exception as errors:
        print(repr(errors.exceptions[0]), flush=True)
        os._exit(1)


async def _open(tasks: asyncio.TaskGroup, port: int, count: int) -> None:
    for _ in range(count):  # one by one, as too many concurrent handshakes from one address are refused
        greeted = asyncio.Event()
        tasks.create_task(_peer(port, greeted))
        await greeted.wait()


async def _peer(port: int, greeted: asyncio.Event) -> None:
    from grpclib.client import Channel
    from grpclib.const import Cardinality

    channel = Channel("127.0.0.1", port)
    async with channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage) as stream:
        await stream.send_request()
        await stream.send_message(version())
        await stream.send_message(KaspadMessage(verack=p2p.VerackMessage()))
        await stream.send_message(KaspadMessage(ready=p2p.ReadyMessage()))
        async for message in stream:
            if message.WhichOneof("payload") == "ready":
                break
        greeted.set()
        await converse(stream)


async def idle_peers(scale: Scale) -> list[Row]:
    """B13: memory and CPU of 128 peers that exchange only pings."""
    if not HAS_STATM:
        print("B13 needs /proc: skipped", file=sys.stderr)
        return []
    count, seconds = scale.units(128, 8), scale.units(12, 1)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(1 if scale.quick else scale.rounds or 3):
        for side in SIDES:
            found[side].append(await _in_a_process(side, count, seconds))
    mine, other = found["ziggurat"], found["grpclib"]
    memory = [[run["bytes"] / 1024 for run in side] for side in (mine, other)]
    share = [f"{estimate([run['share'] for run in side]).median * 100:.2f} %" for side in (mine, other)]
    return [
        Row(
            *("P7", f"KiB: resident memory per idle inbound peer, {count} of them", "grpclib"),
            *(f"{estimate(side).median:.1f} KiB" for side in memory),
            estimate(memory[0]),
            Must(60),
        ),
        Row(
            *("B13", f"percent of a core for {count} idle inbound peers, a ping each {120 // PINGS} s", "grpclib"),
            *share,
            estimate([run["share"] * 100 for run in mine]),
            note=f"kaspad's interval is {PINGS} times as long; the grpclib server sends no pings",
        ),
    ]


async def _in_a_process(side: str, count: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, __file__, side, str(count), str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the benchmark of idle peers failed for {side}")
    return dict(json.loads(output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=[*SIDES, "dial"])
    parser.add_argument("count", type=int)
    parser.add_argument("number", type=float, help="seconds to watch; with 'dial' the port")
    given = parser.parse_args()
    if given.side == "dial":
        asyncio.run(dial(given.count, int(given.number)))
    else:
        print(json.dumps(asyncio.run(measured(given.side, given.count, given.number))))


if __name__ == "__main__":
    main()
