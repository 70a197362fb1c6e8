"""How many may come in: counted from the moment when a connection is accepted, for all and for each address."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from ziggurat.layers.events import write_event
from ziggurat.node.peer import FULL, PROXIED

__all__ = ["ConnectionCounter", "InboundLimits", "RefusalLog"]

LOG_INTERVAL = 1.0
"""Seconds between two log lines about refusals of one kind: a storm of a thousand is one line and a number."""


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
        for name in ("peers", "pending", "pending_per_address", "per_address"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, not {value!r}")


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

    def enter(self, host: str) -> str | None:
        """Take up a connection; or say why not. One that was taken up has to `leave`."""
        limits = self._limits
        if self._is_full():
            return FULL
        if self.open >= limits.peers + limits.pending:
            return "too many inbound connections"
        if limits.per_address is not None and self._open[host] >= limits.per_address and not _shared(host):
            return "too many connections from one address"
        self._open[host] += 1
        return None

    def leave(self, host: str) -> None:
        """A connection is closed."""
        _count_down(self._open, host)

    def begin(self, host: str) -> bool:
        """Take up a handshake, or not. One that was taken up has to `end`."""
        limits = self._limits
        per_address = limits.pending if host == PROXIED else limits.pending_per_address
        if self.pending >= limits.pending or self._pending[host] >= per_address:
            return False
        self._pending[host] += 1
        return True

    def end(self, host: str) -> None:
        """A handshake is over, well or not."""
        _count_down(self._pending, host)


class RefusalLog:
    """Writes ``peer.refused``: the first of a kind at once, then at most one line a second with how many more."""

    def __init__(self) -> None:
        # By kind, while a second has not passed: how many there were, and the last of them.
        self._waiting: dict[str, tuple[int, object, str]] = {}

    def write(self, address: object, reason: str, *, kind: str | None = None) -> None:
        """Tell of a refusal; ``kind`` groups those whose reasons differ."""
        group = reason if kind is None else kind
        if group in self._waiting:
            self._waiting[group] = (self._waiting[group][0] + 1, address, reason)
            return
        _tell(address, reason, 1)
        self._pause(group)

    def _pause(self, group: str) -> None:
        self._waiting[group] = (0, None, "")
        # A callback, not a task: refusals happen in callbacks of the event loop.
        asyncio.get_running_loop().call_later(LOG_INTERVAL, self._resume, group)

    def _resume(self, group: str) -> None:
        count, address, reason = self._waiting.pop(group)
        if count:
            _tell(address, reason, count)
            self._pause(group)


def _tell(address: object, reason: str, count: int) -> None:
    more = count - 1 or None
    write_event(None, "info", "peer.refused", peer=str(address), direction="inbound", reason=reason, more=more)


def _shared(host: str) -> bool:
    return host == PROXIED or ip_address(host).is_loopback


def _count_down(counter: Counter[str], host: str) -> None:
    counter[host] -= 1
    if counter[host] <= 0:
        del counter[host]
