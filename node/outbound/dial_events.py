"""What the logging layer cannot tell of a dial: it stands at the top of the stack, and this happened above."""

from __future__ import annotations

from ziggurat.layers.events import write_event
from ziggurat.node.handshake.rejection import HandshakeError
from ziggurat.node.peer.info import PeerAddress
from ziggurat.services import ConnectError

__all__ = ["tell_failure"]

ABOVE_THE_STACK = frozenset({"http2", "handshake"})
"""Phases of a dial that begin when the stack has given its stream."""


def tell_failure(address: PeerAddress, error: ConnectError) -> None:
    """Write ``peer.refused`` for a handshake that failed, ``dial.failed`` for a peer that speaks no HTTP/2."""
    if isinstance(error, HandshakeError):
        write_event(
            None,
            "info",
            "peer.refused",
            peer=str(address),
            direction="outbound",
            reason=error.message,
            hint=error.hint,
        )
    elif error.phase in ABOVE_THE_STACK:
        write_event(
            None,
            "warning",
            "dial.failed",
            dial=None if error.ledger is None else error.ledger.id,
            target=str(address.uri()),
            via=error.via,
            phase=error.phase,
            elapsed=None if error.elapsed is None else round(error.elapsed, 3),
            error=f"{type(error).__name__}: {error.message}{f'; {error.hint}' if error.hint else ''}",
        )
