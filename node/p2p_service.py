"""The P2P service of a node: its identity, the adaptor, and the connection manager."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import anyio

from ziggurat.layers.events import write_event
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import AddressNetwork, NetAddress, NodeAddress, OnionNetAddress, PeerAddress
from ziggurat.node.address_manager import AddressManager, DialAddressBook, FlowAddressBook
from ziggurat.node.config import Settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext, FlowFactory, OnionGossip
from ziggurat.node.handshake import NodeIdentity, user_agent
from ziggurat.node.inbound import (
    BanList,
    InboundLimits,
    Interfaces,
    Listener,
    ListenerGroup,
    OwnAddress,
    UnixListener,
    interface_addresses,
    tcp_listeners,
)
from ziggurat.node.outbound import ConnectionManager, ConnectionManagerConfig
from ziggurat.node.peer import PeerInfo
from ziggurat.services.onion import is_onion

__all__ = ["P2pService", "ban_list"]

INTERFACES_INTERVAL = 60.0
"""Seconds between two looks at the machine's addresses: a lease or a prefix may change while the node runs."""


class WaitingPeers:
    """The adaptor and the resolver for the connection manager: what goes through Tor waits until Tor can be used."""

    def __init__(self, adaptor: Adaptor, ready: Callable[[], Awaitable[object]]) -> None:
        self._adaptor = adaptor
        self._ready = ready
        self.peers = adaptor.peers

    async def connect_peer(self, address: PeerAddress, /) -> PeerInfo:
        """Dial a peer."""
        if self._adaptor.connection_handler.ways.of(address).kind != "direct":
            await self._ready()
        return await self._adaptor.connect_peer(address)

    async def resolve(self, host: str) -> list[str]:
        """Look a seeder's name up."""
        if self._adaptor.connection_handler.ways.of_name().kind != "direct":
            await self._ready()
        return await self._adaptor.connection_handler.resolve(host)


def inbound_limits(settings: Settings) -> InboundLimits:
    """Return the limits on inbound peers. Where more than usual may share an address, more may connect at once, too."""
    usual, per_address = InboundLimits(peers=settings.inbound_limit), settings.maxinpeersperaddr
    if usual.per_address is None or per_address <= usual.per_address:
        return replace(usual, per_address=per_address)
    return replace(usual, per_address=per_address, pending_per_address=min(per_address, usual.pending))


def ban_list(settings: Settings, path: Path | None = None) -> BanList:
    """Return the list of a node's bans, stored at ``path``; `BanList.load` reads the file."""
    return BanList(settings.ban, exempt=settings.permanent_peers, proxies=settings.inbound_proxies, path=path)


def _onion_listeners(settings: Settings, given: Listener | None) -> ListenerGroup | None:
    where = settings.onion_listener
    if where is None:
        return None
    if given is None:
        given = UnixListener(where) if isinstance(where, Path) else tcp_listeners([where])[0]
    return ListenerGroup([given])


async def _at_once() -> None:
    pass


def _manager_config(settings: Settings, handler: ConnectionHandler) -> ConnectionManagerConfig:
    return ConnectionManagerConfig(
        outbound=settings.outbound_target,
        inbound=settings.inbound_limit,
        seeders=settings.seeders,
        port=settings.network.port,
        via=handler.via,
        dials=lambda address: handler.ways.dials(address),  # they may change
        is_tor=lambda address: settings.tor_control is not None or settings.tor_only or is_onion(address.host),
    )


class P2pService:
    """Runs a node's P2P side: ``async with service:`` starts and stops it, and `run` keeps peers connected.

    A node without inbound peers only dials. So does a node with a proxy, unless the settings say otherwise.

    Events: ``advertised.changed`` (``advertised``, ``previous``) when an address of the interfaces that is advertised
    has changed, looked at once a minute; later handshakes state the new one. Also that of `OwnAddress`.

    Args:
        settings: the node's settings.
        book: the address book.
        handler: the connection handler; ``None`` makes one from the settings.
        listener: the source of inbound peers; ``None`` listens on the addresses in the settings. A node that only dials
            does not use it.
        onion_listener: the source of those that come in by the onion service; ``None`` listens where the settings say.
        flows: additional flows.
        bans: the bans, from `ban_list`; ``None`` makes a list from the settings, which is not stored.
        interfaces: a function that returns the machine's addresses. It is called only without a proxy, if the node
            listens on all interfaces and is not told an address to advertise.
        tor_ready: waits until Tor can be used, see `TorLink.wait_up`; what the node dials other than directly waits for
            it. ``None`` does not wait. The caller replaces `ConnectionHandler.ways` once Tor has told its proxy.
        onion_published: waits until our onion service can be found, and returns its address, which peers are then told
            of; ``None`` if there is none to tell.
        rng: the source of randomness; ``None`` uses the system's.

    Attributes:
        adaptor: the adaptor, which owns all connections.
        bans: the bans, who is neither let in nor dialled.
        manager: the connection manager, which decides which peers to dial.
        onion: the address of our onion service, once it is known; ``None`` without one. It is never dialled.
    """

    def __init__(
        self,
        settings: Settings,
        book: AddressManager,
        *,
        handler: ConnectionHandler | None = None,
        listener: Listener | None = None,
        onion_listener: Listener | None = None,
        flows: Sequence[FlowFactory] = (),
        bans: BanList | None = None,
        interfaces: Interfaces = interface_addresses,
        tor_ready: Callable[[], Awaitable[object]] | None = None,
        onion_published: Callable[[], Awaitable[OnionNetAddress]] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        addresses = settings.listen_addresses
        handler = ConnectionHandler(settings.ways) if handler is None else handler
        hidden = settings.ways.proxied or handler.ways.proxied
        self._own_address = None if hidden else OwnAddress(interfaces)
        self._listeners: ListenerGroup | None = None
        if addresses:
            self._listeners = ListenerGroup(tcp_listeners(addresses) if listener is None else [listener])
        self.onion: OnionNetAddress | None = None
        self._onion_listeners = _onion_listeners(settings, onion_listener)
        self._settings = settings
        self.bans = ban_list(settings) if bans is None else bans
        # A given listener has addresses of its own, which are known once it listens.
        advertised = self._address(addresses) if listener is None else settings.advertised_address(addresses)
        self.adaptor = Adaptor(
            handler,
            NodeIdentity(settings.network.name, user_agent(settings.uacomment), address=advertised),
            flows=flows,
            context=FlowContext(
                parts={each: FlowAddressBook(book, each, self._usable, self._look) for each in AddressNetwork},
                onions=self._onion_gossip(handler, onion_published),
            ),
            listener=self._listeners,
            onion_listener=self._onion_listeners,
            limits=inbound_limits(settings) if settings.inbound_limit else None,
            inbound_proxies=settings.inbound_proxies,
            proxied_network=AddressNetwork.ONION if settings.ways.proxied else None,
            bans=self.bans,
        )
        config = _manager_config(settings, handler)
        peers = WaitingPeers(self.adaptor, _at_once if tor_ready is None else tor_ready)
        self.manager = ConnectionManager(config, peers, DialAddressBook(book, self._to_dial), peers.resolve, rng)

    @property
    def advertised(self) -> NetAddress | None:
        """The address in our Version message; ``None`` if there is none."""
        return self.adaptor.identity.address

    @property
    def listening(self) -> tuple[NetAddress, ...]:
        """The addresses that inbound peers are accepted on; none for a node that only dials, and before the start."""
        return () if self._listeners is None else self._listeners.addresses

    @property
    def onion_target(self) -> str | None:
        """Where Tor is to connect to: ``IP:PORT`` or ``unix:PATH``; ``None`` without an onion service."""
        where = self._settings.onion_listener
        if where is None or self._onion_listeners is None:
            return None
        return f"unix:{where}" if isinstance(where, Path) else str(self._onion_listeners.addresses[0])

    def own_addresses(self) -> set[NodeAddress]:
        """Return our own addresses in every network, as far as we know them: those are neither kept nor dialled."""
        given = (self.advertised, self._settings.externalip, self.onion, *self.listening)
        return {each for each in given if each is not None and each.port}

    def _to_dial(self, addresses: Iterable[NodeAddress]) -> list[NodeAddress]:
        """Return those that are also of use to dial: not of onion peers that are connected by ours."""
        connected = self.adaptor.hub.connected_services()
        return [each for each in self._usable(addresses) if each.host not in connected]

    def _look(self) -> None:
        """Dial what peers have told, if any are missing: a node that knows one peer need not wait for others."""
        self.manager.look()

    def _onion_gossip(
        self, handler: ConnectionHandler, published: Callable[[], Awaitable[OnionNetAddress]] | None
    ) -> OnionGossip:
        return OnionGossip(
            dials=lambda: handler.ways.knows_onions,  # they may change
            own=lambda: self.onion,
            published=published,
            public=self._settings.onion_public,
        )

    def _usable(self, addresses: Iterable[NodeAddress]) -> list[NodeAddress]:
        """Return the addresses that may be stored, passed on and dialled: neither banned nor our own."""
        own, onion = self.own_addresses(), None if self.onion is None else self.onion.host
        others = (each for each in addresses if each not in own and each.host != onion)
        return [each for each in others if self.bans.of_address(each) is None]

    async def run(self) -> None:
        """Keep peers connected, until cancelled."""
        for address in self._settings.permanent_peers:
            if address in self.own_addresses():
                write_event(None, "warning", "settings.ineffective", reason=f"the peer {address} is this node itself")
                continue
            self.manager.add_request(address, permanent=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow_interfaces)
            await self.manager.run()

    def _address(self, listening: Sequence[NetAddress]) -> NetAddress | None:
        """Return the address to advertise: that of the settings, else one of the interfaces."""
        settled = self._settings.advertised_address(listening)
        if settled is not None or self._own_address is None:
            return settled
        return self._own_address.find(listening)

    async def _follow_interfaces(self) -> None:
        while True:
            await anyio.sleep(INTERFACES_INTERVAL)
            previous = self.advertised
            self._advertise()
            if self.advertised != previous:
                new, old = (None if each is None else str(each) for each in (self.advertised, previous))
                write_event(None, "info", "advertised.changed", advertised=new, previous=old)

    def _advertise(self) -> None:
        self.adaptor.identity = replace(self.adaptor.identity, address=self._address(self.listening))

    async def __aenter__(self) -> P2pService:
        await self.adaptor.__aenter__()
        self._advertise()  # port 0 has become a port
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.adaptor.__aexit__(kind, error, trace)
