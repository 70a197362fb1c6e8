"""Cancelled dials and closes, and peers that come and go, leave no stream, task, reservation or object behind.

Each dial and close is cancelled after every possible number of event-loop steps.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream

from tests.node.nodes import NETWORK, at
from ziggurat.layers.testing import MemoryStream, Socks5Server, stream_pair
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.testing import MemoryNetwork
from ziggurat.services import ConnectError, Uri
from ziggurat.services.dial import dial

pytestmark = pytest.mark.asyncio_only

A, B, PROXY = "10.0.0.1", "10.0.0.2", "10.9.9.9"


class Pair:
    """A node that dials, directly or through a proxy, and one that listens."""

    def __init__(self, proxied: bool) -> None:
        self.network = MemoryNetwork()
        self.streams: list[MemoryStream] = []
        self.proxies: set[asyncio.Task[None]] = set()
        self.server = Socks5Server(connector=self.network.host(PROXY))
        layer = proxy_layer(f"{PROXY}:9050") if proxied else None
        leaf = self._to_proxy if proxied else self._to_peer
        self.here = Adaptor(ConnectionHandler(layer, leaf), NodeIdentity(NETWORK))
        listener = self.network.host(B).listener(16611)
        self.there = Adaptor(ConnectionHandler(leaf=self.network.host(B)), NodeIdentity(NETWORK), listener=listener)

    async def _to_peer(self, uri: Uri) -> ByteStream:
        stream = await self.network.host(A)(uri)
        assert isinstance(stream, MemoryStream)
        self.streams.append(stream)
        return stream

    async def _to_proxy(self, uri: Uri) -> ByteStream:
        with dial(uri) as current:
            near, far = stream_pair()
            self.streams.append(near)
            task = asyncio.create_task(self.server.handle(far))
            self.proxies.add(task)
            task.add_done_callback(self.proxies.discard)
            return current.established(near)

    async def check_clean(self) -> None:
        """Check that neither end holds anything of a closed connection."""
        await anyio.sleep(10)  # virtual time, longer than any limit of a close
        assert [stream for stream in self.streams if not stream.closed] == []
        assert self.here.peers() == self.there.peers() == []
        assert self.here._routers == self.there._routers == set()
        assert self.here._handshakes == self.there._handshakes == set()
        assert self.there._server is not None
        assert (self.there._server.counter.open, self.there._server.counter.pending) == (0, 0)
        assert not self.proxies
        self.streams.clear()


@asynccontextmanager
async def pair(proxied: bool) -> AsyncIterator[Pair]:
    made = Pair(proxied)
    async with made.here, made.there:
        yield made


@pytest.fixture(params=[False, True], ids=["directly", "through a proxy"])
def proxied(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def cut_off(work: Callable[[], Awaitable[object]], steps: int) -> bool:
    """Cancel ``work`` after this many steps of the event loop; return whether it had finished before."""
    task = asyncio.ensure_future(work())
    for _ in range(steps):
        if task.done():
            break
        await asyncio.sleep(0)
    was_done = task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        error = task.exception()
        assert error is None or isinstance(error, ConnectError), error
    return was_done


async def test_a_dial_cancelled_at_any_step_leaves_nothing(proxied: bool) -> None:
    async with pair(proxied) as nodes:
        before = asyncio.all_tasks()
        for steps in itertools.count():
            finished = await cut_off(lambda: nodes.here.connect_peer(at(B)), steps)
            await anyio.sleep(1)
            await nodes.here.terminate_all("the next one")
            await nodes.check_clean()
            assert asyncio.all_tasks() == before, steps
            if finished:
                break
        assert steps > 20


@pytest.mark.parametrize("end", ["we", "they", "both"])
async def test_a_close_cancelled_at_any_step_leaves_nothing(end: str, proxied: bool) -> None:
    async with pair(proxied) as nodes:
        before = asyncio.all_tasks()
        for steps in range(40):
            await nodes.here.connect_peer(at(B))
            await anyio.sleep(1)
            closing = {"we": [nodes.here], "they": [nodes.there], "both": [nodes.here, nodes.there]}[end]
            for node in closing:
                await cut_off(lambda node=node: node.terminate_all("enough"), steps)  # type: ignore[misc]
            await nodes.here.terminate_all("cancelled before it began")
            await nodes.check_clean()
            assert asyncio.all_tasks() == before, steps


async def test_peers_that_come_and_go_leave_no_objects(proxied: bool) -> None:
    async def rounds(count: int) -> None:
        for _ in range(count):
            await nodes.here.connect_peer(at(B))
            await anyio.sleep(1)
            await nodes.there.terminate_all("next")
            await nodes.check_clean()
        nodes.server.requests.clear()  # kept by the fakes
        nodes.network.dials.clear()
        gc.collect()

    def objects() -> Counter[str]:
        mine = ("ziggurat.", "grpclib.", "h2.", "asyncio.")
        kinds = (type(thing) for thing in gc.get_objects())
        return Counter(
            f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if str(kind.__module__).startswith(mine)
        )

    async with pair(proxied) as nodes:
        await rounds(5)
        before = objects()
        await rounds(60)
        # A leak of one object in every other round is 30.
        grown = {name: count for name, count in (objects() - before).items() if count >= 30}
        assert grown == {}
