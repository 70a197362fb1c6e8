"""A dial: one walk down a stack, recorded in a ledger that all its layers share.

Every layer and leaf runs its whole call inside `dial`, and each step of it inside `phase`::

    async def __call__(self, uri: Uri) -> ByteStream:
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                with phase("my.step", via="gateway", limit=2.0):
                    await stream.send(b"hello")
                return current.established(stream)

`dial` joins the dial under way in this context or opens one; the opener owns it. The ledger travels in the error, and
on success as the stream's typed attribute `DialAttribute.ledger`.

A layer sees only what is below it. To learn how the dial as a whole ended, HTTP/2 included, it registers a callback
with `Dial.on_outcome`; an endpoint reports the outcome at the end of its `Dial.attempt`, and the owner of the dial
reports whatever is left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from types import TracebackType

from anyio import get_cancelled_exc_class
from anyio.abc import ByteStream

from ziggurat.services.attempt import Attempt, current_attempt, current_ledger, fill_in
from ziggurat.services.errors import ConnectError, ConnectTimeout
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.stream import observed
from ziggurat.services.uri import Uri

__all__ = ["Dial", "dial", "phase"]


class Dial:
    """A call's part in a dial; made by `dial`, used as a context manager."""

    __slots__ = ("_attempt", "_target", "_token", "ledger", "owner")

    ledger: Ledger
    """The record; shared by every layer of the dial."""
    owner: bool
    """Whether this call opened the dial, and so hands it to the caller."""

    def __init__(self, target: Uri) -> None:
        self._target = target

    def __enter__(self) -> Dial:
        current = current_attempt.get()
        # A task that a layer left behind still sees its dial, long ended: its own dials are new ones.
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
        """Mark one attempt to connect, for the length of a ``with`` block. Its end is the outcome of the layers inside.

        `Endpoint` puts its dial into one, up to the peer's SETTINGS, so that an outcome is known before the caller of a
        longer dial is done, and so that several attempts in one dial each have their own.
        """
        return _AttemptScope(self.ledger)

    def on_outcome(self, callback: Callable[[BaseException | None], object]) -> None:
        """Call ``callback(error)`` once, when the attempt under way has ended; ``None`` stands for success.

        That is the end of the innermost `attempt` around the call, or of the dial. It must not raise.
        """
        if self._attempt.callbacks is not None:
            self._attempt.callbacks.append(callback)

    def established(self, stream: ByteStream) -> ByteStream:
        """Hand on an open stream: the dial's owner puts the ledger on it, every other layer returns it as it is.

        Our own streams carry the ledger themselves; a foreign stream is wrapped.
        """
        if not self.owner:
            return stream
        ours = observed(stream)
        ours.ledger = self.ledger
        return ours


class _AttemptScope:
    __slots__ = ("_attempt", "_token")

    def __init__(self, ledger: Ledger) -> None:
        self._attempt = Attempt(ledger)

    def __enter__(self) -> None:
        self._attempt.ledger.error = None
        self._token: Token[Attempt | None] = current_attempt.set(self._attempt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current_attempt.reset(self._token)
        fill_in(error, self._attempt.ledger)
        self._attempt.end(error)


def dial(target: Uri) -> Dial:
    """Join the dial that is under way in this context, or open one to ``target``."""
    return Dial(target)


class _PhaseScope:
    __slots__ = ("_entry", "_ledger", "_limit", "_name", "_own", "_via")

    def __init__(self, name: str, via: str | None, limit: float | Limit | None) -> None:
        self._name = name
        self._via = via
        self._own = Limit(limit, name) if isinstance(limit, (int, float)) else None
        self._limit = limit if isinstance(limit, Limit) else self._own

    def __enter__(self) -> Phase:
        ledger = current_ledger()
        if ledger is None:
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
