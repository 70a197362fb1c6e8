"""A log of refused connections that a storm cannot flood."""

from __future__ import annotations

import asyncio

from ziggurat.layers.events import write_event

__all__ = ["RefusalLog"]

LOG_INTERVAL = 1.0
"""Seconds between two log lines about refusals of one kind: a storm of a thousand is one line and a number."""


class RefusalLog:
    """Writes ``peer.refused``: the first of a kind at once, then at most one line a second with how many more."""

    def __init__(self) -> None:
        # By kind, while a second has not passed: how many there were, and the last of them.
        self._suppressed: dict[str, tuple[int, object, str]] = {}

    def write(self, address: object, reason: str, *, kind: str | None = None) -> None:
        """Tell of a refusal; ``kind`` groups those whose reasons differ."""
        group = reason if kind is None else kind
        if group in self._suppressed:
            self._suppressed[group] = (self._suppressed[group][0] + 1, address, reason)
            return
        _write(address, reason, 1)
        self._suppress(group)

    def _suppress(self, group: str) -> None:
        self._suppressed[group] = (0, None, "")
        # A callback, not a task: refusals happen in callbacks of the event loop.
        asyncio.get_running_loop().call_later(LOG_INTERVAL, self._resume, group)

    def _resume(self, group: str) -> None:
        count, address, reason = self._suppressed.pop(group)
        if count:
            _write(address, reason, count)
            self._suppress(group)


def _write(address: object, reason: str, count: int) -> None:
    more = count - 1 or None
    write_event(None, "info", "peer.refused", peer=str(address), direction="inbound", reason=reason, more=more)
