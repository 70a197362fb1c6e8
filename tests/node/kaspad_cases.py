"""What a node and a kaspad do with each other, case by case: one suite for the embedded peer and for a real kaspad.

The node is whole: what its settings make of it, from the P2P service down to the sockets. A case is an async function
of a `World`, which says what a kaspad is, and what the two are connected by.
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
from ziggurat.node.address import NetAddress
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

PATIENCE = 60.0
"""Seconds for what takes a few, and for a redial, which takes thirty."""

LOOK = 1 / 16
"""Seconds between two looks at a state of things; a sum of them is exact."""

PING_INTERVAL = 120.0
"""Seconds between two pings, theirs and ours."""


class Kaspad(ABC):
    """One kaspad, running.

    Attributes:
        address: where it listens.
    """

    address: NetAddress

    @abstractmethod
    async def kill(self) -> None:
        """End it as ``kill -9`` does."""

    @abstractmethod
    async def revive(self) -> None:
        """Start it again, at the same address."""

    @abstractmethod
    async def ban(self, ip: str) -> None:
        """Refuse this IP from now on. It needs ``rpc``."""

    @abstractmethod
    def complaints(self) -> list[str]:
        """What it thinks went wrong: the warnings and errors of its log."""


class Node:
    """A node that runs."""

    def __init__(self, service: P2pService, book: AddressManager) -> None:
        self.service = service
        self.book = book

    @property
    def peers(self) -> list[PeerInfo]:
        return self.service.adaptor.peers()

    def outbound(self) -> set[str]:
        return {str(peer.address) for peer in self.peers if peer.direction == "outbound"}


class World(ABC):
    """What a case plays in.

    Attributes:
        proxied: whether the node dials through a SOCKS5 proxy.
        events: what all nodes have logged, the oldest first.
        late: seconds that a node has to hear everything late, for kaspad's four to be over.
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
            addpeer: whom it dials, again and again.
            refused_user_agent: a regular expression of ``--ua-rule``.
            routable: whether its address may be in address books, which leave loopback out.
            rpc: whether it takes orders.
        """

    @abstractmethod
    def origin(self) -> str:
        """The IP from which a node's dials arrive."""

    @abstractmethod
    def address(self) -> NetAddress:
        """Where a node can listen."""

    @abstractmethod
    def leaf(self) -> Connector:
        """What opens a node's connections."""

    @abstractmethod
    def listener(self, address: NetAddress) -> Listener | None:
        """What accepts a node's connections; ``None`` for what its settings make."""

    @abstractmethod
    def dialled(self) -> set[str]:
        """Hosts that were dialled past the proxy."""

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
            network: its own.
            delay: seconds by which it hears everything late.
            flows: a user's.
            known: what is in its address book.
            identity: what it says of itself and should not.
            **settings: as its command line has them.
        """
        wanted = {"outpeers": 0, "listen": None, "maxinpeers": 128 if "listen" in settings else 0, **settings}
        chosen = Settings(appdir=Path("/unused"), network=network, proxy=self.proxy, nodnsseed=True, **wanted)
        leaf = self.leaf()
        if delay:
            leaf = fault_layer(lambda stream: DelayStream(stream, delay)).layer(leaf)
        proxy = self.proxy
        book = AddressManager(rng=random.Random(1))
        book.add(known)
        service = P2pService(
            chosen,
            book,
            handler=ConnectionHandler(None if proxy is None else proxy_layer(proxy.uri, proxy.credentials), leaf=leaf),
            listener=None if chosen.listen_address is None else self.listener(chosen.listen_address),
            flows=flows,
            rng=random.Random(1),
        )
        service.adaptor.identity = dataclasses.replace(service.adaptor.identity, **identity or {})
        async with service, anyio.create_task_group() as tasks:
            tasks.start_soon(service.run)
            yield Node(service, book)
            tasks.cancel_scope.cancel()

    async def until(self, what: Callable[[], object], *, seconds: float = PATIENCE) -> None:
        """Wait for a state of things; fail with the log when it does not come."""
        end = anyio.current_time() + seconds
        while not what():
            assert anyio.current_time() < end, "\n".join(map(str, self.events))
            await anyio.sleep(LOOK)

    async def logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Return the first event of a name that has these fields, when it comes."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [line for line in self.events if line["event"] == event and fields.items() <= line.items()]
            return bool(found)

        await self.until(look)
        return found[0]

    async def told(self, event: str, *reasons: str) -> dict[str, Any]:
        """Return the first event whose ``reason`` has one of these texts in it, when it comes."""

        def found() -> list[dict[str, Any]]:
            named = [line for line in self.events if line["event"] == event]
            return [line for line in named if any(reason in str(line["reason"]) for reason in reasons)]

        await self.until(found)
        return found()[0]


Case: TypeAlias = Callable[[World], Awaitable[None]]

CASES: dict[str, Case] = {}
SLOW: dict[str, Case] = {}
"""Cases that wait for kaspad's two minutes."""


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
    async with world.node(listen=address) as node, world.kaspad(addpeer=address) as kaspad:
        connected = await world.logged("peer.connected", direction="inbound")
        assert str(connected["user_agent"]).startswith("/kaspad:")
        assert (connected["via"] is not None) is world.proxied
        await anyio.sleep(3)  # kaspad dials a slow peer twice at once: whatever it does, one stays
        assert len(node.peers) == 1
        assert kaspad.complaints() == []
    assert not world.dialled()


@case
async def each_dials_the_other(world: World) -> None:
    address = world.address()
    async with (
        world.kaspad(addpeer=address) as kaspad,
        world.node(listen=address, addpeer=(kaspad.address,)) as node,
    ):
        await world.until(lambda: node.peers)
        # Who dials at the same time may lose both connections; then the next tick, or kaspad's next, brings one back.
        await anyio.sleep(5)
        await world.until(lambda: node.peers, seconds=2 * PATIENCE)
        before = {peer.id for peer in node.peers}
        await anyio.sleep(5)
        assert {peer.id for peer in node.peers} == before
        assert kaspad.complaints() == []


# --- what they talk of


@case
async def addresses_go_from_one_node_to_kaspad_and_on_to_the_next(world: World) -> None:
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
async def a_kaspad_that_was_killed_is_dialled_again_when_it_is_back(world: World) -> None:
    async with world.kaspad() as kaspad, world.node(addpeer=(kaspad.address,)) as node:
        await world.until(lambda: node.peers)
        await kaspad.kill()
        gone = await world.logged("peer.disconnected", peer=str(kaspad.address))
        assert gone["reason"]
        await world.until(lambda: not node.peers)
        await kaspad.revive()
        await world.until(lambda: node.peers, seconds=2 * PATIENCE)
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
        everybody = {str(kaspad.address) for kaspad in (first, second, third)}
        async with world.node(addpeer=(first.address,), outpeers=3) as node:
            await world.until(lambda: node.outbound() == everybody, seconds=2 * PATIENCE)
            await second.kill()
            await world.until(lambda: node.outbound() == everybody - {str(second.address)})
            await second.revive()
            await world.until(lambda: node.outbound() == everybody, seconds=2 * PATIENCE)
        assert [kaspad.complaints() for kaspad in (first, second, third)] == [[], [], []]
    assert not world.dialled()


# --- refusals


@case
async def each_refusal_reaches_the_user_with_its_reason(world: World) -> None:
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
                    refused = await world.told("peer.refused", reason)
                    assert refused["peer"] == str(kaspad.address)
                    assert other.peers == []
            assert len(node.peers) == 1
        async with world.node(network=SIMNET, connect=(kaspad.address,)):
            await world.told("peer.refused", "Network mismatch - local: kaspa-simnet, remote: kaspa-devnet")


@case
async def a_refused_user_agent_is_told_to_the_user(world: World) -> None:
    async with (
        world.kaspad(refused_user_agent="ziggurat") as kaspad,
        world.node(connect=(kaspad.address,)) as node,
    ):
        refused = await world.told("peer.refused", "peer user agent rejected: /ziggurat:")
        assert node.peers == []
        assert refused["direction"] == "outbound"


@case
async def a_ban_is_told_to_the_user(world: World) -> None:
    async with world.kaspad(rpc=True) as kaspad:
        await kaspad.ban(world.origin())
        async with world.node(connect=(kaspad.address,)) as node:
            refused = await world.told("peer.refused", "the peer rejected us: peer is banned")
            assert refused["peer"] == str(kaspad.address)
            assert node.peers == []


@case
async def a_line_that_is_too_slow_for_kaspad_is_told_to_the_user(world: World) -> None:
    async with world.kaspad() as kaspad, world.node(connect=(kaspad.address,), delay=world.late):
        # Whose four seconds end first, kaspad's for our Version or ours for its Verack, is a matter of the line.
        await world.told("peer.refused", "timeout expired after 4s", "the peer sent no Verack within 4 s")


class Answering:
    """A flow that answers kaspad's question for addresses with whatever it is given."""

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


def nowhere() -> KaspadMessage:
    return KaspadMessage(verack=p2p.VerackMessage())


@case
async def what_it_breaks_off_for_reaches_the_user_with_its_reason(world: World) -> None:
    async with world.kaspad() as kaspad:
        for answer, reason in (
            (addresses(*[bytes([10, 0, number >> 8, number & 255]) for number in range(2501)]), "2501 exceeded 2500"),
            (addresses(b"12345"), "IP has illegal length 5"),
            (nowhere(), "ended the connection"),  # without a word, as after all routing errors
        ):
            flows = [lambda router, answer=answer: Answering(router, answer)]
            async with world.node(connect=(kaspad.address,), flows=flows):
                await world.told("peer.disconnected", reason)


class WrongPong:
    """A flow that answers pings with another number."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe("ping")

    async def run(self) -> None:
        async for message in self._route:
            nonce = message.ping.nonce ^ 1
            await self._router.send(KaspadMessage(pong=p2p.PongMessage(nonce=nonce)))


@slow_case
async def a_wrong_pong_and_none_at_all_reach_the_user_with_their_reasons(world: World) -> None:
    async with world.kaspad() as kaspad:
        async with world.node(connect=(kaspad.address,), flows=[WrongPong]):
            await anyio.sleep(PING_INTERVAL)
            await world.told("peer.disconnected", "nonce mismatch between ping and pong")
        async with world.node(connect=(kaspad.address,), flows=[lambda router: Silent(router)]):
            await anyio.sleep(PING_INTERVAL)
            await world.told("peer.disconnected", "timeout expired after 120s")


class Silent:
    """A flow that never answers when it is asked for addresses."""

    def __init__(self, router: Router) -> None:
        self._route = router.subscribe("requestAddresses")

    async def run(self) -> None:
        await anyio.sleep_forever()
