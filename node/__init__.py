"""A Kaspa P2P node. All its outbound connections are made in `ziggurat.node.connection_handler`.

For programs of your own: an `Adaptor` dials and accepts peers, a *flow* exchanges messages with one peer, and events
report connected and disconnected peers and what they announce. ``ziggurat.node.testing`` has a peer that behaves like
kaspad, and an in-memory network. The node runs on asyncio only, as grpclib does.
"""

from __future__ import annotations

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NamedAddress, NetAddress, PeerAddress, parse_peer_address
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.flows import AddressBook, FlowContext, FlowFactory, request_block
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
    "Ban",
    "BanList",
    "BanTarget",
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
    "UserAgentPattern",
    "parse_ban",
    "parse_peer_address",
    "proxy_layer",
    "request_block",
    "user_agent",
]
