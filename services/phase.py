"""One step of a dial, as the ledger records it."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Outcome", "Phase"]

Outcome: TypeAlias = Literal["running", "ok", "failed", "timeout", "cancelled"]


class Phase:
    """One named step of a dial.

    Attributes:
        name: a dotted name: ``tcp``, ``proxy.connect``, or a user's own.
        via: the proxy or address that the phase deals with; ``None`` for the target itself.
        limit: seconds left of its limit when the phase began; ``None`` without a limit.
        start: seconds from the start of the dial to the start of the phase.
        elapsed: duration in seconds; ``None`` while the phase runs.
        sent: bytes sent, if the layer counts them.
        received: bytes received, if the layer counts them.
        outcome: ``running``, ``ok``, ``failed``, ``timeout`` or ``cancelled``.
        hint: what it means if a limit ends the phase, for the error; ``None`` without one.
        note: a remark for the reader, e.g. that nothing was isolated; ``None`` without one.
    """

    __slots__ = ("elapsed", "hint", "limit", "name", "note", "outcome", "received", "sent", "start", "via")

    def __init__(self, name: str, via: str | None, limit: float | None, start: float) -> None:
        self.name = name
        self.via = via
        self.limit = limit
        self.start = start
        self.elapsed: float | None = None
        self.sent = 0
        self.received = 0
        self.outcome: Outcome = "running"
        self.hint: str | None = None
        self.note: str | None = None

    def __repr__(self) -> str:
        took = "running" if self.elapsed is None else f"{self.elapsed:.3f} s, {self.outcome}"
        return f"Phase({self.name}{f' via {self.via}' if self.via else ''}: {took})"
