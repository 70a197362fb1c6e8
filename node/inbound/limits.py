"""Limits on inbound connections and handshakes, in total and per address, counted from the accept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from ziggurat.node.peer import INBOUND_LIMIT_REACHED, PROXIED
from ziggurat.services.validation import check_count

__all__ = ["ConnectionCounter", "InboundLimits"]

TOO_MANY_FROM_ONE_ADDRESS = (
    "too many connections from one address (--maxinpeersperaddr allows more; --inbound-proxy is for a gateway's)"
)


@dataclass(frozen=True, slots=True)
class InboundLimits:
    """Limits on inbound connections and handshakes.

    Attributes:
        peers: the number of inbound peers, their handshake done. The default is kaspad's.
        pending: the number of handshakes under way. The default is kaspad's.
        pending_per_address: the number of handshakes under way with one IP. The default is kaspad's: it dials a slow
            peer twice.
        per_address: the number of connections from one IP, whatever their state; ``None`` for no limit. Loopback is
            exempt, since all peers of an onion service share it, and so are inbound proxies.

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
    """Admits and counts inbound connections and handshakes.

    Args:
        limits: the limits to enforce.
        is_full: returns whether all places for inbound peers are taken, which the hub knows. New connections are then
            closed unread.
    """

    def __init__(self, limits: InboundLimits, is_full: Callable[[], bool]) -> None:
        self._limits = limits
        self._is_full = is_full
        self._open: Counter[str] = Counter()
        self._pending: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """The number of admitted connections that are still open."""
        return self._open.total()

    @property
    def pending(self) -> int:
        """The number of handshakes under way."""
        return self._pending.total()

    def add_connection(self, host: str) -> str | None:
        """Count a new connection, for `remove_connection` to uncount; return the reason if it is refused instead."""
        limits = self._limits
        if self._is_full():
            return INBOUND_LIMIT_REACHED
        if self.open >= limits.peers + limits.pending:
            return "too many inbound connections"
        if limits.per_address is not None and self._open[host] >= limits.per_address and not _is_shared(host):
            return TOO_MANY_FROM_ONE_ADDRESS
        self._open[host] += 1
        return None

    def remove_connection(self, host: str) -> None:
        """Uncount a connection that has closed."""
        _decrement(self._open, host)

    def add_handshake(self, host: str) -> bool:
        """Count a new handshake, for `remove_handshake` to uncount; return ``False`` if it is refused instead."""
        limits = self._limits
        per_address = limits.pending if host == PROXIED else limits.pending_per_address
        if self.pending >= limits.pending or self._pending[host] >= per_address:
            return False
        self._pending[host] += 1
        return True

    def remove_handshake(self, host: str) -> None:
        """Uncount a handshake that has ended, whatever its outcome."""
        _decrement(self._pending, host)


def _is_shared(host: str) -> bool:
    return host == PROXIED or ip_address(host).is_loopback


def _decrement(counter: Counter[str], host: str) -> None:
    counter[host] -= 1
    if counter[host] <= 0:
        del counter[host]
