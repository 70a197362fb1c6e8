"""A Kaspa P2P node whose every outbound connection is made in `ziggurat.node.connection_handler`.

What a program of its own needs: an `Adaptor` connects to peers and accepts them, a *flow* talks with one of them, and
events tell who came, who went, and what was announced. ``ziggurat.node.testing`` has a peer that behaves like kaspad,
and a network in memory. It runs on asyncio, as grpclib does.
"""

from __future__ import annotations

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
