"""B20: dials through a private Tor network on loopback, with the one of ``tests/interop``.

Tor decides about the times; what is compared is the same circuit with another library, and what isolation adds.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from dial import Burst, Close, Dial
from measure import Scale, compare, estimate, ratios, typical
from processes import ALL_CORES, server
from report import Must, Row, not_measured, number

from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.layer import Stack
from ziggurat.layers.socks5 import Socks5Layer, UserPass
from ziggurat.layers.tor import TorLayer
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import parse_peer_address
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.services.errors import ConnectError
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector
from ziggurat.services.stream import DialAttribute
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

if TYPE_CHECKING:
    from tests.interop.tor_network import TorNetwork

__all__ = ["private_tor"]

WHAT = "dials through a private Tor network"
KEY = secrets.token_hex(8)
"""What dials that share a circuit are isolated by."""

PAIRS = 400
"""Tor's part varies by milliseconds from dial to dial, which is more than all of ours."""

LIMIT = 16
"""How many onion dials run at once."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The far ends: a peer and a plain listener, by exit and by onion."""

    tor: TorNetwork
    peer: int
    peer_onion: str
    plain: int
    plain_onion: str


async def private_tor(scale: Scale) -> list[Row]:
    """B20: connect to ready by exit and by onion; beside python-socks; a burst of onion dials; what isolation costs."""
    if shutil.which("tor", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return [not_measured("B20", WHAT, "tor is not installed")]
    async with _targets() as targets:
        rows = [
            await _ready(scale, "an exit", targets.tor.proxy, f"127.0.0.1:{targets.peer}"),
            await _ready(scale, "onion", targets.tor.proxy, f"{targets.peer_onion}:{targets.peer}"),
            await _beside_python_socks(scale, "an exit", targets, "127.0.0.1"),
            await _beside_python_socks(scale, "onion", targets, targets.plain_onion),
        ]
        return [*rows, *await _burst(scale, targets), *await _isolation(scale, targets)]


@asynccontextmanager
async def _targets() -> AsyncIterator[Targets]:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.interop.tor_network import tor_network

    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ziggurat-tor-"))
        pinned = os.sched_getaffinity(0)
        os.sched_setaffinity(0, ALL_CORES)  # the relays inherit it
        tor = stack.enter_context(tor_network(Path(folder)))
        os.sched_setaffinity(0, pinned)
        peer, plain = [await stack.enter_async_context(server(kind)) for kind in ("kaspa", "accept")]
        onions = [await asyncio.to_thread(tor.host.add_onion, port, f"127.0.0.1:{port}") for port in (peer, plain)]
        yield Targets(tor, peer, onions[0], plain, onions[1])


async def _ready(scale: Scale, way: str, proxy: str, target: str) -> Row:
    handler, address = ConnectionHandler(proxy_layer(proxy)), parse_peer_address(target, 1)
    seconds: list[float] = []
    phases: dict[str, list[float]] = defaultdict(list)
    for _ in range(scale.pairs(20)):
        async with Adaptor(handler, NodeIdentity("kaspa-devnet")) as adaptor:
            start = time.perf_counter()
            await adaptor.connect_peer(address)
            seconds.append(time.perf_counter() - start)
            (router,) = adaptor.hub.routers()
            assert router.ledger is not None
            for phase in router.ledger.phases:
                phases[phase.name].append(phase.elapsed or 0.0)
    note = ", ".join(f"{name} {median(values) * 1000:.0f} ms" for name, values in phases.items())
    shown = f"{median(seconds) * 1000:.0f} ms"
    value = estimate([each * 1000 for each in seconds])
    return Row("B20", f"milliseconds to a ready peer by {way}, a circuit each", "", shown, "", value, note=note)


async def _beside_python_socks(scale: Scale, way: str, targets: Targets, host: str) -> Row:
    proxy, target = targets.tor.proxy, Uri("tcp", host, targets.plain)
    ours = Stack((Socks5Layer(proxy, auth=UserPass(KEY, host)),), TcpConnector())
    ledgers: list[Ledger] = []
    sides = {
        "ziggurat": Burst(_dial(ours, target, ledgers.append), 1),
        "python-socks": Burst(_python_socks(proxy, target), 1),
    }

    async def clear() -> None:
        for burst in sides.values():
            await burst.clear()

    samples = await compare(sides, scale.pairs(PAIRS), between=clear, warm=3)
    for burst in sides.values():
        if burst.errors:
            raise burst.errors[0]
    mine, other = samples["ziggurat"], samples["python-socks"]
    shown = [f"{typical(side, 'wall') * 1000:.1f} ms" for side in (mine, other)]
    by_tor = median(_elapsed(ledger, "proxy.connect") for ledger in ledgers)
    rest = median(ledger.elapsed - _elapsed(ledger, "proxy.connect") for ledger in ledgers)
    what, value = f"a tunnel by {way}, same circuit", ratios(mine, other, "wall")
    note = f"of ours, Tor opens it in {by_tor * 1000:.1f} ms, and all else takes {rest * 1000:.2f} ms"
    return Row("B20", what, "python-socks", *shown, value, Must(1.0), note)


def _elapsed(ledger: Ledger, name: str) -> float:
    return sum(phase.elapsed or 0.0 for phase in ledger.phases if phase.name == name)


async def _burst(scale: Scale, targets: Targets) -> list[Row]:
    count = scale.units(100, 4)
    layers = (ConcurrencyLimitLayer(LIMIT), TorLayer(targets.tor.proxy, isolate=lambda uri: KEY))
    burst = Burst(_dial(Stack(layers, TcpConnector()), Uri("tcp", targets.plain_onion, targets.plain)), count)
    start = time.perf_counter()
    await burst()
    seconds = time.perf_counter() - start
    await burst.clear()
    what = f"{count} onion dials at once, {LIMIT} at a time"
    failed = len([error for error in burst.errors if isinstance(error, ConnectError)])
    return [
        Row("B20", f"{what}, seconds", "", f"{seconds:.1f} s", "", number(seconds)),
        Row("B20", f"{what}, errors", "", str(failed), "", number(len(burst.errors)), Must(0, "=")),
    ]


async def _isolation(scale: Scale, targets: Targets) -> list[Row]:
    """Compare dials in turn, each with a circuit of its own, with dials that share one."""
    count, rows = scale.pairs(20), []
    target = Uri("tcp", "127.0.0.1", targets.plain)
    taken: dict[str, list[float]] = {"dial": [], "key": []}
    circuits: dict[str, int] = {}
    for name, layer in (
        ("key", TorLayer(targets.tor.proxy, isolate=lambda uri: KEY)),
        ("dial", TorLayer(targets.tor.proxy)),
    ):
        connector = layer.layer(TcpConnector())
        async with AsyncExitStack() as streams:
            for _ in range(count):
                start = time.perf_counter()
                await streams.enter_async_context(await connector(target))
                taken[name].append(time.perf_counter() - start)
            circuits[name] = len(await asyncio.to_thread(targets.tor.client.circuits, targets.plain))
    shown = [f"{median(taken[name]) * 1000:.0f} ms" for name in ("dial", "key")]
    value = estimate([own / median(taken["key"]) for own in taken["dial"]])
    rows.append(Row("B20", "a tunnel by an exit with a circuit of its own", "a shared one", *shown, value))
    used = [f"{circuits[name]} circuits" for name in ("dial", "key")]
    rows.append(Row("B20", f"circuits of {count} dials", "isolated by a key", *used, number(circuits["dial"])))
    return rows


def _dial(connector: Connector, target: Uri, take: Callable[[Ledger], object] | None = None) -> Dial:
    async def dial() -> Close:
        stream = await connector(target)
        if take is not None:
            take(stream.extra(DialAttribute.ledger))
        return stream.aclose

    return dial


def _python_socks(proxy: str, target: Uri) -> Dial:
    from python_socks.async_.asyncio import Proxy

    url = f"socks5://{KEY}:{target.host}@{proxy}"

    async def dial() -> Close:
        sock = await Proxy.from_url(url, rdns=True).connect(target.host, target.port)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)

        async def close() -> None:
            transport.close()

        return close

    return dial
