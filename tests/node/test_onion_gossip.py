"""Whole nodes that can only be found by their onion services, behind a scripted proxy that knows those.

Nothing but the proxy is dialled. Which of them a peer is told of, and what its own part in that is.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, TaskGroup

from ziggurat.layers.testing import ScriptedProxy, stream_pair
from ziggurat.layers.testing.socks5_server import relay
from ziggurat.node.address import AddressNetwork, NetAddress, OnionNetAddress
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.network_proxy import parse_network_proxy
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.proxy import parse_socks5_proxy
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.node.testing.network import MemoryHost
from ziggurat.services import OnionAddress, Uri, dial

pytestmark = pytest.mark.asyncio_only

PROXY = "10.9.9.9:9050"
TOR = parse_socks5_proxy(PROXY)
PORT = DEVNET.port
PRIVATE = Settings(
    appdir=Path("/unused"),
    network=DEVNET,
    proxy=TOR,
    tor_control=Uri("tcp", "127.0.0.1", 9051),
    listen_onion=True,
    outpeers=4,
)
CLEAR = parse_network_proxy("ipv4=direct")


def onion(number: int) -> OnionNetAddress:
    return OnionNetAddress(OnionAddress(bytes([number]) * 32), PORT)


class World:
    """Hosts in memory, and a proxy that leads to the onion services of those that have one."""

    def __init__(self, tasks: TaskGroup) -> None:
        self.network = MemoryNetwork()
        self.dialled: list[str] = []
        self.asked: list[str] = []
        self._tor = self.network.host("10.9.9.9")
        self._services: dict[str, NetAddress] = {}
        self._tasks = tasks

    def serve(self, name: OnionNetAddress, target: NetAddress) -> None:
        """Lead those who dial an onion service to its node."""
        self._services[name.host] = target

    def leaf(self, host: MemoryHost) -> object:
        """Return a connector of a host that reaches the proxy, and what is in the clear."""

        async def reach(uri: Uri) -> ByteStream:
            self.dialled.append(uri.authority)
            if uri.authority != PROXY:
                return await host(uri)
            with dial(uri) as current:
                near, far = stream_pair()
                proxy = ScriptedProxy(target=lambda client: self._tunnel(client, proxy))
                self._tasks.start_soon(proxy.handle, far)
                return current.established(near)

        return reach

    async def _tunnel(self, client: ByteStream, proxy: ScriptedProxy) -> None:
        request = proxy.sessions[0].request
        assert request is not None
        assert request.port == PORT
        self.asked.append(request.host)
        async with await self._tor(Uri("tcp", *_split(self._services[request.host]))) as target:
            await relay(client, target)


def _split(address: NetAddress) -> tuple[str, int]:
    return str(address.ip), address.port


class Node:
    """A node with an onion service, which takes ``published`` seconds to be found."""

    def __init__(self, world: World, number: int, settings: Settings = PRIVATE, *, published: float = 0.0) -> None:
        self.onion = onion(number)
        host = world.network.host(f"10.0.0.{number}")
        self.clear = NetAddress.parse(f"10.0.0.{number}:{PORT}")
        world.serve(self.onion, NetAddress(self.clear.ip, PORT + 1))
        self.book = AddressManager(rng=random.Random(number))

        async def wait_published() -> OnionNetAddress:
            await anyio.sleep(max(0.0, published - anyio.current_time()))
            return self.onion

        self.service = P2pService(
            settings,
            self.book,
            handler=ConnectionHandler(settings.ways, world.leaf(host)),  # type: ignore[arg-type]
            listener=host.listener(PORT),
            onion_listener=host.listener(PORT + 1),
            onion_published=wait_published if settings.listen_onion else None,
            rng=random.Random(number),
        )
        if settings.listen_onion:
            self.service.onion = self.onion

    @property
    def dialled(self) -> set[str]:
        """The hosts of its outbound peers."""
        return {peer.address.host for peer in self.service.adaptor.peers() if peer.direction == "outbound"}

    @property
    def connected(self) -> set[bytes]:
        return {peer.id for peer in self.service.adaptor.peers()}

    @property
    def id(self) -> bytes:
        return self.service.adaptor.identity.of_network(AddressNetwork.ONION).id


@asynccontextmanager
async def running(
    *numbers: int, settings: dict[int, Settings] | None = None
) -> AsyncIterator[tuple[World, list[Node]]]:
    async with anyio.create_task_group() as proxies, AsyncExitStack() as stack:
        world = World(proxies)
        nodes = [Node(world, number, (settings or {}).get(number, PRIVATE)) for number in numbers]
        for node in nodes:
            await stack.enter_async_context(node.service)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for node in nodes:
            tasks.start_soon(node.service.run)
        yield world, nodes
        tasks.cancel_scope.cancel()
        proxies.cancel_scope.cancel()


def asks(seed: int, settings: Settings = PRIVATE) -> Settings:
    return replace(settings, addpeer=(onion(seed),))


async def test_two_nodes_find_each_other_by_onion_only_from_one_seed() -> None:
    settings = {1: replace(PRIVATE, outpeers=0), 2: asks(1)}
    async with running(1, 2, settings=settings) as (world, (seed, one)):
        await anyio.sleep(10)
        assert one.connected == {seed.id}
        later = Node(world, 3, asks(1))  # each asks the seed once, when it connects
        async with later.service, anyio.create_task_group() as tasks:
            tasks.start_soon(later.service.run)
            await anyio.sleep(5)  # it does not wait for the next look at how many peers are missing

            assert later.dialled == {seed.onion.host, one.onion.host}
            assert one.connected == {seed.id, later.id}
            for node in (seed, one, later):
                assert {peer.address_network for peer in node.service.adaptor.peers()} == {AddressNetwork.ONION}
                assert node.onion not in node.book  # which its peers have told it of
            tasks.cancel_scope.cancel()
    assert set(world.dialled) == {PROXY}


async def test_nodes_that_know_each_other_by_onion_have_one_connection_and_dial_no_other() -> None:
    """Each knows the other's name, and who came in shows no name: the ids tell."""
    async with running(1, 2) as (world, (one, two)):
        one.book.add([two.onion])
        two.book.add([one.onion])
        one.service.manager.look()
        two.service.manager.look()
        await anyio.sleep(200)

        assert [len(node.service.adaptor.peers()) for node in (one, two)] == [1, 1]
        assert one.connected == {two.id}
        assert {one.book.failures(two.onion), two.book.failures(one.onion)} <= {0, 1}  # it is nobody's failure
        assert len(world.asked) <= 3  # the one that was dialled dials back once, to find that out
    assert set(world.dialled) == {PROXY}


async def test_a_node_whose_onion_is_published_late_is_known_to_its_first_peers_all_the_same() -> None:
    async with anyio.create_task_group() as proxies:
        world = World(proxies)
        seed = Node(world, 1, replace(PRIVATE, outpeers=0))
        late = Node(world, 2, asks(1), published=anyio.current_time() + 40)
        async with seed.service, late.service, anyio.create_task_group() as tasks:
            tasks.start_soon(late.service.run)
            await anyio.sleep(30)
            assert late.connected == {seed.id}
            assert late.onion not in seed.book
            await anyio.sleep(15)
            assert late.onion in seed.book
            tasks.cancel_scope.cancel()
        proxies.cancel_scope.cancel()


@pytest.mark.parametrize("public", [False, True])
async def test_a_face_in_the_clear_is_told_of_our_onion_service_only_if_it_is_public(public: bool) -> None:
    """The peer can dial onion services, too, and says so."""
    both = replace(PRIVATE, proxy_net=(CLEAR,), onion_public=public, listen=(NetAddress.parse(f"10.0.0.1:{PORT}"),))
    address = NetAddress.parse(f"10.0.0.1:{PORT}")
    peer = replace(PRIVATE, proxy_net=(CLEAR,), listen_onion=False, addpeer=(address,), outpeers=0)
    async with running(1, 2, 3, settings={1: both, 2: peer, 3: asks(1)}) as (_, (node, in_the_clear, by_onion)):
        await anyio.sleep(20)

        assert [info.onions for info in in_the_clear.service.adaptor.peers()] == [True]
        assert (node.onion in in_the_clear.book) is public
        assert by_onion.onion in node.book
        # It is told what others told in its own network.
        assert by_onion.onion not in in_the_clear.book


async def test_kaspad_is_told_of_no_onion_service_and_stays() -> None:
    """It closes the connection on one, and does not set the bit."""
    async with anyio.create_task_group() as proxies:
        world = World(proxies)
        direct = replace(PRIVATE, proxy_net=(CLEAR,), onion_public=True, outpeers=0)
        address = NetAddress.parse(f"10.0.0.7:{PORT}")
        node = Node(world, 1, replace(direct, addpeer=(address,)))
        other = NetAddress.parse("10.1.1.1:1")
        node.book.add([onion(9), other], AddressNetwork.IPV4)
        kaspad = KaspaPeer()
        async with (
            kaspad.run(),
            kaspad.listen(world.network.host("10.0.0.7").listener(PORT)),
            node.service,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(node.service.run)
            await anyio.sleep(300)
            (session,) = kaspad.sessions
            assert session.version is not None
            assert session.version.services == 1 << 23
            assert session.reason is None
            assert other in kaspad.addresses
            assert [peer.onions for peer in node.service.adaptor.peers()] == [False]
            tasks.cancel_scope.cancel()
        proxies.cancel_scope.cancel()


async def test_a_node_that_cannot_dial_onion_services_says_so_and_is_told_of_none() -> None:
    """Its peer can, and knows one that was told at an IP address."""
    able = replace(PRIVATE, proxy_net=(CLEAR,), onion_public=True, listen=(NetAddress.parse(f"10.0.0.1:{PORT}"),))
    unable = replace(Settings(appdir=Path("/unused"), network=DEVNET), addpeer=(NetAddress.parse(f"10.0.0.1:{PORT}"),))
    async with running(1, 2, settings={1: able, 2: unable}) as (world, (node, plain)):
        await anyio.sleep(5)

        assert [info.services for info in node.service.adaptor.peers()] == [0]
        assert [info.onions for info in plain.service.adaptor.peers()] == [False]
        assert len(plain.book) == 0
        assert world.asked == []


async def test_our_onion_service_is_not_told_in_the_clear_even_if_the_answer_of_the_day_has_it() -> None:
    """Peers told it before Tor did, so that it was not known as ours."""
    listen = (NetAddress.parse(f"10.0.0.1:{PORT}"),)
    node = replace(PRIVATE, proxy_net=(CLEAR,), listen=listen, outpeers=0)
    peer = replace(PRIVATE, proxy_net=(CLEAR,), listen_onion=False, addpeer=listen, outpeers=0)
    async with running(1, settings={1: node}) as (world, (ours,)):
        ours.service.onion = None
        ours.book.add([ours.onion, onion(9)], AddressNetwork.IPV4)
        told = list[bool]()
        for number, known in ((2, None), (3, ours.onion)):
            ours.service.onion = known
            asking = Node(world, number, peer)
            async with asking.service, anyio.create_task_group() as tasks:
                tasks.start_soon(asking.service.run)
                await anyio.sleep(5)
                assert onion(9) in asking.book
                told.append(ours.onion in asking.book)
                tasks.cancel_scope.cancel()

    assert told == [True, False]
