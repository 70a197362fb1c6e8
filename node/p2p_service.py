"""The P2P part of a node: who we are, the adaptor, and the manager that keeps it supplied with peers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import TracebackType

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config import Settings
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.flows import FlowContext, FlowFactory
from ziggurat.node.handshake import NodeIdentity, user_agent
from ziggurat.node.inbound import InboundLimits, Interfaces, Listener, TcpListener, interface_addresses, own_address
from ziggurat.node.outbound import ConnectionManager, ConnectionManagerConfig

__all__ = ["P2pService"]


class FlowAddressBook:
    """The address book as the flows see it. Our own address, which peers pass on, does not come back into it."""

    def __init__(self, book: AddressManager, own: NetAddress | None) -> None:
        self._book = book
        self._own = own

    async def sample(self, count: int) -> Sequence[NetAddress]:
        """Some addresses to pass on."""
        return self._book.sample(count)

    async def learn(self, addresses: Sequence[NetAddress]) -> None:
        """Take up what a peer told."""
        self._book.add([address for address in addresses if address != self._own])


class P2pService:
    """``async with service:`` starts and stops it; `run` works in between, until it is cancelled.

    Without room for inbound peers, and behind a proxy unless the user says otherwise, it only dials.

    Args:
        settings: what the user wants.
        book: the address book.
        handler: how peers are reached; ``None`` makes one from the settings.
        listener: where inbound peers come from; ``None`` listens where the settings say. It is not used by a node
            that only dials.
        flows: a user's own.
        interfaces: the machine's addresses. They are looked at only without a proxy, when the node itself listens on
            all of them, and no address to advertise was given.
        rng: where chance comes from; ``None`` takes the system's.

    Attributes:
        adaptor: all connections.
        manager: who is dialled.
    """

    def __init__(
        self,
        settings: Settings,
        book: AddressManager,
        *,
        handler: ConnectionHandler | None = None,
        listener: Listener | None = None,
        flows: Sequence[FlowFactory] = (),
        interfaces: Interfaces = interface_addresses,
        rng: random.Random | None = None,
    ) -> None:
        proxy, address = settings.proxy, settings.listen_address
        if handler is None:
            handler = ConnectionHandler(None if proxy is None else proxy_layer(proxy.uri, proxy.credentials))
        advertised = settings.advertised_address
        direct = proxy is None and handler.proxy is None
        if advertised is None and direct and address is not None and listener is None:
            advertised = own_address(address, interfaces)
        self._settings = settings
        self.adaptor = Adaptor(
            handler,
            NodeIdentity(settings.network.name, user_agent(settings.uacomment), address=advertised),
            flows=flows,
            context=FlowContext(FlowAddressBook(book, advertised)),
            listener=None if address is None else listener or TcpListener(address),
            limits=None if address is None else InboundLimits(peers=settings.inbound_limit),
            # Who comes in on loopback beside a proxy comes through an onion service: its address is our own.
            proxied=proxy is not None and address is not None and address.ip.is_loopback,
        )
        config = ConnectionManagerConfig(
            outbound=settings.outbound_target,
            inbound=settings.inbound_limit,
            seeders=settings.seeders,
            port=settings.network.port,
            proxied=handler.proxy is not None,
        )
        self.manager = ConnectionManager(config, self.adaptor, book, handler.resolve, rng)

    @property
    def advertised(self) -> NetAddress | None:
        """What peers are told of where we are; ``None``: nothing."""
        return self.adaptor.identity.address

    @property
    def listening(self) -> NetAddress | None:
        """Where inbound peers are accepted; ``None`` for a node that only dials."""
        return self.adaptor.listening

    async def run(self) -> None:
        """Keep peers connected, until cancelled."""
        for address in self._settings.permanent_peers:
            self.manager.add_request(address, permanent=True)
        await self.manager.run()

    async def __aenter__(self) -> P2pService:
        await self.adaptor.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.adaptor.__aexit__(kind, error, trace)
