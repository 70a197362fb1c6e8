"""P1 and P2: the client's cost of a unary call, in clear text and over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from clients import Client, OpenClient, grpcio, handed_over, listened_to, plain, pumped
from comparison import FAST, Work, compared, server_kinds, tls_files, without_fast_server
from measure import Sample, Scale
from processes import server
from raw_echo import open_raw_echo
from report import Row, cpu_row, not_measured

__all__ = ["AT_ONCE", "CONCURRENT", "SEQUENTIAL", "over_tls", "unary", "works"]

AT_ONCE = 50

SEQUENTIAL, WITH_METADATA, CONCURRENT = (
    "one after the other",
    "with timeout and metadata",
    f"{AT_ONCE} at once",
)

FLOOR = "a raw echo of as many bytes"

LIMITS = {
    "grpclib": {SEQUENTIAL: 0.28, WITH_METADATA: 0.35, CONCURRENT: 0.10},
    "grpcio.aio": {SEQUENTIAL: 0.45, WITH_METADATA: 0.55, CONCURRENT: 0.35},
}
TLS_LIMITS = {"grpclib": {SEQUENTIAL: 0.40, WITH_METADATA: 0.45, CONCURRENT: 0.20}}


async def unary(scale: Scale) -> list[Row]:
    """P1: five layers in the stack; also with a listener of events, and through the pump."""
    sides: dict[str, OpenClient] = {
        "ziggurat": handed_over,
        "with a listener": listened_to,
        "pumped": pumped,
        "grpclib": plain,
        "grpcio.aio": grpcio,
    }
    rows = without_fast_server("P1", scale)
    async with server("echo") as echo:
        sides[FLOOR] = partial(open_raw_echo, echo)
        for kind in server_kinds(scale):
            found = await compared(kind, sides, works(scale), scale)
            rows += _rows("P1", "CPU per unary call", kind, found, LIMITS)
            for side, against in (("with a listener", "grpclib"), ("pumped", "grpclib"), ("ziggurat", FLOOR)):
                what = f"CPU per unary call, {SEQUENTIAL}{'' if side == 'ziggurat' else ', ' + side}, {kind}"
                rows.append(cpu_row("P1", what, found[SEQUENTIAL], against, None, ours=side))
            what = f"CPU per unary call, {SEQUENTIAL}, the floor itself, {kind}"
            rows.append(cpu_row("P1", what, found[SEQUENTIAL], "grpcio.aio", None, ours=FLOOR))
    return rows


async def over_tls(scale: Scale) -> list[Row]:
    """P2: the same over TLS."""
    sides: dict[str, OpenClient] = {"ziggurat": handed_over, "grpclib": plain, "grpcio.aio": grpcio}
    rows = without_fast_server("P2", scale)
    async with tls_files() as tls:
        if tls is None:
            return [not_measured("P2", "CPU per unary call over TLS", "trustme is not installed")]
        for kind in server_kinds(scale):
            found = await compared(kind, sides, works(scale), scale, tls=tls)
            rows += _rows("P2", "CPU per unary call over TLS", kind, found, TLS_LIMITS)
    return rows


def _rows(
    benchmark: str,
    what: str,
    kind: str,
    found: dict[str, dict[str, list[Sample]]],
    limits: dict[str, dict[str, float]],
) -> list[Row]:
    rows: list[Row] = []
    for against in ("grpclib", "grpcio.aio"):
        for how, samples in found.items():
            limit = limits.get(against, {}).get(how) if kind == FAST else None
            rows.append(cpu_row(benchmark, f"{what}, {how}, {kind}", samples, against, limit))
    return rows


def works(scale: Scale) -> dict[str, tuple[Work, int]]:
    """Return what a client does, and how many rounds that usually takes."""
    calls, batches = scale.units(100, 5), scale.units(4, 1)
    return {
        SEQUENTIAL: (partial(_sequential, lambda client: client.unary, calls), 60),
        WITH_METADATA: (partial(_sequential, lambda client: client.unary_with_metadata, calls), 40),
        CONCURRENT: (partial(_at_once, batches), 60),
    }


async def _sequential(method: Callable[[Client], Callable[[], Awaitable[None]]], count: int, client: Client) -> float:
    call = method(client)
    for _ in range(count):
        await call()
    return count


async def _at_once(batches: int, client: Client) -> float:
    # 50 tasks, each of which makes its calls one after the other, so that 50 are under way all the time.
    await asyncio.gather(*(_sequential(lambda client: client.unary, batches, client) for _ in range(AT_ONCE)))
    return AT_ONCE * batches
