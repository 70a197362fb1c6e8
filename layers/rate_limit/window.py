"""So many in each window of time; the meter of `FixedWindow`."""

from __future__ import annotations

from ziggurat.services.clock import running_clock

__all__ = ["Window"]

ROUNDING = 1e-9
"""Seconds. A wait that was computed must suffice."""


class Window:
    """Counts what is taken in a window, which starts with the first take after the end of the one before.

    Args:
        count: how many a window lets through.
        per: the length of a window, in seconds.
    """

    __slots__ = ("_count", "_per", "_start", "_used")

    def __init__(self, count: int, per: float) -> None:
        self._count = count
        self._per = per
        self._start = 0.0
        self._used = 0

    def take(self) -> bool:
        """Take one if there is one left; return whether there was."""
        now = running_clock()()
        if self._is_over(now):
            self._start, self._used = now, 0
        if self._used == self._count:
            return False
        self._used += 1
        return True

    @property
    def wait(self) -> float:
        """Seconds until there is one; 0.0 if there is one now."""
        now = running_clock()()
        return 0.0 if self._used < self._count or self._is_over(now) else self._start + self._per - now

    @property
    def idle(self) -> bool:
        """Whether it is as new."""
        return self._is_over(running_clock()())

    def _is_over(self, now: float) -> bool:
        # Another event loop's clock may be behind: then its time has nothing to do with this window's.
        return not self._used or not 0.0 <= now - self._start < self._per - ROUNDING
