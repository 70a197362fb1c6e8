"""Why handshakes fail: the texts of kaspad's Rejects, parsed and written.

A peer refuses with a Reject, and only its text says why. Our Rejects use the same texts, so that the logs of a kaspad
and ours can be compared.
"""

from __future__ import annotations

import enum

from ziggurat.services.errors import ConnectError, ConnectTimeout, one_line

__all__ = [
    "BANNED",
    "DUPLICATE",
    "LOOPBACK",
    "MAX_REASON",
    "TOO_MANY_PENDING",
    "HandshakeError",
    "HandshakeTimeout",
    "Kind",
    "kind_of",
    "network_mismatch",
    "timeout_expired",
    "unexpected_message",
    "user_agent_rejected",
    "version_mismatch",
]

DUPLICATE = "DUPLICATE_CONNECTION"
LOOPBACK = "LOOPBACK_CONNECTION"
BANNED = "peer is banned"
TOO_MANY_PENDING = "too many pending inbound handshakes"
"""Sent as gRPC's RESOURCE_EXHAUSTED, before any message. Others behind the same proxy or exit may have caused it."""

MAX_REASON = 2048
"""Bytes of a Reject's reason that are kept, as in kaspad."""


class Kind(enum.Enum):
    """The kind of failure."""

    DUPLICATE = "duplicate"
    SELF = "self"
    NETWORK = "network"
    VERSION = "version"
    USER_AGENT = "user agent"
    BANNED = "banned"
    BUSY = "busy"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    UNEXPECTED = "unexpected"
    REJECTED = "rejected"
    CLOSED = "closed"


TRANSIENT = frozenset({Kind.DUPLICATE, Kind.BUSY, Kind.TIMEOUT, Kind.CLOSED})
"""Failures after which the same dial may succeed later, without a change."""

NOT_A_REFUSAL = frozenset({Kind.BUSY, Kind.TIMEOUT, Kind.CLOSED})
"""Failures without a refusal or a protocol error, after which an early retry does not bother the peer."""

KIND_BY_PREFIX = {
    DUPLICATE: Kind.DUPLICATE,
    LOOPBACK: Kind.SELF,
    BANNED: Kind.BANNED,
    TOO_MANY_PENDING: Kind.BUSY,
    "Network mismatch": Kind.NETWORK,
    "P2P protocol version mismatch": Kind.VERSION,
    "peer user agent rejected": Kind.USER_AGENT,
    "timeout expired after": Kind.TIMEOUT,
    "expected message type/s": Kind.UNEXPECTED,
}


def kind_of(reason: str) -> Kind:
    """Return the kind of failure that a Reject's text means; ``REJECTED`` for an unknown text."""
    return next((kind for start, kind in KIND_BY_PREFIX.items() if reason.startswith(start)), Kind.REJECTED)


def network_mismatch(ours: str, theirs: str) -> str:
    """Return the text for a peer on another network."""
    return f"Network mismatch - local: {ours}, remote: {theirs}"


def version_mismatch(ours: int, theirs: int) -> str:
    """Return the text for a peer that is too old."""
    return f"P2P protocol version mismatch - local: {ours}, remote: {theirs}"


def user_agent_rejected(user_agent: str) -> str:
    """Return the text for a user agent that our rules refuse."""
    return f"peer user agent rejected: {user_agent}"


def timeout_expired(seconds: float) -> str:
    """Return the text for a peer that took too long."""
    return f"timeout expired after {seconds:g}s"


def unexpected_message(expected: str, got: str) -> str:
    """Return the text for a message out of order."""
    return f"expected message type/s {expected} but got {got}"


class HandshakeError(ConnectError):
    """A peer was reached, but the handshake failed. ``phase`` is ``handshake``.

    Attributes:
        kind: the kind of failure.
        reason: the text of the peer's or our Reject; without a Reject, a description of the failure.
        by_peer: whether the peer refused us or left, rather than we.
        protocol_error: whether this is a refusal or a breach of the protocol, after which a retry is useless.
        silent: whether to close without sending a Reject.
    """

    def __init__(
        self, kind: Kind, reason: str, *, by_peer: bool, hint: str | None = None, silent: bool = False
    ) -> None:
        self.kind = kind
        self.silent = silent
        self.reason = one_line(reason.encode()[:MAX_REASON].decode(errors="ignore"))
        self.by_peer = by_peer
        self.protocol_error = kind not in NOT_A_REFUSAL
        # Not super(): in HandshakeTimeout that is ConnectTimeout, whose __init__ has other parameters.
        ConnectError.__init__(self, _error_text(kind, self.reason, by_peer), hint=hint, transient=kind in TRANSIENT)

    @property
    def reject(self) -> str | None:
        """The text of the Reject to send before closing; ``None`` to send none."""
        return None if self.by_peer or self.silent else self.reason


class HandshakeTimeout(HandshakeError, ConnectTimeout):
    """The peer took too long. ``name`` is the message that was due, ``limit`` is in seconds."""

    def __init__(self, limit: float, name: str, *, silent: bool = False) -> None:
        HandshakeError.__init__(self, Kind.TIMEOUT, timeout_expired(limit), by_peer=False, silent=silent)
        self.message = f"the peer sent no {name} within {limit:g} s"
        self.limit = limit
        self.name = name


def _error_text(kind: Kind, reason: str, by_peer: bool) -> str:
    if kind is Kind.CLOSED:
        return f"the peer ended the connection: {reason}" if by_peer else reason
    return f"the peer rejected us: {reason}" if by_peer else f"we rejected the peer: {reason}"
