"""Outbound peers: the connection manager, DNS seeding, message streams, the classification of failed dials.

Nothing here opens a connection: the connection handler does, and imports this, as do the P2P service and the command
line.
"""

from __future__ import annotations

from ziggurat.node.outbound.connection_manager import (
    ConnectionManager,
    ConnectionManagerConfig,
    ConnectionStatus,
)
from ziggurat.node.outbound.dial_book import DialBook
from ziggurat.node.outbound.failure import failure_level, is_proxy_failure
from ziggurat.node.outbound.seeding import NOT_SUPPORTED
from ziggurat.node.outbound.stream import OutboundStream

__all__ = [
    "NOT_SUPPORTED",
    "ConnectionManager",
    "ConnectionManagerConfig",
    "ConnectionStatus",
    "DialBook",
    "OutboundStream",
    "failure_level",
    "is_proxy_failure",
]
