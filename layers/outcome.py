"""How a dial ended, as metrics and traces tell it."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from anyio import get_cancelled_exc_class

from ziggurat.services import errors
from ziggurat.services.errors import ConnectError, ConnectTimeout
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import expired_limit
from ziggurat.services.phase import Phase, current_label

__all__ = ["OTHER", "OUTCOMES", "Outcome", "Span", "error_kind", "outcome_of"]

Outcome: TypeAlias = Literal["ok", "failed", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

OTHER = "other"
"""Stands for whatever has no name of its own here, so that the number of names is bounded."""

_KINDS = {name for name in errors.__all__ if issubclass(getattr(errors, name), ConnectError)}


def outcome_of(error: BaseException | None, ledger: Ledger) -> tuple[Outcome, BaseException | None]:
    """Return how a dial ended, and its error, if it has one.

    A dial that a limit above or a call's deadline cut off has failed with the error of that. One that the caller no
    longer wanted is cancelled, and has none.

    Args:
        error: what the layer saw; ``None`` for a success.
        ledger: the record of the dial.
    """
    if error is None:
        return "ok", None
    if not isinstance(error, get_cancelled_exc_class()):
        return "failed", error
    given_up = ledger.error
    reason = given_up if isinstance(given_up, ConnectTimeout) else expired_limit()
    return ("cancelled", None) if reason is None else ("failed", reason)


def error_kind(error: BaseException) -> str:
    """Return the name of the nearest class of our tree of errors, and `OTHER` for an error that is in none of it."""
    for cls in type(error).__mro__:
        if cls.__module__ == errors.__name__ and cls.__name__ in _KINDS:
            return cls.__name__
    return OTHER


class Span:
    """The part of a dial that a layer sees: from its call to the end of the dial, and of its own branch only.

    Attributes:
        ledger: the record of the dial.
        start: seconds from the start of the dial to the layer's call.
    """

    __slots__ = ("_first", "_label", "ledger", "start")

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.start = ledger.elapsed
        self._first = len(ledger.phases)
        self._label = current_label()

    @property
    def phases(self) -> list[Phase]:
        """The phases that have ended, in the order in which they began.

        Below a layer that retries or races, the phases of other attempts and branches stand in the same ledger.
        """
        attempt, branch = self._label
        return [
            entry
            for entry in self.ledger.phases[self._first :]
            if entry.elapsed is not None
            and (attempt is None or entry.attempt == attempt)
            and (branch is None or f"{entry.branch}/".startswith(f"{branch}/"))
        ]
