"""One attempt to connect within a dial; `Dial.attempt` and `Dial.trial` are the public interface."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from anyio import get_cancelled_exc_class

from ziggurat.services.errors import AllFailed, ConnectError, copy_error
from ziggurat.services.ledger import Ledger
from ziggurat.services.phase import Phase

__all__ = ["Attempt", "current_attempt", "current_ledger", "fill_in"]


class Attempt:
    """One attempt to connect within a dial, and the callbacks for its outcome.

    Args:
        ledger: the record of the dial.
        outer: for a trial, the attempt that it is part of; its success is no outcome yet, and passes to that one.
    """

    __slots__ = ("callbacks", "ledger", "outer", "phases")

    def __init__(self, ledger: Ledger, outer: Attempt | None = None) -> None:
        self.ledger = ledger
        self.outer = outer
        self.callbacks: list[Callable[[BaseException | None], object]] | None = []
        self.phases: list[Phase] = []  # of a trial

    def began(self, entry: Phase) -> None:
        """Add a phase to the record."""
        self.ledger.phases.append(entry)
        if self.outer is not None:
            self.phases.append(entry)

    def end(self, error: BaseException | None) -> None:
        if self.callbacks is None:
            return
        callbacks, self.callbacks = self.callbacks, None
        if self.outer is None:
            if self.ledger.error is None and error is not None:
                self.ledger.error = _record(error, self.ledger)
        elif error is not None:
            for entry in self.phases:
                entry.discarded = True
        elif self.outer.callbacks is not None:
            self.outer.callbacks += callbacks
            self.outer.phases += self.phases
            return
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
        if isinstance(kept, AllFailed):
            kept.errors = tuple(_record(each, ledger) for each in kept.errors)
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
