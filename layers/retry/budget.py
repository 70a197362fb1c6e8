"""A budget of retries, so that a server in trouble is not dialled many times as often as otherwise.

Without one, three attempts triple the load on a server exactly when it cannot answer. The budget is a bucket of tokens:
a retry takes one when it is decided on, before its wait, and is not made if there is none. What retries add to the load
in ``t`` seconds is thus at most ``tokens + per_second * t + per_success * successes``. gRPC throttles retries in the
same way (gRFC A6); the share that comes back with time is tower's ``min_per_sec``, without which a program that dials
rarely could never retry again.
"""

from __future__ import annotations

from ziggurat.layers.tokens import Tokens
from ziggurat.services.validation import check_number

__all__ = ["RetryBudget"]


class RetryBudget:
    """A budget of retries, which stacks share if they are given the same object. It starts full.

    Args:
        tokens: how many retries it holds; at least 1.
        per_success: what each successful dial gives back, in retries; 0.0 for nothing.
        per_second: what each second gives back, in retries; 0.0 for nothing.

    Raises:
        TypeError, ValueError: a number is out of range; the message names it.
    """

    __slots__ = ("_per_success", "_tokens")

    def __init__(self, tokens: float = 10.0, *, per_success: float = 0.1, per_second: float = 0.5) -> None:
        check_number("tokens", tokens, minimum=1)
        check_number("per_success", per_success)
        check_number("per_second", per_second)
        self._per_success = per_success
        self._tokens = Tokens(tokens, per_second)

    @property
    def left(self) -> float:
        """How many retries are left; a fraction is not enough for one. Call it on an event loop."""
        return self._tokens.left

    def withdraw(self) -> bool:
        """Take the token of one retry; return whether there was one."""
        return self._tokens.take()

    def deposit(self) -> None:
        """Give back what a successful dial does."""
        self._tokens.add(self._per_success)

    def ended(self, error: BaseException | None) -> None:
        """Take note of the outcome of a dial; `Dial.on_outcome` calls it."""
        if error is None:
            self.deposit()

    def refund(self) -> None:
        """Give back the token of a retry that was not made."""
        self._tokens.add(1.0)

    def __repr__(self) -> str:
        tokens = self._tokens
        return (
            f"RetryBudget(tokens={tokens.maximum:g}, per_success={self._per_success:g}, "
            f"per_second={tokens.per_second:g})"
        )
