"""Run one call and cancel it at a given await, on asyncio and trio.

A coroutine can be driven by hand: each ``send`` runs it to its next suspension. `drive` sits between the call and the
event loop, passes everything through, and counts. Cancelling a scope between the suspension and the loop takes effect
at that very await on both backends, since neither cancels a running task.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import anyio
from anyio.abc import ByteStream

from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Outcome", "call", "drive"]

T = TypeVar("T")


@types.coroutine
def drive(
    coroutine: Coroutine[Any, Any, T], on_suspend: Callable[[], None], on_error: Callable[[BaseException], None]
) -> Generator[Any, Any, T]:
    """Await ``coroutine`` under observation.

    Args:
        coroutine: the coroutine to await.
        on_suspend: called each time the coroutine is about to wait for the event loop.
        on_error: called with each exception that the event loop wakes it with.
    """
    resume: Callable[[Any], object] = coroutine.send
    value: Any = None
    while True:
        try:
            suspended = resume(value)
        except StopIteration as stop:
            result: T = stop.value
            return result
        on_suspend()
        try:
            value = yield suspended
            resume = coroutine.send
            # trio does not throw an exception: it sends an outcome, which the coroutine unwraps.
            if isinstance(error := getattr(value, "error", None), BaseException):
                on_error(error)
        except BaseException as error:
            on_error(error)
            resume, value = cast(Callable[[Any], object], coroutine.throw), error


@dataclass(slots=True)
class Outcome:
    """How a call ended.

    Attributes:
        kind: ``answered``, ``failed`` or ``cancelled``; ``stuck`` if it did not end in time.
        steps: how often it waited for the event loop.
        answer: its return value, a stream or not.
        error: the exception that it raised, or ``None``.
        interrupted: whether the requested cancellation woke it; one that comes too late does not.
    """

    kind: Literal["answered", "failed", "cancelled", "stuck"] = "stuck"
    steps: int = 0
    answer: object = None
    error: Exception | None = None
    interrupted: bool = False

    @property
    def stream(self) -> ByteStream:
        """The returned stream."""
        assert isinstance(self.answer, ByteStream), "no stream"
        return self.answer


async def call(
    connector: Connector,
    uri: Uri,
    *,
    patience: float,
    cancel_at: int | None = None,
    cancel_when: anyio.Event | None = None,
) -> Outcome:
    """Dial ``uri`` through ``connector`` and return the outcome.

    Args:
        connector: the connector to call.
        uri: the Uri to dial.
        patience: seconds after which the call counts as ``stuck``.
        cancel_at: the await to cancel at, counted from 1; 0 cancels before the call begins; ``None`` for no
            cancellation.
        cancel_when: an event that cancels the call when it is set.
    """
    outcome = Outcome()
    with anyio.move_on_after(patience) as waiting, anyio.CancelScope() as scope:
        attempt = _Attempt(outcome, scope, cancel_at)
        if cancel_at == 0:
            scope.cancel()
        if cancel_when is None:
            await attempt.make(connector, uri)
        else:
            async with anyio.create_task_group() as watchers:
                watchers.start_soon(attempt.cancel_on, cancel_when)
                await attempt.make(connector, uri)
                watchers.cancel_scope.cancel()
    if waiting.cancelled_caught and outcome.kind == "cancelled":
        outcome.kind = "stuck"
    return outcome


class _Attempt:
    """One call under observation: counts its awaits, cancels it at a given one, and records the outcome."""

    def __init__(self, outcome: Outcome, scope: anyio.CancelScope, cancel_at: int | None) -> None:
        self.outcome = outcome
        self.scope = scope
        self.cancel_at = cancel_at

    async def make(self, connector: Connector, uri: Uri) -> None:
        async def run() -> ByteStream:
            return await connector(uri)

        try:
            self.outcome.answer = await drive(run(), self._count, self._note)
            self.outcome.kind = "answered"
        except anyio.get_cancelled_exc_class():
            self.outcome.kind = "cancelled"
            raise
        except Exception as error:
            self.outcome.kind, self.outcome.error = "failed", error

    async def cancel_on(self, event: anyio.Event) -> None:
        await event.wait()
        self.scope.cancel()

    def _count(self) -> None:
        self.outcome.steps += 1
        if self.outcome.steps == self.cancel_at:
            self.scope.cancel()

    def _note(self, error: BaseException) -> None:
        if self.scope.cancel_called and isinstance(error, anyio.get_cancelled_exc_class()):
            self.outcome.interrupted = True
