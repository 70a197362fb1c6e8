"""The record of a dial: its phases, with the time, the proxy and the outcome of each."""

from __future__ import annotations

import copy
import secrets

from ziggurat.services.clock import running_clock
from ziggurat.services.errors import ConnectError, copy_error
from ziggurat.services.phase import Phase
from ziggurat.services.uri import Uri

__all__ = ["Ledger"]


class Ledger:
    """The phases of one dial, in the order in which they began.

    Attributes:
        target: the target of the dial. Proxies on the way are in the ``via`` of the phases.
        phases: the phases so far; the list grows while the dial runs.
        sent_to_target: whether a byte was sent to the target itself, directly or through an open tunnel.
        error: a copy of the last attempt's error, whose own ``ledger`` is ``None``, since this is it. ``None`` while an
            attempt runs and after a success.
    """

    __slots__ = ("_clock", "_ended", "_id", "_start", "error", "phases", "sent_to_target", "target")

    def __init__(self, target: Uri) -> None:
        self.target = target
        self.phases: list[Phase] = []
        self.sent_to_target = False
        self.error: ConnectError | None = None
        self._clock = running_clock()
        self._start = self._clock()
        self._ended: float | None = None
        self._id: str | None = None

    @property
    def id(self) -> str:
        """Eight hex digits that identify this dial in a log."""
        if self._id is None:
            self._id = secrets.token_hex(4)
        return self._id

    @property
    def elapsed(self) -> float:
        """Seconds from the start of the dial to its end, or until now while it runs."""
        return (self._clock() if self._ended is None else self._ended) - self._start

    @property
    def running(self) -> bool:
        """Whether the dial is under way."""
        return self._ended is None

    def note(self, name: str, text: str, *, via: str | None = None) -> None:
        """Add a phase that took no time, with outcome ``ok`` and ``text`` as its note."""
        entry = Phase(name, via, None, self._now())
        entry.elapsed, entry.outcome, entry.note = 0.0, "ok", text
        self.phases.append(entry)

    def give_up(self, error: ConnectError) -> None:
        """Record why the dial is about to be cancelled, so that its layers can report it."""
        self.error = copy_error(error)
        self.error.ledger = self.error.__cause__ = None  # either may refer to this ledger

    def snapshot(self) -> Ledger:
        """Return a copy that does not change any more. Phases under way have their time until now."""
        taken = copy.copy(self)
        taken.phases = [copy.copy(entry) for entry in self.phases]
        for entry in taken.phases:
            if entry.elapsed is None:
                entry.elapsed = taken.elapsed - entry.start
        return taken

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        # The clock belongs to the event loop. A copy is the record until now and does not run on.
        state: dict[str, object] = {name: getattr(self, name) for name in self.__slots__ if name != "_clock"}
        state["_ended"] = self._clock() if self._ended is None else self._ended
        return None, state

    def __str__(self) -> str:
        """The phases in one line: ``tcp 0.01 s, proxy.connect 1.20 s``."""
        return ", ".join(f"{p.name} {0.0 if p.elapsed is None else p.elapsed:.2f} s" for p in self.phases)

    def __repr__(self) -> str:
        return f"Ledger({self.target}: {self.phases})"

    def _now(self) -> float:
        return self._clock() - self._start

    def _end(self) -> None:
        self._ended = self._clock()

    def _interrupted(self, deadline: float) -> Phase | None:
        # Phases nest and may race. Of those that this deadline cut off, the last to begin is where the time went.
        # The microsecond is for rounding: the sum may miss the deadline by the last bit.
        for entry in reversed(self.phases):
            if entry.outcome == "cancelled" and self._start + entry.start + (entry.elapsed or 0.0) >= deadline - 1e-6:
                return entry
        return None
