"""B5 and B7: many concurrent dials through a SOCKS5 proxy.

Both sides end with something usable: ours with the stream, python-socks with the transport that
``create_connection(sock=)`` makes of its socket.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from measure import Sample, Scale, compare, ratios, typical
from processes import proxy, proxy_name, server
from report import Must, Row, cpu_row, number

from ziggurat.layers.layer import Stack
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = ["SETTLED", "Burst", "Close", "Dial", "connect", "python_socks", "storm"]

Close: TypeAlias = Callable[[], Awaitable[None]]
Dial: TypeAlias = Callable[[], Awaitable[Close]]

OPEN_FILES = Path("/proc/self/fd")
SETTLED = 0.05
"""Seconds after a burst for proxy and target to notice the closed connections."""


def ziggurat(proxy_port: int, target_port: int) -> Dial:
    """Our stack: `Socks5Layer` over `TcpConnector`."""
    connector = Stack((Socks5Layer(f"127.0.0.1:{proxy_port}"),), TcpConnector())
    target = Uri("tcp", "127.0.0.1", target_port)

    async def dial() -> Close:
        return (await connector(target)).aclose

    return dial


def python_socks(proxy_port: int, target_port: int, *, scheme: str = "socks5", host: str = "127.0.0.1") -> Dial:
    """python-socks, with its socket passed to the event loop."""
    from python_socks.async_.asyncio import Proxy

    url = f"{scheme}://127.0.0.1:{proxy_port}"

    async def dial() -> Close:
        sock = await Proxy.from_url(url).connect(host, target_port)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)

        async def close() -> None:
            transport.close()

        return close

    return dial


class Burst:
    """A block of ``count`` concurrent dials. Their connections stay open until `clear`, which is not measured."""

    def __init__(self, dial: Dial, count: int) -> None:
        self._dial, self._count = dial, count
        self._opened: list[Close] = []
        self.errors: list[BaseException] = []

    async def __call__(self) -> float:
        for answer in await asyncio.gather(*(self._dial() for _ in range(self._count)), return_exceptions=True):
            if isinstance(answer, BaseException):
                self.errors.append(answer)
            else:
                self._opened.append(answer)
        return self._count

    async def clear(self) -> None:
        opened, self._opened = self._opened, []
        await asyncio.gather(*(close() for close in opened))


@asynccontextmanager
async def bursts(count: int) -> AsyncIterator[dict[str, Burst]]:
    """Set up both sides, with a proxy and a target in separate processes."""
    async with server("accept") as target, proxy() as port:
        yield {
            "ziggurat": Burst(ziggurat(port, target), count),
            "python-socks": Burst(python_socks(port, target), count),
        }


async def measure(sides: dict[str, Burst], rounds: int) -> dict[str, list[Sample]]:
    async def clear() -> None:
        for burst in sides.values():
            await burst.clear()
        await asyncio.sleep(SETTLED)

    return await compare(sides, rounds, between=clear)


async def connect(scale: Scale) -> list[Row]:
    """B5: CPU time of a dial, 100 at once."""
    async with bursts(scale.units(100, 5)) as sides:
        samples = await measure(sides, scale.pairs(100))
    for burst in sides.values():
        if burst.errors:
            raise burst.errors[0]
    what = f"CPU per dial through {proxy_name()}, 100 at once"
    return [cpu_row("B5", what, samples, "python-socks", 0.95, unit="dial")]


async def storm(scale: Scale) -> list[Row]:
    """B7: 1000 dials at once: seconds, errors, and files left open."""
    count = scale.units(1000, 20)
    async with bursts(count) as sides:
        await measure(sides, 1)  # the loop and its threads also open files
        before = open_files()
        samples = await measure(sides, scale.pairs(25))
        left = open_files() - before
    ours, theirs = samples["ziggurat"], samples["python-socks"]
    shown = [f"{typical(side, 'wall') * count:.2f} s" for side in (ours, theirs)]
    what = f"{count} dials at once through {proxy_name()}"
    errors = [len(sides[side].errors) for side in ("ziggurat", "python-socks")]
    return [
        Row("B7", f"{what}, seconds", "python-socks", *shown, ratios(ours, theirs, "wall"), Must(1.1)),
        Row("B7", f"{what}, errors", "", str(errors[0]), str(errors[1]), number(errors[0]), Must(0, "=")),
        Row("B7", "left open afterwards, files", "", str(left), "", number(left), Must(0, "=")),
    ]


def open_files() -> int:
    """Return the number of open file descriptors; 0 if the system does not list them."""
    return len(os.listdir(OPEN_FILES)) if OPEN_FILES.exists() else 0
