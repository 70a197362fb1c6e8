"""How long to leave a target alone after a failed dial."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from ziggurat.services.validation import check_seconds

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter; the defaults are gRPC's (its document "connection-backoff").

    Args:
        initial: seconds after the first failure.
        factor: how much longer after each further one; 1.0 keeps it constant.
        jitter: the share by which each wait is moved at random, up or down, so that many clients do not return at the
            same moment; 0.0 for none, below 1.0.
        maximum: seconds that it does not grow beyond, before jitter.
        rng: answers with a number from 0.0 to 1.0; a test passes its own.

    Raises:
        ValueError: a number is out of range; the message names it.
        TypeError: it is no number.
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
        """Seconds to wait after so many failed dials in a row, from 1 on."""
        try:
            grown = self.initial * self.factor ** (failures - 1)
        except OverflowError:  # a target that has been dead for a very long time
            grown = self.maximum
        return min(grown, self.maximum) * (1 + self.jitter * (2 * self.rng() - 1))
