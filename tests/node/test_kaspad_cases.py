"""The cases of `kaspad_cases` against the embedded peer, on a network in memory and in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import structlog
from anyio.abc import ByteStream, TaskGroup

from tests.node.kaspad_cases import CASES, SLOW, Case, Kaspad, World
from tests.node.nodes import PORT, at
from ziggurat.layers.testing import Socks5Server, stream_pair
from ziggurat.node.address import NetAddress
from ziggurat.node.config.proxy import parse_socks5_proxy
from ziggurat.node.inbound.listener import Listener
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.services import ConnectError, Connector, ConnectRefused, Uri, dial

pytestmark = pytest.mark.asyncio_only

PROXY = "10.9.9.9:9050"
REDIAL = 30.0
"""Seconds between kaspad's ticks, in which it redials lost peers."""

SILENT = ("route error", "network error", "incoming stream ended", "the peer is stopping")
"""Beginnings of the reasons that kaspad logs at debug level only."""


class EmbeddedKaspad(Kaspad):
    """A `KaspaPeer` on its own host."""

    def __init__(
        self, network: MemoryNetwork, address: NetAddress, addpeer: NetAddress | None, refused: str | None
    ) -> None:
        self.address = address
        self.peer: KaspaPeer
        self._network = network
        self._addpeer = addpeer
        self._refused = refused
        self._life = anyio.CancelScope()
        self._known: list[NetAddress] = []

    async def run(self, tasks: TaskGroup) -> None:
        await tasks.start(self._run)

    async def _run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        host = self._host = self._network.host(str(self.address.ip))
        # An onion service's Tor dials the node from loopback.
        onion_service = self._addpeer is not None and self._addpeer.ip.is_loopback
        self._dialler = self._network.host("127.0.0.1") if onion_service else host
        self.peer = KaspaPeer(refused_user_agent=self._refused, addresses=self._known)
        with anyio.CancelScope() as self._life:
            async with self.peer.run(), self.peer.listen(host.listener(PORT)):
                task_status.started()
                while self._addpeer is not None:
                    try:
                        session = await self.peer.dial(self._addpeer, self._dialler)
                        await session.closed.wait()
                    except ConnectError:
                        pass
                    await anyio.sleep(REDIAL)
                await anyio.sleep_forever()

    async def kill(self) -> None:
        self._known = self.peer.addresses  # in its database
        self._host.die()
        self._dialler.die()
        self._life.cancel()
        await anyio.sleep(5)

    async def revive(self) -> None:
        await self.run(self.tasks)

    tasks: TaskGroup

    async def ban(self, ip: str) -> None:
        self.peer.banned.add(ip)

    def complaints(self) -> list[str]:
        reasons = [session.reason for session in self.peer.sessions if session.reason is not None]
        return [reason for reason in reasons if not reason.startswith(SILENT)]


class MemoryWorld(World):
    """The node and the kaspads on one network, with a proxy on it when `proxied`."""

    late = 2.25  # headers and Version come in two pieces here, and are delayed one after the other

    def __init__(self, events: list[Any], tasks: TaskGroup, *, proxied: bool) -> None:
        super().__init__(events, parse_socks5_proxy(PROXY) if proxied else None)
        self.network = MemoryNetwork()
        self._tasks = tasks
        self._kaspads = 0
        # Inbound peers of a proxied node come through an onion service, and so from loopback.
        self._host = self.network.host("127.0.0.1" if proxied else "10.0.0.1")
        self._server = Socks5Server(connector=self.network.host("10.9.9.9"))
        self._dialled_directly: set[str] = set()

    @asynccontextmanager
    async def kaspad(
        self,
        *,
        addpeer: NetAddress | None = None,
        refused_user_agent: str | None = None,
        routable: bool = False,
        rpc: bool = False,
    ) -> AsyncIterator[Kaspad]:
        self._kaspads += 1
        kaspad = EmbeddedKaspad(self.network, at(f"10.0.1.{self._kaspads}"), addpeer, refused_user_agent)
        async with anyio.create_task_group() as kaspad.tasks:
            await kaspad.run(kaspad.tasks)
            yield kaspad
            kaspad.tasks.cancel_scope.cancel()

    def origin(self) -> str:
        return PROXY.partition(":")[0] if self.proxied else self._host.ip

    def address(self) -> NetAddress:
        return at(self._host.ip)

    def leaf(self) -> Connector:
        if not self.proxied:
            return self._host

        async def reach(uri: Uri) -> ByteStream:
            with dial(uri) as current:
                if f"{uri.host}:{uri.port}" != PROXY:
                    self._dialled_directly.add(uri.host)
                    raise ConnectRefused(f"{uri} is not the proxy")
                near, far = stream_pair()
                self._tasks.start_soon(self._server.handle, far)
                return current.established(near)

        return reach

    def listener(self, address: NetAddress) -> Listener | None:
        return self._host.listener(address.port)

    def dialled(self) -> set[str]:
        return self._dialled_directly


@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
@pytest.mark.parametrize("case", [*CASES.values(), *SLOW.values()], ids=[*CASES, *SLOW])
async def test_with_the_embedded_peer(case: Case, proxied: bool) -> None:
    with structlog.testing.capture_logs() as events:
        async with anyio.create_task_group() as tasks:
            await case(MemoryWorld(events, tasks, proxied=proxied))
            tasks.cancel_scope.cancel()
