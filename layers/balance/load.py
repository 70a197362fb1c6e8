"""How busy an endpoint is, as a number: of two endpoints the one with the smaller number is dialled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ziggurat.services.validation import check_seconds

__all__ = ["Load", "Meter", "PeakEwma", "PendingLoad"]

UNMEASURED = 1000.0
"""Seconds that a dial is taken to last at an endpoint that is being dialled for the first time: while that dial runs,
every endpoint that has been measured is preferred, and of those that have not, the one with fewer dials."""


FLOOR = 0.0001
"""Seconds: the least that a dial is taken to last. Below it, as after a long time without dials, the number of streams
decides alone; an estimate of nothing would make it count for nothing."""


class Meter(Protocol):
    """The load of one endpoint."""

    def measured(self, seconds: float, now: float, /) -> None:
        """Note that a dial took ``seconds`` and ended at ``now``, on the event loop's clock."""
        ...

    def abandoned(self, seconds: float, now: float, /) -> None:
        """Note that a dial was cancelled at ``now``, after ``seconds``: it would have taken longer."""
        ...

    def cost(self, pending: int, waited: float, now: float, /) -> float:
        """Return the load; less is better.

        Args:
            pending: dials under way and open streams.
            waited: seconds since the oldest dial under way began; 0.0 if there is none.
            now: the event loop's clock.
        """
        ...


class Load(Protocol):
    """A kind of load: frozen configuration that makes a `Meter` for each endpoint."""

    def meter(self, /) -> Meter:
        """Return the meter of an endpoint that was not dialled yet."""
        ...


@dataclass(frozen=True, slots=True)
class PendingLoad:
    """The number of dials under way and of open streams; for endpoints that are all equally far."""

    def meter(self) -> Meter:
        return _Count()


class _Count:
    __slots__ = ()

    def measured(self, seconds: float, now: float, /) -> None:
        pass

    def abandoned(self, seconds: float, now: float, /) -> None:
        pass

    def cost(self, pending: int, waited: float, now: float, /) -> float:
        return float(pending)


@dataclass(frozen=True, slots=True)
class PeakEwma:
    """The duration of a dial, times the dials and streams that there would be with one more.

    The duration is a moving average that rises to a peak at once and falls slowly. Without dials it falls, too, so that
    an endpoint that was slow is tried again. A dial under way counts with the time that it has taken so far, and a
    cancelled one as if it had ended then: an endpoint that no longer answers is left alone before its dials time out.
    A failed dial is not measured, however fast it failed; the endpoint's backoff deals with it.

    Args:
        decay: seconds after which about a third (1/e) of a peak is left.

    Raises:
        TypeError, ValueError: ``decay`` is wrong.
    """

    decay: float = 10.0

    def __post_init__(self) -> None:
        check_seconds("decay", self.decay, optional=False)

    def meter(self) -> Meter:
        return _Average(self.decay)


class _Average:
    __slots__ = ("_at", "_decay", "_estimate")

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._estimate: float | None = None
        self._at = 0.0

    def measured(self, seconds: float, now: float, /) -> None:
        left = 0.0 if self._estimate is None else math.exp(-max(0.0, now - self._at) / self._decay)
        known = self._estimate or 0.0
        # Not the decayed value: that one is for an endpoint without news, and this is news.
        self._estimate = seconds if seconds >= known else known * left + seconds * (1.0 - left)
        self._at = now

    def abandoned(self, seconds: float, now: float, /) -> None:
        if seconds > self._now(now):
            self._estimate, self._at = seconds, now

    def cost(self, pending: int, waited: float, now: float, /) -> float:
        if self._estimate is None:
            return UNMEASURED * pending
        return max(self._now(now), waited, FLOOR) * (pending + 1)

    def _now(self, now: float) -> float:
        if self._estimate is None:
            return 0.0
        return self._estimate * math.exp(-max(0.0, now - self._at) / self._decay)
