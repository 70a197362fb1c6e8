"""When to dial again, and after how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import cast

from ziggurat.layers.retry.budget import RetryBudget
from ziggurat.services.backoff import Backoff
from ziggurat.services.errors import ConnectError, LimitExceeded
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["RetryPolicy", "nothing_sent"]


def nothing_sent(error: ConnectError) -> bool:
    """Whether the error is transient and came before a byte was sent to the target.

    Such a dial has had no effect at the target, so that another one is not a second one to it.
    """
    return error.transient and not error.sent_to_target


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a `RetryLayer` dials again. Only a `ConnectError` is ever followed by another attempt.

    Args:
        attempts: how many dials there are at most, the first included; ``None`` for no limit, which needs a timeout
            above the layer.
        within: seconds from the start of the first attempt, after which no other one starts; ``None`` for no limit. It
            does not cut an attempt off: put a `TimeoutLayer` above the retry for all attempts, below it for each.
        backoff: the waits. An error that says when to try again, as a circuit breaker's does, makes them longer.
        budget: how many retries there may be, of all stacks that have the same budget; ``None`` for no limit.
        when: whether another attempt makes sense after this error. The ready ones are `nothing_sent`, and
            ``lambda error: error.transient`` to retry a broken TLS handshake with the target, too.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    attempts: int | None = 3
    _: KW_ONLY
    within: float | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(0.2, factor=2.0, jitter=0.5, maximum=10.0))
    budget: RetryBudget | None = None
    when: Callable[[ConnectError], bool] = nothing_sent

    def __post_init__(self) -> None:
        check_count("attempts", self.attempts)
        check_seconds("within", self.within)
        if not isinstance(cast(object, self.backoff), Backoff):
            raise TypeError(f"backoff must be a Backoff, not {self.backoff!r}")
        if not isinstance(cast(object, self.budget), RetryBudget | None):
            raise TypeError(f"budget must be a RetryBudget or None, not {self.budget!r}")
        if not callable(self.when):
            raise TypeError(f"when must be a function of the error, not {self.when!r}")

    def delay(self, errors: Sequence[ConnectError], elapsed: float) -> float | None:
        """Return the seconds to wait before the next attempt; ``None`` if there is to be none.

        The token budget is not asked here.

        Args:
            errors: the errors of the attempts so far, at least one.
            elapsed: seconds since the first attempt began.
        """
        failures, last = len(errors), errors[-1]
        if (self.attempts is not None and failures >= self.attempts) or not self.when(last):
            return None
        delay = self.backoff.delay(failures)
        if isinstance(last, LimitExceeded) and last.retry_after is not None:
            delay = max(delay, last.retry_after)
        # A wait that would use the time up is pointless.
        return None if self.within is not None and elapsed + delay >= self.within else delay

    def __repr__(self) -> str:
        shown = [f"attempts={self.attempts}", f"within={self.within}", f"backoff={self.backoff}"]
        if self.budget is not None:
            shown.append(f"budget={self.budget}")
        if self.when is not nothing_sent:
            shown.append(f"when={getattr(self.when, '__qualname__', repr(self.when))}")
        return f"RetryPolicy({', '.join(shown)})"
