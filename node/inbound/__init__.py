"""Inbound peers: the listener, the server, their streams, the limits on their number, and the list of bans.

Imported by the adaptor, the P2P service, the daemon, the embedded peer, and by those who set bans: the settings, the
command line.
"""

from __future__ import annotations

from ziggurat.node.inbound.ban import BAN_SYNTAX, Ban, BanTarget, UserAgentPattern, ban_text, parse_ban
from ziggurat.node.inbound.bans import DEFAULT_DURATION, BanList
from ziggurat.node.inbound.interfaces import Interfaces, OwnAddress, interface_addresses
from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.inbound.listener import Listener, TcpListener
from ziggurat.node.inbound.listener_group import ListenerGroup, tcp_listeners
from ziggurat.node.inbound.server import PeerServer
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.inbound.unix_listener import UnixListener

__all__ = [
    "BAN_SYNTAX",
    "DEFAULT_DURATION",
    "Ban",
    "BanList",
    "BanTarget",
    "ConnectionCounter",
    "InboundLimits",
    "InboundStream",
    "Interfaces",
    "Listener",
    "ListenerGroup",
    "OwnAddress",
    "PeerServer",
    "TcpListener",
    "UnixListener",
    "UserAgentPattern",
    "ban_text",
    "interface_addresses",
    "parse_ban",
    "tcp_listeners",
]
