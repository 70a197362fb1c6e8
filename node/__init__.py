"""A Kaspa P2P node. All its outbound connections are made in `ziggurat.node.connection_handler`.

For programs of your own: an `Adaptor` dials and accepts peers, a *flow* exchanges messages with one peer, and events
report connected and disconnected peers and what they announce. ``ziggurat.node.testing`` has a peer that behaves like
kaspad, and an in-memory network. The node runs on asyncio only, as grpclib does.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import takes its time

if TYPE_CHECKING:
    from ziggurat.node.adaptor import Adaptor
    from ziggurat.node.address import NamedAddress, NetAddress, PeerAddress, parse_peer_address
    from ziggurat.node.address_manager import AddressManager
    from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
    from ziggurat.node.flows import AddressBook, FlowContext, FlowFactory, request_block
    from ziggurat.node.handshake import HandshakeError, HandshakeTimeout, Kind, NodeIdentity, user_agent
    from ziggurat.node.inbound import InboundLimits, Listener, TcpListener
    from ziggurat.node.peer import (
        AddressesReceived,
        BlockAnnounced,
        Event,
        EventStream,
        Flow,
        FlowError,
        Hub,
        PeerClosed,
        PeerConnected,
        PeerDisconnected,
        PeerInfo,
        PeerKey,
        Route,
        Router,
        TransactionsAnnounced,
    )
    from ziggurat.node.wire import (
        Block,
        CovenantBinding,
        Header,
        KaspadMessage,
        Outpoint,
        ScriptPublicKey,
        Transaction,
        TransactionInput,
        TransactionOutput,
    )

__all__ = [
    "Adaptor",
    "AddressBook",
    "AddressManager",
    "AddressesReceived",
    "Block",
    "BlockAnnounced",
    "ConnectionHandler",
    "CovenantBinding",
    "Event",
    "EventStream",
    "Flow",
    "FlowContext",
    "FlowError",
    "FlowFactory",
    "HandshakeError",
    "HandshakeTimeout",
    "Header",
    "Hub",
    "InboundLimits",
    "KaspadMessage",
    "Kind",
    "Listener",
    "NamedAddress",
    "NetAddress",
    "NodeIdentity",
    "Outpoint",
    "PeerAddress",
    "PeerClosed",
    "PeerConnected",
    "PeerDisconnected",
    "PeerInfo",
    "PeerKey",
    "Route",
    "Router",
    "ScriptPublicKey",
    "TcpListener",
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
    "TransactionsAnnounced",
    "parse_peer_address",
    "proxy_layer",
    "request_block",
    "user_agent",
]

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would accept any name
    _ROOMS = (
        "address",
        "address_manager",
        "wire",
        "peer",
        "flows",
        "handshake",
        "inbound",
        "connection_handler",
        "adaptor",
    )

    def __getattr__(name):
        """Import a name at its first use: the command catches Ctrl-C while it loads the rest."""
        if name in __all__:
            from importlib import import_module

            for room in _ROOMS:
                module = import_module(f"{__name__}.{room}")
                if name in module.__all__:
                    value = globals()[name] = getattr(module, name)
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
