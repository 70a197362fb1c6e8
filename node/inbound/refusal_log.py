"""A rate-limited log of refused connections."""

from __future__ import annotations

import asyncio

from ziggurat.layers.events import write_event

__all__ = ["RefusalLog"]

LOG_INTERVAL = 1.0
"""Seconds between log lines about refusals of one kind."""


class RefusalLog:
    """A writer of ``peer.refused``: the first of a kind at once, then at most one line a second with a count."""

    def __init__(self) -> None:
        # Refusals since the last line, by kind: their number, and the last one.
        self._suppressed: dict[str, tuple[int, object, str]] = {}

    def write(self, address: object, reason: str, *, kind: str | None = None) -> None:
        """Log a refusal; ``kind`` groups refusals whose reasons differ. By default the reason is the kind."""
        group = reason if kind is None else kind
        if group in self._suppressed:
            self._suppressed[group] = (self._suppressed[group][0] + 1, address, reason)
            return
        _write(address, reason, 1)
        self._suppress(group)

    def _suppress(self, group: str) -> None:
        self._suppressed[group] = (0, None, "")
        # A callback rather than a task: refusals happen in callbacks of the event loop.
        asyncio.get_running_loop().call_later(LOG_INTERVAL, self._resume, group)

    def _resume(self, group: str) -> None:
        count, address, reason = self._suppressed.pop(group)
        if count:
            _write(address, reason, count)
            self._suppress(group)


def _write(address: object, reason: str, count: int) -> None:
    more = count - 1 or None
    write_event(None, "info", "peer.refused", peer=str(address), direction="inbound", reason=reason, more=more)
