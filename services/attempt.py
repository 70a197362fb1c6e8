"""One attempt to connect within a dial; `Dial.attempt` is the public interface."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from anyio import get_cancelled_exc_class

from ziggurat.services.errors import ConnectError, copy_error
from ziggurat.services.ledger import Ledger

__all__ = ["Attempt", "current_attempt", "current_ledger", "fill_in"]


class Attempt:
    """One attempt to connect within a dial, and the callbacks for its outcome."""

    __slots__ = ("callbacks", "ledger")

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.callbacks: list[Callable[[BaseException | None], object]] | None = []

    def end(self, error: BaseException | None) -> None:
        if self.callbacks is None:
            return
        callbacks, self.callbacks = self.callbacks, None
        if self.ledger.error is None and error is not None:
            self.ledger.error = _record(error, self.ledger)
        for callback in callbacks:
            callback(error)


current_attempt: ContextVar[Attempt | None] = ContextVar("ziggurat_dial", default=None)


def fill_in(error: BaseException | None, ledger: Ledger) -> None:
    if isinstance(error, ConnectError) and error.ledger is None:
        error.target = ledger.target
        error.elapsed = ledger.elapsed
        error.ledger = ledger
        error.sent_to_target = ledger.sent_to_target


def _record(error: BaseException, ledger: Ledger) -> ConnectError:
    # A copy, since the error refers to the ledger, and so do the frames in its cause's traceback: a cycle.
    if isinstance(error, ConnectError):
        kept = copy_error(error)
        kept.__cause__ = None
    else:
        cancelled = isinstance(error, get_cancelled_exc_class())
        kept = ConnectError("the dial was cancelled" if cancelled else f"{type(error).__name__}: {error}")
        fill_in(kept, ledger)
        ended = next((entry for entry in reversed(ledger.phases) if entry.outcome != "ok"), None)
        if ended is not None:
            kept.phase, kept.via = ended.name, ended.via
    kept.ledger = None
    return kept


def current_ledger() -> Ledger | None:
    """Return the record of the dial under way in this context; ``None`` if there is none."""
    current = current_attempt.get()
    return None if current is None or not current.ledger.running else current.ledger
