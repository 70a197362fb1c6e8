"""One step of a dial, as the ledger records it."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Outcome", "Phase"]

Outcome: TypeAlias = Literal["running", "ok", "failed", "timeout", "cancelled"]


class Phase:
    """One named step of a dial.

    Attributes:
        name: dotted and open: ``tcp``, ``proxy.connect``, or a user's own.
        via: the proxy or address that it deals with; ``None`` for the target itself.
        limit: seconds that its limit had left when it began; ``None`` without a limit.
        start: seconds from the start of the dial.
        elapsed: seconds that it took; ``None`` while it runs.
        sent: bytes sent, where the layer counted them.
        received: bytes received, likewise.
        outcome: ``running``, ``ok``, ``failed``, ``timeout`` or ``cancelled``.
        note: what a reader should know, e.g. that nothing was isolated; ``None`` when there is nothing.
    """

    __slots__ = ("elapsed", "limit", "name", "note", "outcome", "received", "sent", "start", "via")

    def __init__(self, name: str, via: str | None, limit: float | None, start: float) -> None:
        self.name = name
        self.via = via
        self.limit = limit
        self.start = start
        self.elapsed: float | None = None
        self.sent = 0
        self.received = 0
        self.outcome: Outcome = "running"
        self.note: str | None = None

    def __repr__(self) -> str:
        took = "running" if self.elapsed is None else f"{self.elapsed:.3f} s, {self.outcome}"
        return f"Phase({self.name}{f' via {self.via}' if self.via else ''}: {took})"
