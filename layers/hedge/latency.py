"""How long dials take: a quantile of the last ones."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

from ziggurat.services.validation import check_count, check_number

__all__ = ["LatencyQuantile"]


class LatencyQuantile:
    """A quantile of the durations of the last successful dials, of all stacks that have the same object.

    A dial that a hedge has overtaken is counted with the time that it had taken by then. Were it left out, the quantile
    would fall with every hedge, until every dial had one.

    Args:
        quantile: between 0.0 and 1.0, both excluded; 0.95 lets one dial in twenty be hedged.
        window: how many dials are remembered.
        minimum: how many dials there must be before there is a quantile; until then nothing is hedged.

    Raises:
        TypeError, ValueError: a number is out of range; the message names it.
    """

    __slots__ = ("_minimum", "_quantile", "_recent", "_sorted", "_window")

    def __init__(self, quantile: float = 0.95, *, window: int = 200, minimum: int = 20) -> None:
        check_number("quantile", quantile)
        if not 0 < quantile < 1:
            raise ValueError(f"quantile must be above 0.0 and below 1.0, not {quantile!r}")
        check_count("window", window, optional=False)
        check_count("minimum", minimum, maximum=window, optional=False)
        self._quantile = quantile
        self._window = window
        self._minimum = minimum
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    @property
    def seconds(self) -> float | None:
        """The quantile in seconds; ``None`` while there are too few dials."""
        count = len(self._sorted)
        if count < self._minimum:
            return None
        return self._sorted[min(count - 1, math.ceil(self._quantile * count) - 1)]

    def record(self, seconds: float) -> None:
        """Add the duration of a dial, in seconds."""
        if len(self._recent) == self._window:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(seconds)
        insort(self._sorted, seconds)

    def __repr__(self) -> str:
        return f"LatencyQuantile({self._quantile:g}, window={self._window}, minimum={self._minimum})"
