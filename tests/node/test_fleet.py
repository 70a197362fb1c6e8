"""A fleet: twenty complete nodes in one process, each on its own host in memory, in virtual time.

Each is built from settings, knows only the name of one seeder, and advertises its private address (`--externalip`).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, TaskGroup

from tests.node.nodes import PORT, at
from ziggurat.layers.testing import Socks5Server, stream_pair
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.networks import Network
from ziggurat.node.config.proxy import parse_socks5_proxy
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.testing import MemoryHost, MemoryNetwork
from ziggurat.services import Connector, ConnectRefused, Uri, dial

pytestmark = [pytest.mark.slow, pytest.mark.asyncio_only]

SEED = "seed.example"
NETWORK = Network("kaspa-devnet", PORT, seeders=(SEED,), private=True)
SIZE = 20
OUTBOUND = 5
MINUTE = 60.0


class Member:
    """One node of the fleet, which can ``die`` and ``start`` again.

    Args:
        fleet: the fleet that it belongs to.
        number: its number; 0 is the seed.
    """

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.ip = f"10.0.{number // 8}.{number + 1}"
        self.number = number
        self.lives = 0
        self.alive = False
        self.fleet = fleet
        self.service: P2pService
        self.book: AddressManager
        self._host: MemoryHost
        self._stop = anyio.Event()

    async def start(self, tasks: TaskGroup) -> None:
        """Start the node as a new process, with an empty address book and new random numbers."""
        self.lives += 1
        self._host = self.fleet.network.host(self.ip)
        self._stop = anyio.Event()
        rng = random.Random(f"{self.ip}, life {self.lives}")
        self.book = AddressManager(rng=rng)
        self.service = P2pService(
            Settings(
                appdir=Path("/unused"),
                network=NETWORK,
                outpeers=OUTBOUND,
                listen=(at(self.ip),),
                externalip=at(self.ip),
                proxy=self.fleet.proxy,
            ),
            self.book,
            handler=self.fleet.handler(self._host),
            listener=self._host.listener(PORT),
            rng=rng,
        )
        await tasks.start(self._run)

    async def _run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with self.service, anyio.create_task_group() as tasks:
            self.alive = True
            task_status.started()
            tasks.start_soon(self.service.run)
            await self._stop.wait()
            tasks.cancel_scope.cancel()

    def die(self) -> None:
        """Stop as in a power cut: every connection breaks without a close, and the host is unreachable."""
        self.alive = False
        self._host.die()
        self._stop.set()

    @property
    def id(self) -> bytes:
        return self.service.adaptor.identity.id

    @property
    def outbound(self) -> set[str]:
        """The IPs of its outbound peers."""
        return self._peers("outbound")

    @property
    def peers(self) -> set[str]:
        return self._peers("outbound") | self._peers("inbound")

    def _peers(self, direction: str) -> set[str]:
        found = (peer.address for peer in self.service.adaptor.peers() if peer.direction == direction)
        return {address.name if hasattr(address, "name") else str(address.ip) for address in found}


class Fleet:
    """Twenty nodes and, if they use one, their proxy.

    Attributes:
        network: the network that connects them.
        members: the nodes; the first is the seed.
    """

    def __init__(self, *, proxied: bool) -> None:
        self.network = MemoryNetwork()
        self.proxy = parse_socks5_proxy("10.9.9.9:9050") if proxied else None
        self.lookups: list[str] = []
        self.direct: list[str] = []
        self.members = [Member(self, number) for number in range(SIZE)]
        self.network.names[SEED] = self.members[0].ip
        self._exits = [self.network.host(f"10.200.0.{number}") for number in range(1, 200)]
        self._rng = random.Random(1)
        self._server = Socks5Server(connector=self._dial_from_exit)
        self._tasks: TaskGroup

    def handler(self, host: MemoryHost) -> ConnectionHandler:
        """Return the connection handler of a host."""
        if self.proxy is None:
            return ConnectionHandler(leaf=host, resolver=self._resolve)
        return ConnectionHandler(proxy_layer(self.proxy.uri), leaf=self._leaf(), resolver=self._record_lookup)

    def _leaf(self) -> Connector:
        """Return a connector that reaches the proxy only, and records other dials."""

        async def reach(uri: Uri) -> ByteStream:
            with dial(uri) as current:
                if (uri.host, uri.port) != ("10.9.9.9", 9050):
                    self.direct.append(str(uri))
                    raise ConnectRefused(f"{uri} is not the proxy")
                near, far = stream_pair()
                self._tasks.start_soon(self._server.handle, far)
                return current.established(near)

        return reach

    async def _dial_from_exit(self, uri: Uri) -> ByteStream:
        """Dial from one of many exits, as Tor does."""
        return await self._rng.choice(self._exits)(uri)

    async def _resolve(self, name: str) -> list[str]:
        self.lookups.append(name)
        return [self.network.names[name]]

    async def _record_lookup(self, name: str) -> list[str]:
        self.direct.append(name)
        return []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TaskGroup]:
        """Run the started members until the end of the block."""
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            async with anyio.create_task_group() as tasks:
                yield tasks
                for member in self.members:
                    if member.alive:
                        member.alive = False
                        member._stop.set()
            self._tasks.cancel_scope.cancel()
        assert not self.network.listening

    @property
    def living(self) -> list[Member]:
        return [member for member in self.members if member.alive]

    async def until(self, what: Callable[[], bool], *, minutes: float) -> float:
        """Wait until ``what`` returns true, and return how many seconds that took."""
        started = anyio.current_time()
        while not what():
            assert anyio.current_time() - started < minutes * MINUTE, self.describe()
            await anyio.sleep(1)
        return anyio.current_time() - started

    def supplied(self) -> bool:
        """Return whether each node has all its outbound peers, alive, or is connected to every other node.

        The latter applies to the seed, which all others have dialled, and now and then to another node that many have
        dialled: a second connection to a peer is refused. Half of the pairs being linked is enough for it, and it is
        not for most: if all nodes had too few outbound peers, there would not be enough links.
        """
        alive = {member.ip for member in self.living} | {SEED}
        ids = {member.id for member in self.living}
        waiting = [member for member in self.living if len(member.outbound & alive) < OUTBOUND]
        return all(ids - {member.id} <= {peer.id for peer in member.service.adaptor.peers()} for member in waiting)

    def connected(self) -> bool:
        """Return whether the connections between living nodes link all of them."""
        by_ip = {member.ip: member for member in self.living}
        first = self.living[0]
        reached, todo = {first.ip}, [first]
        while todo:
            member = todo.pop()
            neighbours = {other.ip for other in by_ip.values() if member.ip in other.outbound} | member.outbound
            for ip in (neighbours & by_ip.keys()) - reached:
                reached.add(ip)
                todo.append(by_ip[ip])
        return len(reached) == len(by_ip)

    def describe(self) -> str:
        """Return who has dialled whom, one line per node."""
        lines = [
            f"{member.ip:>9} knows {len(member.book):2}, dialled {', '.join(sorted(member.outbound)) or 'none'}"
            if member.alive
            else f"{member.ip:>9} is dead"
            for member in self.members
        ]
        return "\n".join(["", *lines])


@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
async def test_twenty_nodes_find_each_other_from_one_seed_and_recover_when_a_third_dies(proxied: bool) -> None:
    fleet = Fleet(proxied=proxied)
    async with fleet.running() as tasks:
        for member in fleet.members:
            await member.start(tasks)

        await fleet.until(fleet.supplied, minutes=10)
        assert fleet.connected(), fleet.describe()
        assert all(len(member.book) >= SIZE // 2 for member in fleet.members), fleet.describe()

        dead = random.Random(20).sample(fleet.members[1:], SIZE // 3)
        for member in dead:
            member.die()
        await anyio.sleep(1)
        assert not any({member.ip for member in dead} & member.peers for member in fleet.living), fleet.describe()

        await fleet.until(fleet.supplied, minutes=10)
        assert fleet.connected(), fleet.describe()

        for member in dead:
            await member.start(tasks)
        await fleet.until(fleet.supplied, minutes=10)
        assert fleet.connected(), fleet.describe()

    if proxied:
        assert fleet.direct == []
    else:
        assert set(fleet.lookups) == {SEED}
