"""The record of a dial: which phase took how long, through what, and where it ended.

Every layer and leaf runs its whole call inside `dial`, and each step of it inside `phase`::

    async def __call__(self, uri: Uri) -> ByteStream:
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                with phase("my.step", via="gateway", limit=2.0):
                    await stream.send(b"hello")
                return current.established(stream)

`dial` joins the dial that is under way or opens one; who opened it owns it. The ledger travels in the error, and on
success as the stream's typed attribute `DialAttribute.ledger`.
"""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from types import TracebackType

from anyio import CancelScope, get_cancelled_exc_class
from anyio.abc import ByteStream

from ziggurat.services.clock import running_clock
from ziggurat.services.errors import ConnectError, ConnectTimeout
from ziggurat.services.phase import Phase
from ziggurat.services.stream import observed
from ziggurat.services.uri import Uri

__all__ = ["Dial", "Ledger", "Limit", "dial", "phase"]


class Ledger:
    """The phases of one dial, in the order in which they began.

    Attributes:
        target: where the dial goes; a proxy that it passes is in the phases' ``via``.
        phases: what happened so far. Grows while the dial runs.
        sent_to_target: whether a byte has gone to the target itself, through an open tunnel or directly.
    """

    __slots__ = ("_clock", "_ended", "_id", "_start", "phases", "sent_to_target", "target")

    def __init__(self, target: Uri) -> None:
        self.target = target
        self.phases: list[Phase] = []
        self.sent_to_target = False
        self._clock = running_clock()
        self._start = self._clock()
        self._ended: float | None = None
        self._id: str | None = None

    @property
    def id(self) -> str:
        """Eight hex digits that tell this dial from others in a log."""
        if self._id is None:
            self._id = secrets.token_hex(4)
        return self._id

    @property
    def elapsed(self) -> float:
        """Seconds from the start of the dial to its end, or to now while it runs."""
        return (self._clock() if self._ended is None else self._ended) - self._start

    @property
    def running(self) -> bool:
        """Whether the dial is under way."""
        return self._ended is None

    def note(self, name: str, text: str, *, via: str | None = None) -> None:
        """Enter something that took no time, as a phase of its own with outcome ``ok``."""
        entry = Phase(name, via, None, self._now())
        entry.elapsed, entry.outcome, entry.note = 0.0, "ok", text
        self.phases.append(entry)

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        # The clock is the event loop's: a copy is a record of what happened up to now, and runs no further.
        state: dict[str, object] = {name: getattr(self, name) for name in self.__slots__ if name != "_clock"}
        state["_ended"] = self._clock() if self._ended is None else self._ended
        return None, state

    def __str__(self) -> str:
        """The waterfall in one line: ``tcp 0.01 s, proxy.connect 1.20 s``."""
        return ", ".join(f"{p.name} {0.0 if p.elapsed is None else p.elapsed:.2f} s" for p in self.phases)

    def __repr__(self) -> str:
        return f"Ledger({self.target}: {self.phases})"

    def _now(self) -> float:
        return self._clock() - self._start

    def _end(self) -> None:
        self._ended = self._clock()

    def _interrupted(self, deadline: float) -> Phase | None:
        # Phases nest and may race: of those that this deadline cut off, the last to begin is where the time went.
        # The microsecond is for rounding: the sum may miss the deadline at which the phase ended by the last bit.
        for entry in reversed(self.phases):
            if entry.outcome == "cancelled" and self._start + entry.start + (entry.elapsed or 0.0) >= deadline - 1e-6:
                return entry
        return None


_current: ContextVar[Ledger | None] = ContextVar("ziggurat_dial", default=None)


class Dial:
    """A call's part in a dial; made by `dial`, used as a context manager."""

    __slots__ = ("_target", "_token", "ledger", "owner")

    ledger: Ledger
    """The record; shared by every layer of the dial."""
    owner: bool
    """Whether this call opened the dial, and so hands it to the caller."""

    def __init__(self, target: Uri) -> None:
        self._target = target

    def __enter__(self) -> Dial:
        current = _current.get()
        # A task that a layer left behind still sees its dial, long ended: its own dials are new ones.
        self.owner = current is None or not current.running
        if current is None or self.owner:
            current = Ledger(self._target)
            self._token = _current.set(current)
        self.ledger = current
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ConnectError) and error.ledger is None:
            error.target = self.ledger.target
            error.elapsed = self.ledger.elapsed
            error.ledger = self.ledger
            error.sent_to_target = self.ledger.sent_to_target
        if self.owner:
            self.ledger._end()  # pyright: ignore[reportPrivateUsage]
            _current.reset(self._token)

    def established(self, stream: ByteStream) -> ByteStream:
        """Hand on an open stream: the dial's owner puts the ledger on it, every other layer returns it as it is.

        Our own streams carry the ledger themselves; a foreign stream is wrapped.
        """
        if not self.owner:
            return stream
        ours = observed(stream)
        ours.ledger = self.ledger
        return ours


def dial(target: Uri) -> Dial:
    """Join the dial that is under way in this context, or open one to ``target``."""
    return Dial(target)


class Limit:
    """A time limit as a context manager, over one phase or several.

    A result that is there when the limit runs out beats it; an inner `ConnectTimeout` keeps its name.

    Args:
        seconds: positive; ``None`` for no limit.
        name: whose limit it is, for the error.

    Raises:
        ValueError: ``seconds`` is not positive.
        ConnectTimeout: the time ran out; it names the phase that was running.
    """

    __slots__ = ("_clock", "_scope", "name", "seconds")

    def __init__(self, seconds: float | None, name: str) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"the limit {name!r} must be positive or None, not {seconds!r}")
        self.seconds = seconds
        self.name = name
        self._scope: CancelScope | None = None

    @property
    def left(self) -> float | None:
        """Seconds until it runs out, at least 0; ``None`` without a limit or before it was entered."""
        return None if self._scope is None else max(0.0, self._scope.deadline - self._clock())

    def __enter__(self) -> Limit:
        if self.seconds is not None:
            self._clock = running_clock()
            self._scope = CancelScope(deadline=self._clock() + self.seconds)
            self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._scope is None or self.seconds is None:
            return
        self._scope.__exit__(kind, error, trace)
        # An inner Limit's own cancellation is not ours: only what our scope caught is our time running out.
        if self._scope.cancelled_caught:
            timeout = ConnectTimeout(self.seconds, self.name)
            ledger = _current.get()
            entry = None if ledger is None else ledger._interrupted(self._scope.deadline)  # pyright: ignore[reportPrivateUsage]
            if entry is not None:
                entry.outcome = "timeout"
                timeout.phase, timeout.via = entry.name, entry.via
            try:
                raise timeout from None
            finally:
                del timeout  # this frame is in its traceback: together they would wait for the next collection


class _PhaseScope:
    __slots__ = ("_entry", "_ledger", "_limit", "_name", "_own", "_via")

    def __init__(self, name: str, via: str | None, limit: float | Limit | None) -> None:
        self._name = name
        self._via = via
        self._own = Limit(limit, name) if isinstance(limit, (int, float)) else None
        self._limit = limit if isinstance(limit, Limit) else self._own

    def __enter__(self) -> Phase:
        ledger = _current.get()
        if ledger is None or not ledger.running:
            raise RuntimeError(f"phase({self._name!r}) outside of a dial: put `with dial(uri):` around the call")
        if self._own is not None:
            self._own.__enter__()
        left = None if self._limit is None else self._limit.left
        self._ledger = ledger
        self._entry = Phase(self._name, self._via, left, ledger._now())  # pyright: ignore[reportPrivateUsage]
        ledger.phases.append(self._entry)
        return self._entry

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry = self._entry
        entry.elapsed = self._ledger._now() - entry.start  # pyright: ignore[reportPrivateUsage]
        if error is None:
            entry.outcome = "ok"
        elif isinstance(error, get_cancelled_exc_class()):
            entry.outcome = "cancelled"
        else:
            entry.outcome = "timeout" if isinstance(error, ConnectTimeout) else "failed"
            if isinstance(error, ConnectError) and error.phase is None:
                error.phase, error.via = entry.name, entry.via
        if self._own is not None:
            self._own.__exit__(kind, error, trace)


def phase(name: str, *, via: str | None = None, limit: float | Limit | None = None) -> _PhaseScope:
    """Enter one step of the current dial in its ledger, for the length of a ``with`` block.

    Args:
        name: dotted, e.g. ``proxy.connect``; a user's layer adds its own.
        via: the proxy or address that the step deals with; ``None`` for the target itself.
        limit: seconds for this step alone, enforced; or a `Limit` that was entered around several steps, of which
            each records what was left; ``None`` for no limit.

    Raises:
        ConnectTimeout: its own limit ran out.
        RuntimeError: there is no dial under way.
    """
    return _PhaseScope(name, via, limit)
