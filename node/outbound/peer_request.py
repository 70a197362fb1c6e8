"""Whom the user wants to be connected to, and when to try again."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.address import PeerAddress

__all__ = ["PeerRequest"]

RETRY_DELAY = 30.0
"""Seconds after the first failure; it doubles with each one."""

MAX_DOUBLINGS = 4
"""So 480 s at most: kaspad's."""


@dataclass(slots=True)
class PeerRequest:
    """A wish to be connected to a peer.

    Attributes:
        address: of the peer.
        permanent: whether to try for ever. Else it is over with the first answer, good or bad.
        failures: in a row.
        due: when to dial next, in seconds of the event loop's clock.
    """

    address: PeerAddress
    permanent: bool
    failures: int = 0
    due: float = 0.0

    def failed(self, now: float) -> None:
        """Wait for 30, 60, 120, 240 and then always 480 seconds."""
        self.due = now + RETRY_DELAY * 2 ** min(self.failures, MAX_DOUBLINGS)
        self.failures += 1

    def succeeded(self) -> None:
        """Begin anew: when the peer is lost, it is dialled with the next tick."""
        self.failures = 0
        self.due = 0.0
