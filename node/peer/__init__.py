"""Connected peers: a router and routes for each, its record, the hub of all peers, and events for subscribers.

Imported by the flows and by the code that makes connections; imports messages, addresses and the handshake.
"""

from __future__ import annotations

from ziggurat.node.peer.events import (
    AddressesReceived,
    BlockAnnounced,
    Event,
    EventStream,
    PeerConnected,
    PeerDisconnected,
    TransactionsAnnounced,
)
from ziggurat.node.peer.hub import INBOUND_LIMIT_REACHED, Hub
from ziggurat.node.peer.info import ONION, PROXIED, Direction, Link, PeerInfo, PeerKey, peer_info
from ziggurat.node.peer.route import Flow, FlowError, PeerClosed, Route
from ziggurat.node.peer.router import Router
from ziggurat.node.peer.tunnel import Isolation, Tunnel, isolation_of
from ziggurat.node.peer.turns import Turns

__all__ = [
    "INBOUND_LIMIT_REACHED",
    "ONION",
    "PROXIED",
    "AddressesReceived",
    "BlockAnnounced",
    "Direction",
    "Event",
    "EventStream",
    "Flow",
    "FlowError",
    "Hub",
    "Isolation",
    "Link",
    "PeerClosed",
    "PeerConnected",
    "PeerDisconnected",
    "PeerInfo",
    "PeerKey",
    "Route",
    "Router",
    "TransactionsAnnounced",
    "Tunnel",
    "Turns",
    "isolation_of",
    "peer_info",
]
