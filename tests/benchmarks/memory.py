"""P7: the memory of a connection with an idle stream.

Memory is only comparable between processes with the same history, so each side has its own process:
``python memory.py SIDE PORT COUNT`` prints the growth of its resident set in bytes per stream.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

from bench_service import IDLE, BytesValue
from clients import client_context, five_layers
from comparison import tls_files
from grpclib.client import Channel, StreamStreamMethod
from measure import Scale, estimate
from processes import server
from report import Must, Row, not_measured

from ziggurat.layers.layer import Stack
from ziggurat.layers.tls import TlsLayer
from ziggurat.services.channel import Endpoint
from ziggurat.services.tcp import TcpConnector

__all__ = ["HAS_STATM", "memory", "resident"]

STATM = Path("/proc/self/statm")
HAS_STATM = STATM.exists()
WARM = 20
"""Streams before the measurement: the first ones import modules and fill caches."""

OpenChannel: TypeAlias = Callable[[AsyncExitStack], Awaitable[Channel]]


def plain(port: int, tls: ssl.SSLContext | None) -> OpenChannel:
    """grpclib's own channel, with asyncio's TLS."""

    async def connect(stack: AsyncExitStack) -> Channel:
        channel = Channel("localhost", port, ssl=tls)
        stack.callback(channel.close)
        return channel

    return connect


def ours(port: int, tls: ssl.SSLContext | None) -> OpenChannel:
    """Our channel: handed over, or pumped with TLS. One connector serves all targets, as in a node."""
    connector = Stack(five_layers() if tls is None else (TlsLayer(tls), *five_layers()), TcpConnector())
    scheme = "http" if tls is None else "https"

    async def connect(stack: AsyncExitStack) -> Channel:
        endpoint = Endpoint(f"{scheme}://localhost:{port}")  # one per target
        return await stack.enter_async_context(endpoint.connect(connector))

    return connect


SIDES: dict[str, Callable[[int, ssl.SSLContext | None], OpenChannel]] = {"grpclib": plain, "ziggurat": ours}


async def grown(side: str, port: int, count: int, authority: str | None) -> float:
    """Open streams and return the growth of the process in bytes per stream."""
    connect = SIDES[side](port, client_context(authority))
    async with AsyncExitStack() as stack:

        async def open_some(number: int) -> None:
            for _ in range(number):
                channel = await connect(stack)
                call = StreamStreamMethod(channel, IDLE, BytesValue, BytesValue).open()
                stream = await stack.enter_async_context(call)
                await stream.send_message(BytesValue(value=b"hello"))
                await stream.recv_message()
                stack.push_async_callback(stream.end)

        await open_some(WARM)
        before = resident()
        await open_some(count)
        growth = resident() - before
    return growth / count


def resident() -> int:
    """Return the resident set in bytes, after a garbage collection."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def memory(scale: Scale) -> list[Row]:
    """P7: 1000 connections in clear text, 400 with TLS."""
    if not HAS_STATM:
        return [not_measured("P7", "memory per connection", "it needs /proc")]
    rows = [_row(await _measured(scale, scale.units(1000, 20), None), secure=False)]
    async with tls_files() as tls:
        if tls is None:
            return [*rows, not_measured("P7", "memory per connection over TLS", "trustme is not installed")]
        return [*rows, _row(await _measured(scale, scale.units(400, 20), tls), secure=True)]


async def _measured(scale: Scale, count: int, tls: tuple[str, str] | None) -> dict[str, list[float]]:
    """Return the KiB per connection by side."""
    certificate, authority = tls or (None, None)
    sizes: dict[str, list[float]] = {side: [] for side in SIDES}
    async with server("grpclib", certificate=certificate) as port:
        for _ in range(1 if scale.quick else scale.rounds or 3):
            for side in SIDES:
                extra = [] if authority is None else ["--authority", authority]
                sizes[side].append(await _in_a_process(side, port, count, extra) / 1024)
    return sizes


def _row(sizes: dict[str, list[float]], *, secure: bool) -> Row:
    ours, theirs = sizes["ziggurat"], sizes["grpclib"]
    shown = [f"{estimate(side).median:.1f} KiB" for side in (ours, theirs)]
    what = "resident memory of a connection with one idle stream"
    if secure:
        ratio = estimate([a / b for a, b in zip(ours, theirs, strict=True)])
        return Row("P7", f"{what}, TLS", "grpclib with asyncio's TLS", *shown, ratio, Must(0.2))
    return Row("P7", f"KiB: {what}", "grpclib", *shown, estimate(ours), Must(12))


async def _in_a_process(side: str, port: int, count: int, extra: list[str]) -> float:
    command = [sys.executable, __file__, side, str(port), str(count), *extra]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the memory benchmark of {side} failed")
    return float(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=sorted(SIDES))
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--authority")
    arguments = parser.parse_args()
    print(asyncio.run(grown(arguments.side, arguments.port, arguments.count, arguments.authority)))


if __name__ == "__main__":
    main()
