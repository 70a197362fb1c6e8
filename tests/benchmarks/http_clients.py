"""B19: httpx over our connections against httpx with its own support for SOCKS5."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from measure import Block, Scale, compare
from processes import proxy, proxy_name, server
from report import Row, cpu_row

from ziggurat.layers.layer import Stack
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.services.tcp import TcpConnector

__all__ = ["http_clients"]

MOST = 1.05
"""CPU of a request over ours, at most, in requests over httpx's own."""


@asynccontextmanager
async def sides(proxy_port: int, url: str, count: int, *, keep: bool) -> AsyncIterator[dict[str, Block]]:
    """Set up both clients, which differ in nothing but who dials."""
    import httpx

    from ziggurat.layers.clients import HttpxTransport

    limits = httpx.Limits(max_keepalive_connections=None if keep else 0)
    stack = Stack((Socks5Layer(f"127.0.0.1:{proxy_port}"),), TcpConnector())
    theirs = httpx.AsyncHTTPTransport(verify=False, limits=limits, proxy=f"socks5://127.0.0.1:{proxy_port}")
    transports = {"ziggurat": HttpxTransport(stack, verify=False, limits=limits), "httpx": theirs}

    def block(client: httpx.AsyncClient) -> Block:
        async def requests() -> float:
            for _ in range(count):
                response = await client.get(url)
                assert response.status_code == 200
            return count

        return requests

    async with (
        httpx.AsyncClient(transport=transports["ziggurat"]) as ours,
        httpx.AsyncClient(transport=transports["httpx"]) as other,
    ):
        yield {"ziggurat": block(ours), "httpx": block(other)}


async def http_clients(scale: Scale) -> list[Row]:
    """CPU time of a request through SOCKS5: on a fresh connection, and on one that is kept."""
    rows: list[Row] = []
    count = scale.units(25, 2)
    async with server("http") as target, proxy() as port:
        url = f"http://127.0.0.1:{target}/"
        for keep, what in ((False, "a fresh connection"), (True, "a kept connection")):
            async with sides(port, url, count, keep=keep) as blocks:
                samples = await compare(blocks, scale.pairs(50), between=lambda: asyncio.sleep(0.01))
            title = f"CPU per request of httpx on {what}, through {proxy_name()}"
            rows.append(cpu_row("B19", title, samples, "httpx", MOST, unit="request"))
    return rows
