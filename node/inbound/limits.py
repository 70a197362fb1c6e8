"""How many may come in: counted from the moment when a connection is accepted, for all and for each address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from ziggurat.node.peer import FULL, PROXIED
from ziggurat.services.validation import check_count

__all__ = ["ConnectionCounter", "InboundLimits"]


@dataclass(frozen=True, slots=True)
class InboundLimits:
    """Bounds on inbound connections.

    Attributes:
        peers: that have come through the handshake. kaspad's own default.
        pending: connections that have not, in all; as kaspad.
        pending_per_address: the same from one IP, as kaspad. Two, since kaspad dials a slow peer twice.
        per_address: connections from one IP, pending or not; ``None`` for no limit. Loopback has none: there many
            peers share one, as behind an onion service.

    Raises:
        ValueError: a number is not positive.
    """

    peers: int = 128
    pending: int = 32
    pending_per_address: int = 2
    per_address: int | None = 8

    def __post_init__(self) -> None:
        for name in ("peers", "pending", "pending_per_address"):
            check_count(name, getattr(self, name), optional=False)
        check_count("per_address", self.per_address)


class ConnectionCounter:
    """Says yes or no to connections and handshakes, and counts them.

    Args:
        limits: the bounds.
        is_full: whether there is no room for another inbound peer, which the hub decides. A connection that comes then
            is not even read.
    """

    def __init__(self, limits: InboundLimits, is_full: Callable[[], bool]) -> None:
        self._limits = limits
        self._is_full = is_full
        self._open: Counter[str] = Counter()
        self._pending: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Connections that were accepted and are not closed."""
        return self._open.total()

    @property
    def pending(self) -> int:
        """Handshakes under way."""
        return self._pending.total()

    def add_connection(self, host: str) -> str | None:
        """Take up a connection; or say why not. One that was taken up has to `remove_connection`."""
        limits = self._limits
        if self._is_full():
            return FULL
        if self.open >= limits.peers + limits.pending:
            return "too many inbound connections"
        if limits.per_address is not None and self._open[host] >= limits.per_address and not _is_shared(host):
            return "too many connections from one address"
        self._open[host] += 1
        return None

    def remove_connection(self, host: str) -> None:
        """A connection is closed."""
        _decrement(self._open, host)

    def add_handshake(self, host: str) -> bool:
        """Take up a handshake, or not. One that was taken up has to `remove_handshake`."""
        limits = self._limits
        per_address = limits.pending if host == PROXIED else limits.pending_per_address
        if self.pending >= limits.pending or self._pending[host] >= per_address:
            return False
        self._pending[host] += 1
        return True

    def remove_handshake(self, host: str) -> None:
        """A handshake is over, well or not."""
        _decrement(self._pending, host)


def _is_shared(host: str) -> bool:
    return host == PROXIED or ip_address(host).is_loopback


def _decrement(counter: Counter[str], host: str) -> None:
    counter[host] -= 1
    if counter[host] <= 0:
        del counter[host]
