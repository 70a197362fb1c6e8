"""A connected peer: its router and routes, its record, the hub that holds all peers, events for subscribers.

Imported by flows and by whatever makes connections; imports messages, addresses and the handshake.
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
from ziggurat.node.peer.info import PROXIED, Direction, PeerInfo, PeerKey, peer_info
from ziggurat.node.peer.route import Flow, FlowError, PeerClosed, Route
from ziggurat.node.peer.router import Router

__all__ = [
    "INBOUND_LIMIT_REACHED",
    "PROXIED",
    "AddressesReceived",
    "BlockAnnounced",
    "Direction",
    "Event",
    "EventStream",
    "Flow",
    "FlowError",
    "Hub",
    "PeerClosed",
    "PeerConnected",
    "PeerDisconnected",
    "PeerInfo",
    "PeerKey",
    "Route",
    "Router",
    "TransactionsAnnounced",
    "peer_info",
]
