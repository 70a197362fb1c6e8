"""A connection that the user requested, and when to dial it next."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.address import PeerAddress

__all__ = ["PeerRequest"]

RETRY_DELAY = 30.0
"""Seconds to wait after the first failure; doubled after each further one."""

MAX_DOUBLINGS = 4
"""So at most 480 s, as in kaspad."""


@dataclass(slots=True)
class PeerRequest:
    """A requested connection to a peer.

    Attributes:
        address: the peer's address.
        permanent: whether to keep dialling. Otherwise the request ends with the first dial, whatever its outcome.
        failures: the number of failures in a row.
        due: the time of the next dial, in seconds of the event loop's clock.
    """

    address: PeerAddress
    permanent: bool
    failures: int = 0
    due: float = 0.0

    def failed(self, now: float) -> None:
        """Schedule the next dial, after 30, 60, 120, 240 and then always 480 seconds."""
        self.due = now + RETRY_DELAY * 2 ** min(self.failures, MAX_DOUBLINGS)
        self.failures += 1

    def succeeded(self) -> None:
        """Reset the backoff, so that a lost peer is redialled at the next tick."""
        self.failures = 0
        self.due = 0.0
