"""A time limit on one or several phases of a dial."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType

from anyio import CancelScope

from ziggurat.services.attempt import current_ledger
from ziggurat.services.clock import running_clock
from ziggurat.services.errors import ConnectTimeout
from ziggurat.services.phase import Phase
from ziggurat.services.validation import check_seconds

__all__ = ["Limit", "expired_limit"]


class Limit:
    """A context manager that limits the time of one or several phases.

    A result that is ready when the limit runs out is still returned. An inner `ConnectTimeout` keeps its name.

    Args:
        seconds: a positive number of seconds; ``None`` for no limit.
        name: the name of the limit, for the error.

    Raises:
        ValueError: ``seconds`` is not positive and finite.
        TypeError: ``seconds`` is not a number.
        ConnectTimeout: the limit ran out; the error names the phase that was running.
    """

    __slots__ = ("_clock", "_scope", "_token", "name", "seconds")

    def __init__(self, seconds: float | None, name: str) -> None:
        check_seconds(f"the limit {name!r}", seconds)
        self.seconds = seconds
        self.name = name
        self._scope: CancelScope | None = None

    @property
    def left(self) -> float | None:
        """Seconds until the limit runs out, at least 0; ``None`` without a limit and before it is entered."""
        return None if self._scope is None else max(0.0, self._scope.deadline - self._clock())

    def __enter__(self) -> Limit:
        if self.seconds is not None:
            self._clock = running_clock()
            self._scope = CancelScope(deadline=self._clock() + self.seconds)
            self._scope.__enter__()
            self._token: Token[tuple[Limit, ...]] = _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._scope is None:
            return
        _entered.reset(self._token)
        self._scope.__exit__(kind, error, trace)
        # Our limit ran out only if our own scope caught the cancellation; an inner Limit's is not ours.
        if self._scope.cancelled_caught:
            timeout, entry = self._timeout()
            if entry is not None:
                entry.outcome = "timeout"
            try:
                raise timeout from None
            finally:
                del timeout  # this frame is in its traceback: the two would form a cycle

    def _timeout(self) -> tuple[ConnectTimeout, Phase | None]:
        """Return the error of this limit, and the phase that it cut off."""
        assert self._scope is not None
        assert self.seconds is not None
        timeout, ledger = ConnectTimeout(self.seconds, self.name), current_ledger()
        entry = None if ledger is None else ledger._interrupted(self._scope.deadline)  # pyright: ignore[reportPrivateUsage]
        if entry is not None:
            timeout.phase, timeout.via, timeout.hint = entry.name, entry.via, entry.hint
        return timeout, entry


_entered: ContextVar[tuple[Limit, ...]] = ContextVar("ziggurat_limits", default=())


def expired_limit() -> ConnectTimeout | None:
    """Return the error of the outermost `Limit` around this call that has run out; ``None`` if none has.

    It tells a layer that is being cancelled whether a limit above is the reason, before that limit raises.
    """
    for limit in _entered.get():
        if limit.left == 0.0:
            return limit._timeout()[0]  # pyright: ignore[reportPrivateUsage]
    return None
