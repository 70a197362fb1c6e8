"""B9: the memory of an idle stream, each on its own connection.

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
from tempfile import TemporaryDirectory
from typing import TypeAlias

from bench_service import IDLE, BytesValue
from clients import five_layers
from grpclib.client import Channel, StreamStreamMethod
from measure import Scale, estimate
from processes import server
from report import Must, Row

from ziggurat.layers.layer import Stack
from ziggurat.layers.tls import TlsLayer
from ziggurat.services.channel import Endpoint
from ziggurat.services.tcp import TcpConnector

__all__ = ["SIDES", "certificates", "memory"]

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
    tls = None
    if authority is not None:
        tls = ssl.create_default_context(cafile=authority)
        tls.set_alpn_protocols(["h2"])
    connect = SIDES[side](port, tls)
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
    """B9: 1000 streams in clear text, 400 with TLS."""
    if not HAS_STATM:
        print("B9 needs /proc: skipped", file=sys.stderr)
        return []
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        certificate, authority = certificates(Path(folder))
        for count, secure in ((scale.units(1000, 20), False), (scale.units(400, 20), True)):
            if secure and certificate is None:
                print("B9 over TLS needs trustme: skipped", file=sys.stderr)
                continue
            async with server("grpclib", certificate=certificate if secure else None) as port:
                extra = ["--authority", str(authority)] if secure else []
                sizes: dict[str, list[float]] = {side: [] for side in SIDES}
                for _ in range(1 if scale.quick else scale.rounds or 3):
                    for side in SIDES:
                        sizes[side].append(await _in_a_process(side, port, count, extra))
            rows.append(_row(sizes, count, secure))
    return rows


def _row(sizes: dict[str, list[float]], count: int, secure: bool) -> Row:
    pairs = zip(sizes["ziggurat"], sizes["grpclib"], strict=True)
    shown = [f"{estimate(sizes[side]).median / 1024:.1f} KiB" for side in ("ziggurat", "grpclib")]
    what = f"resident memory per idle stream, {count} of them{', TLS' if secure else ''}"
    against = "grpclib with asyncio's TLS" if secure else "grpclib"
    return Row("B9", what, against, *shown, estimate([a / b for a, b in pairs]), Must(0.25 if secure else 1.03))


async def _in_a_process(side: str, port: int, count: int, extra: list[str]) -> float:
    command = [sys.executable, __file__, side, str(port), str(count), *extra]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the memory benchmark of {side} failed")
    return float(output)


def certificates(folder: Path) -> tuple[str | None, str | None]:
    """Return the paths of a server's certificate with its key, and of its authority; ``None`` without trustme."""
    try:
        import trustme
    except ImportError:
        return None, None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return str(folder / "server.pem"), str(folder / "authority.pem")


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
