"""P4: downloads and uploads of 1 MiB messages, in clear text and over TLS.

The benchmark's process has glibc's heap trimming pinned (`PINNED_HEAP`): else the client that happens to have its
buffers at the heap's end gives them back after each message, and takes 130 to 250 page faults for the next.
"""

from __future__ import annotations

from functools import partial

from clients import Client, OpenClient, grpcio, handed_over, plain
from comparison import FAST, Work, compared, server_kinds, tls_files, without_fast_server
from measure import Scale
from processes import server
from raw_transfer import open_raw_transfer
from report import Row, cpu_row, not_measured

__all__ = ["PINNED_HEAP", "bulk"]

PINNED_HEAP = {"MALLOC_TRIM_THRESHOLD_": str(1 << 29), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
"""Environment of the benchmark's process: the heap does not shrink, and what is up to 32 MiB comes from it."""

LIMITS = {"down": 0.7, "up": 1.1}

FLOOR = "a raw transfer of as many bytes"

SIDES: dict[str, OpenClient] = {"ziggurat": handed_over, "grpclib": plain, "grpcio.aio": grpcio}


async def bulk(scale: Scale) -> list[Row]:
    """P4: against grpcio's client and plain grpclib."""
    rows = without_fast_server("P4", scale)
    for kind in server_kinds(scale):
        rows += await _rows(kind, "in clear text", scale, None)
    async with tls_files() as tls:
        if tls is None:
            return [*rows, not_measured("P4", "CPU per MiB over TLS", "trustme is not installed")]
        for kind in server_kinds(scale):
            rows += await _rows(kind, "over TLS", scale, tls)
    return rows


async def _rows(kind: str, how: str, scale: Scale, tls: tuple[str, str] | None) -> list[Row]:
    count = scale.units(16, 2)
    works: dict[str, tuple[Work, int]] = {"down": (partial(_down, count), 30), "up": (partial(_up, count), 30)}
    rows: list[Row] = []
    async with server("raw transfer", certificate=None if tls is None else tls[0]) as raw:
        sides = {**SIDES, FLOOR: partial(open_raw_transfer, raw)}
        found = await compared(kind, sides, works, scale, tls=tls)
    for direction, samples in found.items():
        for against in ("grpcio.aio", "grpclib"):
            limit = LIMITS[direction] if (kind, against) == (FAST, "grpcio.aio") else None
            what = f"CPU per MiB {direction}, messages of 1 MiB, {how}, {kind}"
            rows.append(cpu_row("P4", what, samples, against, limit, unit="MiB"))
        what = f"CPU per MiB {direction}, {how}, the floor itself, {kind}"
        rows.append(cpu_row("P4", what, samples, "grpcio.aio", None, ours=FLOOR, unit="MiB"))
    return rows


async def _down(count: int, client: Client) -> float:
    await client.download(count)
    return count


async def _up(count: int, client: Client) -> float:
    await client.upload(count)
    return count
