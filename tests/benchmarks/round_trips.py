"""B6: round trips to an open tunnel, counted by a relay whose delay makes them show in seconds, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from statistics import median
from typing import TypeAlias

from measure import Scale
from relay import DelayingRelay
from report import Must, Row, number

from ziggurat.layers.layer import Stack
from ziggurat.layers.socks5.auth import UserPass
from ziggurat.layers.socks5.handshake import Pipeline
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.layers.testing.socks5_server import Socks5Server
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = ["round_trips"]

Users: TypeAlias = dict[str, str] | None

USERS = {"user": "secret"}
DELAY = 0.025
"""Delay of each direction in seconds."""


async def round_trips(scale: Scale) -> list[Row]:
    """B6: without and with credentials, and with pipelining."""
    return [
        *await _compare("no credentials", None, {None: 0, "all": -1}, scale),
        *await _compare("credentials", USERS, {None: 0, "auth": -1, "all": -2}, scale),
    ]


async def _compare(name: str, users: Users, must: dict[Pipeline, int], scale: Scale) -> list[Row]:
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Socks5Server(users).serve())
        target = await stack.enter_async_context(await asyncio.start_server(_hang_up_later, "127.0.0.1", 0))
        target_port = target.sockets[0].getsockname()[1]
        relay = DelayingRelay(proxy.port, 0.001 if scale.quick else DELAY)
        port = await stack.enter_async_context(relay.serve())
        theirs = await _count(relay, partial(_python_socks, port, target_port, users), scale)
        for pipeline, saved in must.items():
            ours = await _count(relay, partial(_ziggurat, port, target_port, users, pipeline), scale)
            what = f"round trips to a tunnel, {name}" + (f", pipeline={pipeline!r}" if pipeline else "")
            shown = [f"{turns} in {seconds * 1000:.0f} ms" for turns, seconds in (ours, theirs)]
            rows.append(Row("B6", what, "python-socks", *shown, number(ours[0] - theirs[0]), Must(saved, "=")))
    return rows


async def _count(relay: DelayingRelay, dial: Callable[[], Awaitable[None]], scale: Scale) -> tuple[int, float]:
    counts: set[int] = set()
    seconds: list[float] = []
    for _ in range(scale.pairs(5)):
        start = time.perf_counter()
        await dial()
        seconds.append(time.perf_counter() - start)
        counts.add(relay.turns)
    (turns,) = counts  # a property of the protocol, so it must not vary
    return turns, median(seconds)


async def _ziggurat(port: int, target: int, users: Users, pipeline: Pipeline) -> None:
    auth = None if users is None else UserPass(*next(iter(users.items())))
    connector = Stack((Socks5Layer(f"127.0.0.1:{port}", auth=auth, pipeline=pipeline),), TcpConnector())
    stream = await connector(Uri("tcp", "127.0.0.1", target))
    await stream.aclose()


async def _python_socks(port: int, target: int, users: Users) -> None:
    from python_socks.async_.asyncio import Proxy

    login = "" if users is None else "user:secret@"
    sock = await Proxy.from_url(f"socks5://{login}127.0.0.1:{port}").connect("127.0.0.1", target)
    sock.close()


async def _hang_up_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
