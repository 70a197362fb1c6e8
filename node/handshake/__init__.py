"""The Kaspa handshake: its state machine, running it over a stream, our identity, and the reasons for refusals.

Imported by the code that makes connections; imports messages and addresses only.
"""

from __future__ import annotations

from ziggurat.node.handshake.handshake import INBOUND_LIMITS, OUTBOUND_LIMITS, Handshake, HandshakeLimits, Rules, State
from ziggurat.node.handshake.identity import NodeIdentity, user_agent
from ziggurat.node.handshake.rejection import (
    BANNED,
    DUPLICATE,
    MAX_REASON,
    TOO_MANY_PENDING,
    HandshakeError,
    HandshakeTimeout,
    Kind,
    timeout_expired,
)
from ziggurat.node.handshake.run import HANDSHAKE_MESSAGE_SIZE, closing_with_reject, run_handshake

__all__ = [
    "BANNED",
    "DUPLICATE",
    "HANDSHAKE_MESSAGE_SIZE",
    "INBOUND_LIMITS",
    "MAX_REASON",
    "OUTBOUND_LIMITS",
    "TOO_MANY_PENDING",
    "Handshake",
    "HandshakeError",
    "HandshakeLimits",
    "HandshakeTimeout",
    "Kind",
    "NodeIdentity",
    "Rules",
    "State",
    "closing_with_reject",
    "run_handshake",
    "timeout_expired",
    "user_agent",
]
