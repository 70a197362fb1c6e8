"""Compare clients of one server: paired blocks over several sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from certificates import certificates
from clients import Client, OpenClient, opened
from fast_server import fast_server
from measure import Block, Sample, Scale, compare
from processes import server
from report import Row, not_measured

__all__ = ["FAST", "SLOW", "Work", "compared", "server_kinds", "tls_files", "without_fast_server"]

SESSIONS = 5
"""Sessions, each on new connections: the layout of objects in memory can favour one side, and uploads have two speeds,
at one of which a connection may stay."""

FAST, SLOW = "grpc-go", "grpcio"
"""The fast server, whose rows have limits, and the one beside it."""

Work: TypeAlias = Callable[[Client], Awaitable[float]]
"""Does some work with a client, and returns its number of units."""


def server_kinds(scale: Scale) -> tuple[str, ...]:
    """Return the servers to measure against; with ``--quick`` one of them."""
    if fast_server(build=not scale.quick) is None:
        return (SLOW,)
    return (FAST,) if scale.quick else (FAST, SLOW)


def without_fast_server(benchmark: str, scale: Scale) -> list[Row]:
    """Return a row that says that the fast server is missing, if it is."""
    if FAST in server_kinds(scale):
        return []
    return [not_measured(benchmark, f"with a {FAST} server", "Go is needed to build it")]


async def compared(
    kind: str,
    sides: dict[str, OpenClient],
    works: Mapping[str, tuple[Work, int]],
    scale: Scale,
    *,
    tls: tuple[str, str] | None = None,
) -> dict[str, dict[str, list[Sample]]]:
    """Run each work with all sides, so many rounds, and return the samples by work and side.

    Args:
        kind: the server.
        sides: how to connect each.
        works: the works, and how many rounds each usually takes.
        scale: changes that.
        tls: the files of the server's certificate and of its authority; ``None`` for clear text.
    """
    found: dict[str, dict[str, list[Sample]]] = {work: {side: [] for side in sides} for work in works}
    certificate, authority = tls or (None, None)
    async with server(kind, certificate=certificate) as port:
        for session in range(1 if scale.quick else SESSIONS):
            async with opened(port, sides, authority) as clients:
                for name, (work, usual) in works.items():
                    rounds = scale.pairs(usual)
                    mine = rounds // SESSIONS + (session < rounds % SESSIONS) if not scale.quick else rounds
                    blocks: dict[str, Block] = {side: partial(work, client) for side, client in clients.items()}
                    if mine:
                        for side, more in (await compare(blocks, mine)).items():
                            found[name][side] += more
            await asyncio.sleep(0)
    return found


@asynccontextmanager
async def tls_files() -> AsyncIterator[tuple[str, str] | None]:
    """Yield the files of a server's certificate and of its authority; ``None`` without trustme."""
    with TemporaryDirectory() as folder:
        certificate, authority = certificates(Path(folder))
        yield None if certificate is None or authority is None else (certificate, authority)
