"""How a node and a kaspad interact: one suite of cases for the embedded peer and for a real kaspad.

The node is complete, built from its settings, from the P2P service down to the sockets. A case is an async function of
a `World`, which provides the kaspad and the network between the two.
"""

from __future__ import annotations

import dataclasses
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio

from ziggurat.layers.testing import DelayStream, fault_layer
from ziggurat.node.address import AddressNetwork, NetAddress
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.networks import DEVNET, SIMNET, Network
from ziggurat.node.config.proxy import Proxy
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.flows import FlowFactory
from ziggurat.node.inbound.listener import Listener
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.peer.info import PeerInfo
from ziggurat.node.peer.router import Router
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.services import Connector

__all__ = ["CASES", "SLOW", "Kaspad", "Node", "World"]

WAIT_TIMEOUT = 60.0
"""Default time limit of a wait, in seconds; a redial takes thirty."""

POLL_INTERVAL = 1 / 16
"""Seconds between polls; a power of two, so that sums are exact."""

PING_INTERVAL = 120.0
"""Seconds between pings, theirs and ours."""


class Kaspad(ABC):
    """A running kaspad.

    Attributes:
        address: the address that it listens on.
    """

    address: NetAddress

    @abstractmethod
    async def kill(self) -> None:
        """Kill it, as ``kill -9`` does."""

    @abstractmethod
    async def revive(self) -> None:
        """Restart it, at the same address."""

    @abstractmethod
    async def ban(self, ip: str) -> None:
        """Have it refuse this IP from now on. Needs ``rpc``."""

    @abstractmethod
    def complaints(self) -> list[str]:
        """Return the warnings and errors of its log."""


class Node:
    """A running node."""

    def __init__(self, service: P2pService, book: AddressManager) -> None:
        self.service = service
        self.book = book

    @property
    def peers(self) -> list[PeerInfo]:
        return self.service.adaptor.peers()

    def outbound(self) -> set[str]:
        return {str(peer.address) for peer in self.peers if peer.direction == "outbound"}


class World(ABC):
    """The environment of a case.

    Attributes:
        proxied: whether the node dials through a SOCKS5 proxy.
        events: the log events of all nodes, oldest first.
        late: a delay of received bytes, in seconds, that makes kaspad's limit of four seconds run out.
    """

    late = 4.5

    def __init__(self, events: list[Any], proxy: Proxy | None) -> None:
        self.events: list[dict[str, Any]] = events
        self.proxy = proxy

    @property
    def proxied(self) -> bool:
        return self.proxy is not None

    @abstractmethod
    def kaspad(
        self,
        *,
        addpeer: NetAddress | None = None,
        refused_user_agent: str | None = None,
        routable: bool = False,
        rpc: bool = False,
    ) -> AbstractAsyncContextManager[Kaspad]:
        """Run a kaspad.

        Args:
            addpeer: the address that it keeps dialling.
            refused_user_agent: a regular expression for ``--ua-rule``.
            routable: whether its address is one that address books accept, which skip loopback.
            rpc: whether it accepts RPC.
        """

    @abstractmethod
    def origin(self) -> str:
        """Return the IP from which a node's dials arrive."""

    @abstractmethod
    def address(self) -> NetAddress:
        """Return an address that a node can listen on."""

    @abstractmethod
    def leaf(self) -> Connector:
        """Return the connector that opens a node's connections."""

    @abstractmethod
    def listener(self, address: NetAddress) -> Listener | None:
        """Return the listener for a node's connections; ``None`` for the one that its settings make."""

    @abstractmethod
    def dialled(self) -> set[str]:
        """Return the hosts that were dialled directly, past the proxy."""

    @asynccontextmanager
    async def node(
        self,
        *,
        network: Network = DEVNET,
        delay: float = 0.0,
        flows: Sequence[FlowFactory] = (),
        known: Sequence[NetAddress] = (),
        identity: dict[str, Any] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Node]:
        """Run a node.

        Args:
            network: its network.
            delay: the delay of all received bytes, in seconds.
            flows: extra flows, as a user would add them.
            known: the addresses in its address book.
            identity: fields of its Version to fake.
            **settings: its settings, named as on the command line.
        """
        wanted = {"outpeers": 0, "listen": (), "maxinpeers": 128 if "listen" in settings else 0, **settings}
        chosen = Settings(appdir=Path("/unused"), network=network, proxy=self.proxy, nodnsseed=True, **wanted)
        leaf = self.leaf()
        if delay:
            leaf = fault_layer(lambda stream: DelayStream(stream, delay)).layer(leaf)
        proxy = self.proxy
        book = AddressManager(rng=random.Random(1))
        book.add(known, AddressNetwork.IPV4)  # as if peers of the same network had told them
        service = P2pService(
            chosen,
            book,
            handler=ConnectionHandler(None if proxy is None else proxy_layer(proxy.uri, proxy.credentials), leaf=leaf),
            listener=self.listener(*chosen.listen_addresses) if chosen.listen_addresses else None,
            flows=flows,
            rng=random.Random(1),
        )
        service.adaptor.identity = dataclasses.replace(service.adaptor.identity, **identity or {})
        async with service, anyio.create_task_group() as tasks:
            tasks.start_soon(service.run)
            yield Node(service, book)
            tasks.cancel_scope.cancel()

    async def until(self, what: Callable[[], object], *, seconds: float = WAIT_TIMEOUT) -> None:
        """Wait until ``what`` returns true; fail with the log after ``seconds``."""
        end = anyio.current_time() + seconds
        while not what():
            assert anyio.current_time() < end, "\n".join(map(str, self.events))
            await anyio.sleep(POLL_INTERVAL)

    async def logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for the first event of this name with these fields, and return it."""
        found: list[dict[str, Any]] = []

        def is_logged() -> bool:
            found[:] = [line for line in self.events if line["event"] == event and fields.items() <= line.items()]
            return bool(found)

        await self.until(is_logged)
        return found[0]

    async def logged_reason(self, event: str, *reasons: str) -> dict[str, Any]:
        """Wait for the first event of this name whose ``reason`` contains one of these texts, and return it."""

        def found() -> list[dict[str, Any]]:
            named = [line for line in self.events if line["event"] == event]
            return [line for line in named if any(reason in str(line["reason"]) for reason in reasons)]

        await self.until(found)
        return found()[0]


Case: TypeAlias = Callable[[World], Awaitable[None]]

CASES: dict[str, Case] = {}
SLOW: dict[str, Case] = {}
"""Cases that wait for kaspad's timers of two minutes."""


def case(function: Case) -> Case:
    CASES[function.__name__] = function  # type: ignore[attr-defined]
    return function


def slow_case(function: Case) -> Case:
    SLOW[function.__name__] = function  # type: ignore[attr-defined]
    return function


# --- both directions


@case
async def the_node_dials(world: World) -> None:
    async with world.kaspad() as kaspad:
        async with world.node(addpeer=(kaspad.address,)) as node:
            connected = await world.logged("peer.connected", direction="outbound", peer=str(kaspad.address))
            [peer] = node.peers
            assert peer.user_agent.startswith("/kaspad:")
            assert (connected["via"] is not None) is world.proxied
        gone = await world.logged("peer.disconnected", peer=str(kaspad.address))
        assert gone["reason"] == "we are stopping"
        assert kaspad.complaints() == []
    assert not world.dialled()


@case
async def kaspad_dials(world: World) -> None:
    address = world.address()
    async with world.node(listen=(address,)) as node, world.kaspad(addpeer=address) as kaspad:
        connected = await world.logged("peer.connected", direction="inbound")
        assert str(connected["user_agent"]).startswith("/kaspad:")
        assert (connected["via"] is not None) is world.proxied
        await anyio.sleep(3)  # kaspad dials a slow peer twice at once: one connection must stay
        assert len(node.peers) == 1
        assert kaspad.complaints() == []
    assert not world.dialled()


@case
async def each_dials_the_other(world: World) -> None:
    address = world.address()
    async with (
        world.kaspad(addpeer=address) as kaspad,
        world.node(listen=(address,), addpeer=(kaspad.address,)) as node,
    ):
        await world.until(lambda: node.peers)
        # Simultaneous dials may lose both connections; the next tick, ours or kaspad's, restores one.
        await anyio.sleep(5)
        await world.until(lambda: node.peers, seconds=2 * WAIT_TIMEOUT)
        before = {peer.id for peer in node.peers}
        await anyio.sleep(5)
        assert {peer.id for peer in node.peers} == before
        assert kaspad.complaints() == []


# --- addresses and pings


@case
async def addresses_go_from_one_node_to_kaspad_and_on_to_another_node(world: World) -> None:
    private, other = NetAddress.parse("10.1.2.3:16611"), NetAddress.parse("[fd00::7]:1")
    async with world.kaspad() as kaspad:
        async with world.node(addpeer=(kaspad.address,), known=[private, other]) as first:
            await world.until(lambda: first.peers)
            await anyio.sleep(1)  # it asks right after the handshake
        async with world.node(addpeer=(kaspad.address,)) as second:
            await world.until(lambda: private in second.book and other in second.book)
        assert kaspad.complaints() == []


@slow_case
async def pings_pass_both_ways_for_two_rounds(world: World) -> None:
    async with world.kaspad() as kaspad, world.node(addpeer=(kaspad.address,)) as node:
        await world.until(lambda: node.peers)
        began = node.peers[0].connected_at
        await anyio.sleep(PING_INTERVAL + 5)
        [peer] = node.peers
        assert peer.ping is not None
        assert peer.ping < 1
        await anyio.sleep(PING_INTERVAL + 5)  # kaspad waits as long for our pong
        [peer] = node.peers
        assert peer.connected_at == began
        assert kaspad.complaints() == []


# --- losses


@case
async def a_killed_kaspad_is_redialled_when_it_is_back(world: World) -> None:
    async with world.kaspad() as kaspad, world.node(addpeer=(kaspad.address,)) as node:
        await world.until(lambda: node.peers)
        await kaspad.kill()
        gone = await world.logged("peer.disconnected", peer=str(kaspad.address))
        assert gone["reason"]
        await world.until(lambda: not node.peers)
        await kaspad.revive()
        await world.until(lambda: node.peers, seconds=2 * WAIT_TIMEOUT)
        assert kaspad.complaints() == []


@case
async def several_kaspads_are_found_by_gossip_and_the_outbound_target_is_reached(world: World) -> None:
    async with (
        world.kaspad(routable=True) as first,
        world.kaspad(routable=True) as second,
        world.kaspad(routable=True) as third,
    ):
        async with world.node(addpeer=(first.address,), known=[second.address, third.address]) as teacher:
            await world.until(lambda: teacher.peers)
            await anyio.sleep(1)
        addresses_of_all = {str(kaspad.address) for kaspad in (first, second, third)}
        async with world.node(addpeer=(first.address,), outpeers=3) as node:
            await world.until(lambda: node.outbound() == addresses_of_all, seconds=2 * WAIT_TIMEOUT)
            await second.kill()
            await world.until(lambda: node.outbound() == addresses_of_all - {str(second.address)})
            await second.revive()
            await world.until(lambda: node.outbound() == addresses_of_all, seconds=2 * WAIT_TIMEOUT)
        assert [kaspad.complaints() for kaspad in (first, second, third)] == [[], [], []]
    assert not world.dialled()


# --- refusals


@case
async def each_refusal_is_logged_with_its_reason(world: World) -> None:
    async with world.kaspad() as kaspad:
        async with world.node(addpeer=(kaspad.address,)) as node:
            await world.until(lambda: node.peers)
            theirs, ours = node.peers[0].id, node.service.adaptor.identity.id
            for identity, reason in (
                ({"protocol_version": 9}, "P2P protocol version mismatch - local: 11, remote: 9"),
                ({"id": theirs}, "LOOPBACK_CONNECTION"),
                ({"id": ours}, "DUPLICATE_CONNECTION"),
            ):
                async with world.node(identity=identity) as other:
                    other.service.manager.add_request(kaspad.address, permanent=False)
                    refused = await world.logged_reason("peer.refused", reason)
                    assert refused["peer"] == str(kaspad.address)
                    assert other.peers == []
            assert len(node.peers) == 1
        async with world.node(network=SIMNET, connect=(kaspad.address,)):
            await world.logged_reason("peer.refused", "Network mismatch - local: kaspa-simnet, remote: kaspa-devnet")


@case
async def a_refused_user_agent_is_logged(world: World) -> None:
    async with (
        world.kaspad(refused_user_agent="ziggurat") as kaspad,
        world.node(connect=(kaspad.address,)) as node,
    ):
        refused = await world.logged_reason("peer.refused", "peer user agent rejected: /ziggurat:")
        assert node.peers == []
        assert refused["direction"] == "outbound"


@case
async def a_ban_is_logged(world: World) -> None:
    async with world.kaspad(rpc=True) as kaspad:
        await kaspad.ban(world.origin())
        async with world.node(connect=(kaspad.address,)) as node:
            refused = await world.logged_reason("peer.refused", "the peer rejected us: peer is banned")
            assert refused["peer"] == str(kaspad.address)
            assert node.peers == []


@case
async def a_connection_too_slow_for_kaspad_is_logged(world: World) -> None:
    async with world.kaspad() as kaspad, world.node(connect=(kaspad.address,), delay=world.late):
        # Either limit of four seconds may run out first: kaspad's for our Version, or ours for its Verack.
        await world.logged_reason("peer.refused", "timeout expired after 4s", "the peer sent no Verack within 4 s")


class FixedReplies:
    """A flow that replies to kaspad's request for addresses with the given messages."""

    def __init__(self, router: Router, *answers: KaspadMessage) -> None:
        self._router = router
        self._answers = answers
        self._route = router.subscribe("requestAddresses")

    async def run(self) -> None:
        async for _ in self._route:
            for answer in self._answers:
                await self._router.send(answer)


def addresses(*ips: bytes) -> KaspadMessage:
    entries = [p2p.NetAddress(ip=ip, port=1) for ip in ips]
    return KaspadMessage(addresses=p2p.AddressesMessage(addressList=entries))


def unexpected_message() -> KaspadMessage:
    return KaspadMessage(verack=p2p.VerackMessage())


@case
async def each_disconnect_by_kaspad_is_logged_with_its_reason(world: World) -> None:
    async with world.kaspad() as kaspad:
        for answer, reason in (
            (addresses(*[bytes([10, 0, number >> 8, number & 255]) for number in range(2501)]), "2501 exceeded 2500"),
            (addresses(b"12345"), "IP has illegal length 5"),
            (unexpected_message(), "ended the connection"),  # without a Reject, as after all routing errors
        ):
            flows = [lambda router, answer=answer: FixedReplies(router, answer)]
            async with world.node(connect=(kaspad.address,), flows=flows):
                await world.logged_reason("peer.disconnected", reason)


class WrongPong:
    """A flow that replies to pings with a wrong nonce."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe("ping")

    async def run(self) -> None:
        async for message in self._route:
            nonce = message.ping.nonce ^ 1
            await self._router.send(KaspadMessage(pong=p2p.PongMessage(nonce=nonce)))


@slow_case
async def a_wrong_pong_and_a_missing_reply_are_logged_with_their_reasons(world: World) -> None:
    async with world.kaspad() as kaspad:
        async with world.node(connect=(kaspad.address,), flows=[WrongPong]):
            await anyio.sleep(PING_INTERVAL)
            await world.logged_reason("peer.disconnected", "nonce mismatch between ping and pong")
        async with world.node(connect=(kaspad.address,), flows=[lambda router: NeverReplies(router)]):
            await anyio.sleep(PING_INTERVAL)
            await world.logged_reason("peer.disconnected", "timeout expired after 120s")


class NeverReplies:
    """A flow that never replies to a request for addresses."""

    def __init__(self, router: Router) -> None:
        self._route = router.subscribe("requestAddresses")

    async def run(self) -> None:
        await anyio.sleep_forever()
