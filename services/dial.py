"""A dial: one pass down a stack, recorded in a ledger that all its layers share.

Every layer and leaf runs its whole call inside `dial`, and each step of it inside `phase`::

    async def __call__(self, uri: Uri) -> ByteStream:
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                with phase("my.step", via="gateway", limit=2.0):
                    await stream.send(b"hello")
                return current.established(stream)

`dial` joins the dial under way in this context or opens one; the opener owns it. The ledger travels in the error or,
on success, as the stream's typed attribute `DialAttribute.ledger`.

A layer sees only what is below it. To learn how the whole dial ended, HTTP/2 included, it registers a callback with
`Dial.on_outcome`. The callback runs at the end of the endpoint's `Dial.attempt`, or of the dial if there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from types import TracebackType

from anyio import get_cancelled_exc_class
from anyio.abc import ByteStream

from ziggurat.services.attempt import Attempt, current_attempt, fill_in
from ziggurat.services.errors import ConnectError, ConnectTimeout
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.stream import observed
from ziggurat.services.uri import Uri

__all__ = ["Dial", "dial", "phase"]


class Dial:
    """A call's part in a dial, as a context manager; created by `dial`."""

    __slots__ = ("_attempt", "_target", "_token", "ledger", "owner")

    ledger: Ledger
    """The record, shared by all layers of the dial."""
    owner: bool
    """Whether this call opened the dial, so that it attaches the ledger to the result."""

    def __init__(self, target: Uri) -> None:
        self._target = target

    def __enter__(self) -> Dial:
        current = current_attempt.get()
        # A task that outlives its dial still sees it in its context, but must open a new one.
        self.owner = current is None or current.callbacks is None or not current.ledger.running
        if current is None or self.owner:
            current = Attempt(Ledger(self._target))
            self._token = current_attempt.set(current)
        self._attempt = current
        self.ledger = current.ledger
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fill_in(error, self.ledger)
        if self.owner:
            self.ledger._end()  # pyright: ignore[reportPrivateUsage]
            current_attempt.reset(self._token)
            self._attempt.end(error)

    def attempt(self) -> _AttemptScope:
        """Mark one attempt to connect as a ``with`` block; its end is the outcome for the layers inside.

        `Endpoint` wraps each of its dials, up to the peer's SETTINGS, in an attempt. The outcome is thus known before a
        longer dial of the caller ends, and each of several attempts in one dial has its own.
        """
        return _AttemptScope(Attempt(self.ledger))

    def trial(self) -> _AttemptScope:
        """Mark one of several tries of a layer, in turn or at once, as a ``with`` block.

        If the block raises, that is the outcome for the layers inside, and the phases of the trial are `discarded
        <Phase.discarded>`. If it ends, their outcome is that of the attempt around it, which may still fail.
        """
        return _AttemptScope(Attempt(self.ledger, self._attempt))

    def on_outcome(self, callback: Callable[[BaseException | None], object]) -> None:
        """Call ``callback(error)`` once, when the attempt under way has ended; ``None`` means success.

        The attempt is the innermost `attempt` around this call, or the whole dial. The callback must not raise.
        """
        if self._attempt.callbacks is not None:
            self._attempt.callbacks.append(callback)

    def established(self, stream: ByteStream) -> ByteStream:
        """Return an open stream to the caller. The dial's owner attaches the ledger; other layers return it unchanged.

        Our own streams have an attribute for the ledger; a foreign stream is wrapped.
        """
        if not self.owner:
            return stream
        ours = observed(stream)
        ours.ledger = self.ledger
        return ours


class _AttemptScope:
    __slots__ = ("_attempt", "_token")

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __enter__(self) -> None:
        if self._attempt.outer is None:
            self._attempt.ledger.error = None
        self._token: Token[Attempt | None] = current_attempt.set(self._attempt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current_attempt.reset(self._token)
        fill_in(error, self._attempt.ledger)
        self._attempt.end(error)


def dial(target: Uri) -> Dial:
    """Join the dial under way in this context, or open one to ``target``."""
    return Dial(target)


class _PhaseScope:
    __slots__ = ("_entry", "_ledger", "_limit", "_name", "_own", "_via")

    def __init__(self, name: str, via: str | None, limit: float | Limit | None) -> None:
        self._name = name
        self._via = via
        self._own = Limit(limit, name) if isinstance(limit, (int, float)) else None
        self._limit = limit if isinstance(limit, Limit) else self._own

    def __enter__(self) -> Phase:
        attempt = current_attempt.get()
        if attempt is None or not attempt.ledger.running:
            raise RuntimeError(f"phase({self._name!r}) outside of a dial: put `with dial(uri):` around the call")
        if self._own is not None:
            self._own.__enter__()
        left = None if self._limit is None else self._limit.left
        self._ledger = ledger = attempt.ledger
        self._entry = Phase(self._name, self._via, left, ledger._now())  # pyright: ignore[reportPrivateUsage]
        attempt.began(self._entry)
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
    """Record a ``with`` block as one step of the current dial.

    Args:
        name: a dotted name, e.g. ``proxy.connect``; a user's layer may choose its own.
        via: the proxy or address that the step deals with; ``None`` for the target itself.
        limit: the limit of this step in seconds, which is enforced; or a `Limit` already entered around several steps,
            each of which records the time left; ``None`` for no limit.

    Raises:
        ConnectTimeout: the limit of this step ran out.
        RuntimeError: no dial is under way.
    """
    return _PhaseScope(name, via, limit)
