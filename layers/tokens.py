"""A bucket of tokens that fills with time, up to a maximum."""

from __future__ import annotations

from ziggurat.services.clock import running_clock

__all__ = ["Tokens"]

ROUNDING = 1e-9
"""Tokens. Ten times a tenth must make one, and a wait that was computed must suffice."""


class Tokens:
    """Tokens, full at first. Takes the time from the running event loop.

    Args:
        maximum: how many there are at most.
        per_second: how many come back each second; 0 for none.
    """

    __slots__ = ("_left", "_since", "maximum", "per_second")

    def __init__(self, maximum: float, per_second: float) -> None:
        self.maximum = maximum
        self.per_second = per_second
        self._left = float(maximum)
        self._since: float | None = None

    @property
    def left(self) -> float:
        """How many there are now."""
        now = running_clock()()
        # Another event loop's clock may be behind; then no time has passed.
        if self._since is not None and now > self._since:
            self._left = min(self.maximum, self._left + (now - self._since) * self.per_second)
        self._since = now
        return self._left

    @property
    def idle(self) -> bool:
        """Whether it is full, and so as new."""
        return self.left >= self.maximum - ROUNDING

    def take(self) -> bool:
        """Take one if there is a whole one; return whether there was."""
        if self.left < 1.0 - ROUNDING:
            return False
        self._left = max(0.0, self._left - 1.0)
        return True

    def add(self, amount: float) -> None:
        """Put tokens back; those beyond the maximum are lost."""
        self._left = min(self.maximum, self.left + amount)

    @property
    def wait(self) -> float:
        """Seconds until there is a whole one; 0.0 if there is one, infinite if none ever comes."""
        missing = 1.0 - self.left
        if missing <= ROUNDING:
            return 0.0
        return missing / self.per_second if self.per_second else float("inf")
