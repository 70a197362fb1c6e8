"""Onion services in gossip: nodes that meet by onion only on a private Tor network, and a real kaspad that stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from tests.interop.kaspad import Program, kaspad_program, starting
from tests.interop.tor_network import TorNetwork, TorProcess
from tests.node.running import RunningNode, running
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext, NoAddressBook, OnionGossip
from ziggurat.node.handshake import NodeIdentity
from ziggurat.node.peer import PeerDisconnected, Router
from ziggurat.node.wire import KaspadMessage, addresses_to_wire

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

IP = NetAddress.parse("192.0.2.1:16611")
ONION = OnionNetAddress.parse("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16611")


def flags(folder: Path, tor: TorProcess) -> Sequence[object]:
    """Return the flags of a node with an onion service, and with a Tor of its own."""
    control = f"unix:{tor.folder}/control"
    return ("-b", folder, "--tor-control", control, "--listen-onion", "--onion-bind=127.0.0.1:0", "--nologfiles")


async def name_of(node: RunningNode) -> str:
    return str((await node.wait_for("onion.published"))["onion"])


async def test_two_nodes_meet_by_onion_only_from_one_seed_and_kaspad_stays(
    tor: TorNetwork, new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """The seed is at kaspad's side, too, and tells there of its onion service whoever can dial it."""
    kaspad_program()
    with ExitStack() as stack:
        lines = "SocksPort {address}:9050 ExtendedErrors\n"
        tors = [stack.enter_context(tor.another(f"gossip{number}", lines)) for number in range(3)]
        kaspad = stack.enter_context(starting(new_folder))
        beside = ("--proxy-net=ipv4=direct", "--onion-public", f"--addpeer={kaspad.address}", "--outpeers=1")
        async with running(*flags(tmp_path / "seed", tors[0]), *beside) as seed:
            at_kaspad = await seed.wait_for("peer.connected", peer=str(kaspad.address))
            by_onion = ("--tor-only", "--addpeer", await name_of(seed))
            async with running(*flags(tmp_path / "one", tors[1]), *by_onion) as one:
                first = await name_of(one)
                await seed.wait_for("addresses.stored", total=1)
                async with running(*flags(tmp_path / "two", tors[2]), *by_onion) as two:
                    met = await two.wait_for("peer.connected", peer=first)
                    await one.wait_for("peer.connected", direction="inbound", via="onion")
                    assert await two.stop() == 0
                assert await one.stop() == 0
            lost = [each["peer"] for each in seed.events if each["event"] == "peer.disconnected"]
            assert await seed.stop() == 0
        assert kaspad.warnings() == []

    assert (met["network"], met["direction"]) == ("onion", "outbound")
    assert at_kaspad["network"] == "ipv4"
    assert at_kaspad["peer"] not in lost
    for node in (one, two):
        assert {each["network"] for each in node.events if each["event"] == "peer.connected"} == {"onion"}
    assert [node.other for node in (seed, one, two)] == [[], [], []]


class Book(NoAddressBook):
    """It knows an IP address and an onion service."""

    async def sample(self, count: int) -> Sequence[NodeAddress]:
        return [IP, ONION]


class TellsAll:
    """A flow that tells a peer of onion services that has not said that it knows them."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe("requestAddresses")

    async def run(self) -> None:
        async for request in self._route:
            await self._router.answer(request, KaspadMessage(addresses=addresses_to_wire([IP, ONION])))


@pytest.fixture(scope="module")
def kaspad(new_folder: Callable[[str], Path]) -> Iterator[Program]:
    with starting(new_folder) as program:
        yield program


async def until_pinged(adaptor: Adaptor) -> None:
    """Wait until the peer has answered pings after it has had our addresses."""
    with anyio.fail_after(20):
        while not all(peer.ping is not None for peer in adaptor.peers()):  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_kaspad_stays_with_a_node_that_knows_onion_services(kaspad: Program) -> None:
    context = FlowContext(Book(), ping_interval=0.3, onions=OnionGossip(lambda: True))
    async with Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), context=context) as node:
        info = await node.connect_peer(kaspad.address)
        await until_pinged(node)

        assert [peer.address for peer in node.peers()] == [kaspad.address]
    assert (info.services, info.onions) == (0, False)
    assert kaspad.warnings() == []


async def test_kaspad_leaves_a_node_that_tells_it_of_one(kaspad: Program) -> None:
    """Check the method of the last test, and the reason for all of it."""
    context = FlowContext(ping_interval=0.3)
    async with Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), context=context, flows=[TellsAll]) as node:
        with node.subscribe_events() as events, anyio.fail_after(20):
            await node.connect_peer(kaspad.address)
            async for event in events:
                if isinstance(event, PeerDisconnected):
                    break

    assert isinstance(event, PeerDisconnected)
    assert "IP has illegal length 0" in event.reason
