"""Inbound peers: the listener, the server, their streams, and the limits on their number.

Imported by the adaptor, the P2P service, the daemon and the embedded peer.
"""

from __future__ import annotations

from ziggurat.node.inbound.accept import accept_connections
from ziggurat.node.inbound.interfaces import Interfaces, OwnAddress, interface_addresses
from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.inbound.listener import Listener, TcpListener
from ziggurat.node.inbound.listener_group import ListenerGroup, tcp_listeners
from ziggurat.node.inbound.server import PeerServer
from ziggurat.node.inbound.stream import InboundStream

__all__ = [
    "ConnectionCounter",
    "InboundLimits",
    "InboundStream",
    "Interfaces",
    "Listener",
    "ListenerGroup",
    "OwnAddress",
    "PeerServer",
    "TcpListener",
    "accept_connections",
    "interface_addresses",
    "tcp_listeners",
]
