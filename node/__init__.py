"""A Kaspa P2P node. All its outbound connections are made in `ziggurat.node.connection_handler`.

For programs of your own: `P2pService` is a whole node, made from `Settings` and an `AddressManager`. Its parts can be
used alone: an `Adaptor` dials and accepts peers, a `ConnectionManager` keeps an adaptor supplied with peers, from a
book and from seeders, a *flow* exchanges messages with one peer, and events report connected and disconnected peers and
what they announce. ``ziggurat.node.testing`` has a peer that behaves like kaspad, and an in-memory network. The node
runs on asyncio only, as grpclib does.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import takes its time

if TYPE_CHECKING:
    from ziggurat.node.adaptor import Adaptor
    from ziggurat.node.address import (
        AddressNetwork,
        NamedAddress,
        NetAddress,
        NodeAddress,
        OnionNetAddress,
        PeerAddress,
        parse_peer_address,
    )
    from ziggurat.node.address_manager import AddressManager
    from ziggurat.node.config import (
        DEVNET,
        MAINNET,
        SIMNET,
        Network,
        NetworkProxy,
        Proxy,
        Settings,
        Way,
        Ways,
        numbered_testnet,
        parse_network_proxy,
        parse_socks5_proxy,
    )
    from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
    from ziggurat.node.flows import AddressBook, FlowContext, FlowFactory, OnionGossip, request_block
    from ziggurat.node.handshake import HandshakeError, HandshakeTimeout, Kind, NodeIdentity, user_agent
    from ziggurat.node.inbound import (
        Ban,
        BanList,
        BanTarget,
        InboundLimits,
        Listener,
        TcpListener,
        UserAgentPattern,
        parse_ban,
    )
    from ziggurat.node.outbound import ConnectionManager, ConnectionManagerConfig, ConnectionStatus, DialBook
    from ziggurat.node.p2p_service import P2pService
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
        Tunnel,
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
    "DEVNET",
    "MAINNET",
    "SIMNET",
    "Adaptor",
    "AddressBook",
    "AddressManager",
    "AddressNetwork",
    "AddressesReceived",
    "Ban",
    "BanList",
    "BanTarget",
    "Block",
    "BlockAnnounced",
    "ConnectionHandler",
    "ConnectionManager",
    "ConnectionManagerConfig",
    "ConnectionStatus",
    "CovenantBinding",
    "DialBook",
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
    "Network",
    "NetworkProxy",
    "NodeAddress",
    "NodeIdentity",
    "OnionGossip",
    "OnionNetAddress",
    "Outpoint",
    "P2pService",
    "PeerAddress",
    "PeerClosed",
    "PeerConnected",
    "PeerDisconnected",
    "PeerInfo",
    "PeerKey",
    "Proxy",
    "Route",
    "Router",
    "ScriptPublicKey",
    "Settings",
    "TcpListener",
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
    "TransactionsAnnounced",
    "Tunnel",
    "UserAgentPattern",
    "Way",
    "Ways",
    "numbered_testnet",
    "parse_ban",
    "parse_network_proxy",
    "parse_peer_address",
    "parse_socks5_proxy",
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
        "config",
        "outbound",
        "p2p_service",
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
