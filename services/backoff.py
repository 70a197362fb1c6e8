"""The delay between failed dials of the same target."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from ziggurat.services.validation import check_seconds

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter; the defaults are those of gRPC's "connection-backoff" document.

    Args:
        initial: delay after the first failure, in seconds.
        factor: growth of the delay with each further failure; 1.0 keeps it constant.
        jitter: random share added to or taken from each delay, so that many clients do not redial at the same moment;
            from 0.0 (none) to below 1.0.
        maximum: upper bound of the delay before jitter, in seconds.
        rng: function that returns a number from 0.0 to 1.0; for tests.

    Raises:
        ValueError: a number is out of range; the message names it.
        TypeError: an argument has the wrong type.
    """

    initial: float = 1.0
    _: KW_ONLY
    factor: float = 1.6
    jitter: float = 0.2
    maximum: float = 120.0
    rng: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_seconds("initial", self.initial, optional=False)
        check_seconds("maximum", self.maximum, optional=False)
        for name in ("factor", "jitter"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {value!r}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1.0, not {self.factor!r}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter must be at least 0.0 and below 1.0, not {self.jitter!r}")
        if self.maximum < self.initial:
            raise ValueError(f"maximum must be at least initial ({self.initial!r}), not {self.maximum!r}")
        if not callable(self.rng):
            raise TypeError(f"rng must be a function without arguments, not {self.rng!r}")

    def delay(self, failures: int) -> float:
        """Return the delay in seconds after ``failures`` failed dials in a row (at least 1)."""
        try:
            grown = self.initial * self.factor ** (failures - 1)
        except OverflowError:  # after thousands of failures
            grown = self.maximum
        return min(grown, self.maximum) * (1 + self.jitter * (2 * self.rng() - 1))
