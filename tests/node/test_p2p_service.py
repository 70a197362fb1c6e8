"""Nodes built from their settings, on the in-memory network."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import AddressNetwork, IpAddress, NetAddress, NodeAddress, OnionNetAddress, PeerAddress
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.network_proxy import parse_network_proxy
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.proxy import Proxy, parse_socks5_proxy
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.flows import FlowContext
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.ip_network import parse_network
from ziggurat.node.outbound.seeding import Seeders
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.peer.info import PROXIED, PeerInfo
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.node.testing.network import MemoryHost
from ziggurat.services import Uri
from ziggurat.services.onion import OnionAddress

pytestmark = pytest.mark.asyncio_only

SETTINGS = Settings(appdir=Path("/unused"), network=DEVNET)
PEER = NetAddress(IPv4Address("10.0.0.1"), 16611)


class Node:
    def __init__(self, network: MemoryNetwork, ip: str, settings: Settings = SETTINGS) -> None:
        host = network.host(ip)
        self.book = AddressManager(rng=random.Random(ip))
        handler = ConnectionHandler(leaf=host)
        self.service = P2pService(
            settings, self.book, handler=handler, listener=host.listener(16611), rng=random.Random(ip)
        )

    @property
    def peers(self) -> list[PeerAddress]:
        return [peer.address for peer in self.service.adaptor.peers()]


async def test_a_permanent_peer_is_dialled_at_once_and_again_after_it_was_lost() -> None:
    network = MemoryNetwork()
    kaspad = KaspaPeer()
    node = Node(network, "10.0.0.2", replace(SETTINGS, addpeer=(PEER,), outpeers=0))
    async with kaspad.run(), node.service, anyio.create_task_group() as tasks:
        async with kaspad.listen(network.host("10.0.0.1").listener(16611)):
            tasks.start_soon(node.service.run)
            await anyio.sleep(5)
            assert node.peers == [PEER]
        await anyio.sleep(5)
        assert node.peers == []
        async with kaspad.listen(network.host("10.0.0.1").listener(16611)):
            await anyio.sleep(130)
            assert node.peers == [PEER]
        tasks.cancel_scope.cancel()


async def test_nodes_find_each_other_by_gossip() -> None:
    network = MemoryNetwork()
    nodes = [Node(network, "10.0.0.1", replace(SETTINGS, outpeers=0))]
    for n in range(2, 5):
        nodes.append(Node(network, f"10.0.0.{n}", replace(SETTINGS, outpeers=2)))
        nodes[-1].book.add([PEER])
        nodes[0].book.add([NetAddress(IPv4Address(f"10.0.0.{n}"), 16611)])
    async with AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node.service)
            assert node.service.listening != ()
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for node in nodes:
            tasks.start_soon(node.service.run)
        await anyio.sleep(120)

        for node in nodes[1:]:
            assert node.service.manager.status().outbound == 2
        assert nodes[0].service.manager.status().inbound == 3
        tasks.cancel_scope.cancel()


async def test_without_inbound_peers_it_only_dials() -> None:
    node = Node(MemoryNetwork(), "10.0.0.1", replace(SETTINGS, maxinpeers=0))
    async with node.service:
        assert node.service.listening == ()


async def test_with_a_proxy_it_only_dials_and_advertises_no_address() -> None:
    proxied = replace(SETTINGS, proxy=parse_socks5_proxy("socks5://u:p@127.0.0.1"))
    service = P2pService(proxied, AddressManager())
    async with service:
        assert service.listening == ()
    assert service.adaptor.identity.address is None
    assert "UserPass('u'" in repr(service.adaptor.connection_handler.stack())


async def test_without_a_proxy_a_routable_interface_address_is_advertised() -> None:
    def interfaces() -> list[IpAddress]:
        return [IPv4Address("10.0.0.1"), IPv4Address("8.8.4.4")]

    open_node = P2pService(SETTINGS, AddressManager(), interfaces=interfaces)
    assert str(open_node.advertised) == f"8.8.4.4:{SETTINGS.network.port}"
    named = replace(SETTINGS, externalip=NetAddress.parse("9.9.9.9:7"))
    assert str(P2pService(named, AddressManager(), interfaces=interfaces).advertised) == "9.9.9.9:7"


async def test_our_own_address_from_a_peer_is_not_stored() -> None:
    ours, other = NetAddress.parse("9.9.9.9:16611"), NetAddress.parse("9.9.9.10:16611")
    service = P2pService(replace(SETTINGS, externalip=ours), book := AddressManager())
    await service.adaptor._context.part(AddressNetwork.IPV4).learn([ours, other])
    assert list(book.sample()) == [other]


async def test_an_interface_address_that_changes_is_told_to_later_peers_and_not_stored() -> None:
    machine = [IPv4Address("8.8.4.4")]
    service = P2pService(
        replace(SETTINGS, outpeers=0),
        book := AddressManager(),
        listener=MemoryNetwork().host("0.0.0.0").listener(16611),
        interfaces=lambda: list(machine),
    )
    with capture_logs() as logs:
        async with service, anyio.create_task_group() as tasks:
            tasks.start_soon(service.run)
            await anyio.sleep(130)
            machine[:] = [IPv4Address("8.8.8.8")]
            await anyio.sleep(60)
            tasks.cancel_scope.cancel()

    ours, before = NetAddress.parse("8.8.8.8:16611"), NetAddress.parse("8.8.4.4:16611")
    assert service.adaptor.identity.version().address == ours
    changes = [line for line in logs if line["event"] == "advertised.changed"]
    assert [(line["advertised"], line["previous"]) for line in changes] == [(str(ours), str(before))]
    await service.adaptor._context.part(AddressNetwork.IPV4).learn([ours, before])
    assert list(book.sample()) == [before]


@pytest.mark.real_io
async def test_an_externalip_without_a_port_has_the_free_port_that_the_listener_took() -> None:
    settings = replace(
        SETTINGS, listen=(NetAddress.parse("127.0.0.1:0"),), externalip=NetAddress.parse("9.9.9.9:0"), outpeers=0
    )
    async with P2pService(settings, AddressManager()) as service:
        (listening,) = service.listening
        assert service.advertised == NetAddress.parse("9.9.9.9", listening.port)


async def test_banned_addresses_from_peers_are_neither_stored_nor_passed_on() -> None:
    before, banned, other = (NetAddress.parse(f"192.0.2.{n}:16611") for n in (1, 2, 9))
    service = P2pService(replace(SETTINGS, ban=(parse_network("192.0.2.0/29"),)), book := AddressManager())
    book.add([before])
    await service.adaptor._context.part(AddressNetwork.IPV4).learn([banned, other])
    assert banned not in book
    assert list(await service.adaptor._context.part(AddressNetwork.IPV4).sample(10)) == [other]


def seeder_says(*ips: str) -> Callable[[str], Awaitable[list[str]]]:
    async def resolve(name: str) -> list[str]:
        await anyio.lowlevel.checkpoint()
        return list(ips)

    return resolve


async def test_banned_addresses_are_dialled_neither_from_the_book_nor_from_seeders_nor_again() -> None:
    network = MemoryNetwork()
    hosts = [network.host(f"10.0.0.{n}") for n in (2, 3, 4)]
    node = Node(network, "10.0.0.1", replace(SETTINGS, ban=(parse_network("10.0.0.2"),)))
    node.service.manager._seeders = Seeders(["seeder.example"], 16611, seeder_says("10.0.0.5"), random.Random(1))
    node.book.add([NetAddress(IPv4Address(host.ip), 16611) for host in hosts])
    async with node.service, AsyncExitStack() as stack:
        for host in hosts:
            kaspad = KaspaPeer()
            await stack.enter_async_context(kaspad.run())
            await stack.enter_async_context(kaspad.listen(host.listener(16611)))
        await node.service.bans.ban("10.0.0.5")
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(node.service.run)
        await anyio.sleep(60)
        assert {uri.host for uri in network.dials} == {"10.0.0.3", "10.0.0.4"}
        assert len(node.peers) == 2
        network.dials.clear()
        await node.service.bans.ban("10.0.0.3")
        await anyio.sleep(120)
        assert "10.0.0.3" not in {uri.host for uri in network.dials}
        assert [str(address) for address in node.peers] == ["10.0.0.4:16611"]
        await node.service.bans.unban("10.0.0.3")
        await anyio.sleep(120)
        assert len(node.peers) == 2
        tasks.cancel_scope.cancel()


async def test_the_peers_that_the_operator_names_stay_connected_inside_a_banned_network() -> None:
    network = MemoryNetwork()
    kaspad = KaspaPeer()
    node = Node(network, "10.0.0.2", replace(SETTINGS, addpeer=(PEER,), outpeers=0, ban=(parse_network("10.0.0.0/8"),)))
    async with kaspad.run(), node.service, anyio.create_task_group() as tasks:
        async with kaspad.listen(network.host("10.0.0.1").listener(16611)):
            tasks.start_soon(node.service.run)
            await anyio.sleep(5)
            await node.service.bans.ban("0.0.0.0/0")
            await node.service.bans.ban("agent:*kaspad*")
            assert node.peers == [PEER]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("listen", [(), (NetAddress.parse("0.0.0.0:16111"),)])
async def test_with_a_proxy_the_interfaces_are_not_read(listen: tuple[NetAddress, ...]) -> None:
    looked: list[bool] = []
    proxied = replace(SETTINGS, proxy=parse_socks5_proxy("127.0.0.1"), listen=listen)
    service = P2pService(proxied, AddressManager(), interfaces=lambda: looked.append(True) or [])
    assert service.advertised is None
    # Nor if only the handler has a proxy.
    by_hand = ConnectionHandler(proxy_layer("127.0.0.1"))
    P2pService(SETTINGS, AddressManager(), handler=by_hand, interfaces=lambda: looked.append(True) or [])
    assert looked == []


async def test_with_a_proxy_and_no_credentials_each_dial_is_isolated_if_the_proxy_supports_it() -> None:
    service = P2pService(replace(SETTINGS, proxy=parse_socks5_proxy("127.0.0.1")), AddressManager())

    assert "Isolated(key=None, required=False)" in repr(service.adaptor.connection_handler.stack())


async def test_the_user_agent_names_ziggurat_and_has_the_comments() -> None:
    service = P2pService(replace(SETTINGS, uacomment=("one", "two")), AddressManager())

    assert service.adaptor.identity.user_agent.startswith("/ziggurat:")
    assert "(one; two)" in service.adaptor.identity.user_agent


async def test_connect_dials_only_these_peers() -> None:
    network = MemoryNetwork()
    node = Node(network, "10.0.0.2", replace(SETTINGS, connect=(PEER,)))
    node.book.add([NetAddress(IPv4Address("10.0.0.9"), 16611)])
    async with node.service, anyio.create_task_group() as tasks:
        tasks.start_soon(node.service.run)
        await anyio.sleep(100)
        assert node.service.listening == ()
        tasks.cancel_scope.cancel()

    assert {uri.host for uri in network.dials} == {"10.0.0.1"}


async def connected(settings: Settings, ips: list[str]) -> list[PeerInfo]:
    """Start a node, let kaspads dial it from these addresses at the same time, and return its peers."""
    network = MemoryNetwork()
    node = Node(network, "10.0.0.1", settings)
    kaspads = [(KaspaPeer(), network.host(ip)) for ip in ips]

    async def dial(kaspad: KaspaPeer, host: MemoryHost) -> None:
        with suppress(OSError):
            await kaspad.dial(PEER, host)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(node.service)
        for kaspad, _ in kaspads:
            await stack.enter_async_context(kaspad.run())
        async with anyio.create_task_group() as tasks:
            for kaspad, host in kaspads:
                tasks.start_soon(dial, kaspad, host)
        await anyio.sleep(5)
        return node.service.adaptor.peers()


@pytest.mark.parametrize(
    ("changed", "host", "via"),
    [
        ({"maxinpeersperaddr": 20}, "172.17.0.1", None),
        ({"inbound_proxy": (parse_network("172.17.0.0/16"),)}, PROXIED, PROXIED),
    ],
)
async def test_twenty_peers_behind_one_gateway_connect_where_the_settings_say_so(
    changed: dict[str, Any], host: str, via: str | None
) -> None:
    peers = await connected(replace(SETTINGS, **changed), ["172.17.0.1"] * 20)

    assert len(peers) == 20
    assert {(peer.key.host, peer.via) for peer in peers} == {(host, via)}


async def test_peers_from_elsewhere_are_still_limited_and_keep_their_addresses_beside_an_inbound_proxy() -> None:
    settings = replace(SETTINGS, inbound_proxy=(parse_network("172.17.0.1"),), maxinpeersperaddr=1)
    peers = await connected(settings, ["172.17.0.1", "172.17.0.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"])

    assert sorted(peer.key.host for peer in peers) == ["192.0.2.1", "192.0.2.2", PROXIED, PROXIED]


async def test_eight_peers_from_one_address_connect_by_default() -> None:
    one_by_one = Node(network := MemoryNetwork(), "10.0.0.1")
    async with one_by_one.service, AsyncExitStack() as stack:
        for _ in range(10):
            kaspad = KaspaPeer()
            await stack.enter_async_context(kaspad.run())
            with suppress(OSError):
                await kaspad.dial(PEER, network.host("172.17.0.1"))
            await anyio.sleep(1)
        assert len(one_by_one.peers) == 8


async def test_loopback_cannot_be_banned_where_an_onion_service_comes_from_there() -> None:
    onion_service = replace(
        SETTINGS, proxy=parse_socks5_proxy("127.0.0.1"), listen=(NetAddress.parse("127.0.0.1:16611"),)
    )
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 is an inbound proxy"):
        await P2pService(onion_service, AddressManager()).bans.ban("127.0.0.1")
    await P2pService(SETTINGS, AddressManager()).bans.ban("127.0.0.1")


# --- networks ---------------------------------------------------------------------------------------------------------

ONION = OnionNetAddress(OnionAddress(bytes(32)), 16111)


class Told:
    """A peer's address book, which only remembers what it was told."""

    def __init__(self) -> None:
        self.addresses: list[NodeAddress] = []

    async def sample(self, count: int) -> Sequence[NodeAddress]:
        return ()

    async def learn(self, addresses: Sequence[NodeAddress]) -> None:
        self.addresses += addresses


async def test_peers_of_each_network_see_another_id_and_are_told_what_that_network_told() -> None:
    network = MemoryNetwork()
    four, six = NetAddress.parse("10.0.0.1:16611"), NetAddress.parse("[2001:db8::1]:16611")
    from_four, from_six = NetAddress.parse("10.1.1.1:1"), NetAddress.parse("10.2.2.2:1")
    node = Node(network, "10.0.0.9", replace(SETTINGS, addpeer=(four, six), outpeers=0))
    node.book.add([from_four], AddressNetwork.IPV4)
    node.book.add([from_six, ONION], AddressNetwork.IPV6)
    told = {peer: Told() for peer in (four, six)}
    seen: dict[NetAddress, bytes] = {}
    async with AsyncExitStack() as stack:
        peers = {
            peer: await stack.enter_async_context(
                Adaptor(
                    ConnectionHandler(leaf=network.host(peer.host)),
                    NodeIdentity(DEVNET.name),
                    listener=network.host(peer.host).listener(16611),
                    context=FlowContext(book),
                )
            )
            for peer, book in told.items()
        }
        await stack.enter_async_context(node.service)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(node.service.run)
        await anyio.sleep(5)
        for peer, adaptor in peers.items():
            [(seen[peer])] = [info.id for info in adaptor.peers()]
        networks = {str(peer.address): str(peer.address_network) for peer in node.service.adaptor.peers()}
        tasks.cancel_scope.cancel()

    identity = node.service.adaptor.identity
    assert seen == {four: identity.id, six: identity.of_network(AddressNetwork.IPV6).id}
    assert seen[four] != seen[six]
    assert [told[four].addresses, told[six].addresses] == [[from_four], [from_six]]  # an onion is for those who ask
    assert networks == {str(four): "ipv4", str(six): "ipv6"}


async def test_our_own_addresses_of_every_network_are_neither_kept_nor_dialled() -> None:
    """Another node dialled its own onion service, counted that as failures, and forgot it."""
    network = MemoryNetwork()
    own, other = NetAddress.parse("9.9.9.9:16611"), NetAddress.parse("10.0.0.1:16611")
    node = Node(network, "10.0.0.2", replace(SETTINGS, externalip=own, addpeer=(own,), nodnsseed=True))
    node.service.onion = ONION
    node.book.add([own, ONION, replace(ONION, port=5), other])  # as a file of an earlier version may have them
    part = node.service.adaptor._context.part(AddressNetwork.ONION)
    with capture_logs() as logs:
        async with node.service, anyio.create_task_group() as tasks:
            tasks.start_soon(node.service.run)
            await anyio.sleep(120)
            tasks.cancel_scope.cancel()
        await part.learn([own, ONION, replace(ONION, port=1)])

    assert {uri.host for uri in network.dials} == {"10.0.0.1"}
    # Only what was there.
    assert set(node.book.sample(told_by=AddressNetwork.ONION)) == {ONION, replace(ONION, port=5)}
    assert {line["reason"] for line in logs if line["event"] == "settings.ineffective"} == {
        f"the peer {own} is this node itself"
    }


async def test_the_network_that_is_left_out_is_not_dialled_but_a_peer_that_is_named_is() -> None:
    network = MemoryNetwork()
    four, six, named = (NetAddress.parse(text) for text in ("10.0.0.1:1", "[2600::1]:1", "10.0.0.7:1"))
    settings = replace(SETTINGS, onlynet=(AddressNetwork.IPV6,), addpeer=(named,), nodnsseed=True)
    host = network.host("10.0.0.2")
    book = AddressManager(rng=random.Random(1))
    handler = ConnectionHandler(settings.ways, host)
    service = P2pService(settings, book, handler=handler, listener=host.listener(16611), rng=random.Random(1))
    book.add([four, six, ONION])
    async with service, anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        await anyio.sleep(120)
        tasks.cancel_scope.cancel()

    assert {uri.host for uri in network.dials} == {"2600::1", "10.0.0.7"}


def test_peers_from_an_inbound_proxy_are_of_onion_behind_a_proxy_and_else_of_its_family() -> None:
    listen = (NetAddress.parse("127.0.0.1:1"),)
    tor = P2pService(replace(SETTINGS, proxy=parse_socks5_proxy("127.0.0.1"), listen=listen), AddressManager())
    gateway = P2pService(replace(SETTINGS, inbound_proxy=(parse_network("10.0.0.1"),)), AddressManager())

    assert tor.adaptor._server is not None
    assert tor.adaptor._server.proxied_network is AddressNetwork.ONION
    assert gateway.adaptor._server is not None
    assert gateway.adaptor._server.proxied_network is None


CONTROL = Uri("tcp", "127.0.0.1", 9051)


async def test_what_goes_through_tor_waits_for_it_and_nothing_is_dialled_another_way() -> None:
    network, ready = MemoryNetwork(), anyio.Event()
    network.names["seed"] = "10.0.0.1"
    settings = replace(SETTINGS, addpeer=(PEER,), outpeers=1, tor_control=CONTROL)
    handler = ConnectionHandler(settings.ways, network.host("10.0.0.2"))
    service = P2pService(settings, AddressManager(), handler=handler, tor_ready=ready.wait)
    async with service, anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        await anyio.sleep(600)
        assert network.dials == []
        proxy = Proxy(Uri("socks5", "10.0.0.9", 9050))
        handler.ways = settings.ways.with_tor(proxy)
        ready.set()
        await anyio.sleep(5)
        assert [dialled.authority for dialled in network.dials][:1] == ["10.0.0.9:9050"]
        tasks.cancel_scope.cancel()

    assert {dialled.authority for dialled in network.dials} == {"10.0.0.9:9050"}


async def test_what_the_user_wants_to_be_direct_does_not_wait_for_tor() -> None:
    network = MemoryNetwork()
    settings = replace(SETTINGS, addpeer=(PEER,), tor_control=CONTROL, proxy_net=(parse_network_proxy("ipv4=direct"),))
    handler = ConnectionHandler(settings.ways, network.host("10.0.0.2"))
    service = P2pService(settings, AddressManager(), handler=handler, tor_ready=anyio.Event().wait)
    async with service, anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()

    assert str(PEER) in {dialled.authority for dialled in network.dials}


async def test_an_onion_service_has_a_listener_of_its_own_and_needs_no_other() -> None:
    network = MemoryNetwork()
    host = network.host("10.0.0.2")
    settings = replace(SETTINGS, tor_control=CONTROL, listen_onion=True, outpeers=0)
    listener = host.listener(16612)
    handler = ConnectionHandler(settings.ways, host)
    service = P2pService(settings, AddressManager(), handler=handler, onion_listener=listener)
    caller = Node(network, "10.0.0.3")
    async with service, caller.service:
        assert (service.listening, service.advertised) == ((), None)
        assert service.onion_target == "10.0.0.2:16612"
        await caller.service.adaptor.connect_peer(NetAddress(IPv4Address("10.0.0.2"), 16612))
        await anyio.sleep(0.1)

        assert [peer.via for peer in service.adaptor.peers()] == ["onion"]


async def test_the_onion_target_may_be_a_unix_socket() -> None:
    settings = replace(SETTINGS, tor_control=CONTROL, listen_onion=True, onion_bind=Path("/run/p2p"))
    service = P2pService(settings, AddressManager(), handler=ConnectionHandler(leaf=MemoryNetwork().host("10.0.0.2")))

    assert service.onion_target == "unix:/run/p2p"
