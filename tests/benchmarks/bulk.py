"""B3 and B4: downloads and uploads of 1 MiB messages."""

from __future__ import annotations

import ssl
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import memory
from clients import Client, GrpclibClient, OpenClient, grpcio, handed_over, opened, plain
from measure import Block, Sample, Scale, compare
from processes import server
from report import Row, cpu_row

__all__ = ["download", "upload"]

SESSIONS = 5
"""Sessions, each on new connections: uploads have two speeds, and a connection may stay at one of them."""


async def download(scale: Scale) -> list[Row]:
    """B3: server streaming from a grpcio server, against grpcio's client and plain grpclib."""
    sides: dict[str, OpenClient] = {"ziggurat": handed_over, "grpclib": plain, "grpcio.aio": grpcio}
    samples = await _measure("grpcio", sides, _download, scale, 100)
    what = "CPU per MiB, download of 1 MiB messages"
    return [
        cpu_row("B3", what, samples, "grpcio.aio", 1.1, unit="MiB"),
        cpu_row("B3", what, samples, "grpclib", 0.35, unit="MiB"),
        *await _download_over_tls(scale),
    ]


async def _download_over_tls(scale: Scale) -> list[Row]:
    with TemporaryDirectory() as folder:
        certificate, authority = memory.certificates(Path(folder))
        if certificate is None:
            print("B3 over TLS needs trustme: skipped", file=sys.stderr)
            return []
        context = ssl.create_default_context(cafile=authority)
        context.set_alpn_protocols(["h2"])
        sides: dict[str, OpenClient] = {side: partial(_open_tls, side, context) for side in ("ziggurat", "grpclib")}
        samples = await _measure("grpclib", sides, _download, scale, 50, certificate=certificate)
    return [cpu_row("B3", "the same over TLS, from a grpclib server", samples, "grpclib", 1.0, unit="MiB")]


async def _open_tls(side: str, context: ssl.SSLContext, port: int, stack: AsyncExitStack) -> Client:
    return GrpclibClient(await memory.SIDES[side](port, context)(stack))


async def upload(scale: Scale) -> list[Row]:
    """B4: client streaming, against plain grpclib, to both servers."""
    rows: list[Row] = []
    for kind in ("grpcio", "grpclib"):
        samples = await _measure(kind, {"ziggurat": handed_over, "grpclib": plain}, _upload, scale, 100)
        what = f"CPU per MiB, upload of 1 MiB messages, {kind} server"
        rows.append(cpu_row("B4", what, samples, "grpclib", 1.0, unit="MiB"))
    return rows


async def _measure(
    kind: str,
    sides: dict[str, OpenClient],
    transfer: object,
    scale: Scale,
    usual: int,
    *,
    certificate: str | None = None,
) -> dict[str, list[Sample]]:
    rounds = scale.pairs(usual)
    sessions = min(SESSIONS, rounds)
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    async with server(kind, certificate=certificate) as port:
        for _ in range(sessions):
            async with opened(port, sides) as clients:
                blocks: dict[str, Block] = {
                    side: partial(transfer, client, scale.units(16, 2)) for side, client in clients.items()
                }
                for side, more in (await compare(blocks, rounds // sessions)).items():
                    samples[side] += more
    return samples


async def _download(client: Client, count: int) -> float:
    await client.download(count)
    return count


async def _upload(client: Client, count: int) -> float:
    await client.upload(count)
    return count
