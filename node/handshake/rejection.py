"""Why a handshake came to nothing: kaspad's own words for it, read and written.

A peer that refuses says so in a Reject, whose text is all that tells one reason from another. The same texts go out in
ours, so that the log of a kaspad and one of ours can be compared.
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
"""gRPC's RESOURCE_EXHAUSTED says it, before any message. Behind a shared proxy or exit it is a neighbour's doing."""

MAX_REASON = 2048
"""Bytes of a Reject's reason that are looked at; kaspad cuts there, too."""


class Kind(enum.Enum):
    """What went wrong."""

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
"""The same dial may succeed later without a change."""

NOT_A_REFUSAL = frozenset({Kind.BUSY, Kind.TIMEOUT, Kind.CLOSED})
"""Nobody has said no: trying again soon is no nuisance."""

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
    """What a Reject's text means; ``REJECTED`` where it is none that we know."""
    return next((kind for start, kind in KIND_BY_PREFIX.items() if reason.startswith(start)), Kind.REJECTED)


def network_mismatch(ours: str, theirs: str) -> str:
    """The peer is on another network."""
    return f"Network mismatch - local: {ours}, remote: {theirs}"


def version_mismatch(ours: int, theirs: int) -> str:
    """The peer is too old."""
    return f"P2P protocol version mismatch - local: {ours}, remote: {theirs}"


def user_agent_rejected(user_agent: str) -> str:
    """A rule of ours says no to what the peer calls itself."""
    return f"peer user agent rejected: {user_agent}"


def timeout_expired(seconds: float) -> str:
    """The peer took too long."""
    return f"timeout expired after {seconds:g}s"


def unexpected_message(expected: str, got: str) -> str:
    """Another message was due."""
    return f"expected message type/s {expected} but got {got}"


class HandshakeError(ConnectError):
    """A peer was reached, and the two did not come together. ``phase`` is ``handshake``.

    Attributes:
        kind: what went wrong.
        reason: the text of the Reject, the peer's or ours; else what happened.
        by_peer: whether the peer refused us or left, rather than we.
        protocol_error: whether it is a refusal or a breach of the protocol, after which a retry is useless.
        silent: whether we leave without a Reject.
    """

    def __init__(
        self, kind: Kind, reason: str, *, by_peer: bool, hint: str | None = None, silent: bool = False
    ) -> None:
        self.kind = kind
        self.silent = silent
        self.reason = one_line(reason.encode()[:MAX_REASON].decode(errors="ignore"))
        self.by_peer = by_peer
        self.protocol_error = kind not in NOT_A_REFUSAL
        # Not super(): beside ConnectTimeout that would be its __init__, which wants other arguments.
        ConnectError.__init__(self, _error_text(kind, self.reason, by_peer), hint=hint, transient=kind in TRANSIENT)

    @property
    def reject(self) -> str | None:
        """The text of the Reject to send before leaving; ``None`` for none."""
        return None if self.by_peer or self.silent else self.reason


class HandshakeTimeout(HandshakeError, ConnectTimeout):
    """The peer took too long. ``name`` says for what, ``limit`` is in seconds."""

    def __init__(self, limit: float, name: str, *, silent: bool = False) -> None:
        HandshakeError.__init__(self, Kind.TIMEOUT, timeout_expired(limit), by_peer=False, silent=silent)
        self.message = f"the peer sent no {name} within {limit:g} s"
        self.limit = limit
        self.name = name


def _error_text(kind: Kind, reason: str, by_peer: bool) -> str:
    if kind is Kind.CLOSED:
        return f"the peer ended the connection: {reason}" if by_peer else reason
    return f"the peer rejected us: {reason}" if by_peer else f"we rejected the peer: {reason}"
