"""Run one call and cancel it at exactly the await that is asked for, on asyncio and on trio.

A coroutine is an object that can be driven by hand: each ``send`` runs it to its next suspension. `drive` sits between
the call and the event loop, passes everything through, and counts. A cancel scope that is cancelled between the
suspension and the loop is delivered at this very await on both backends, since neither cancels a task that runs.
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
    """Await ``coroutine`` and watch it.

    Args:
        coroutine: what to await.
        on_suspend: called each time it is about to wait for the event loop.
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
            # trio does not throw: it sends an outcome, which the coroutine unwraps itself.
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
        answer: what it returned, a stream or not.
        error: what it raised.
        interrupted: whether the cancellation that was asked for woke it; one that comes too late does not.
    """

    kind: Literal["answered", "failed", "cancelled", "stuck"] = "stuck"
    steps: int = 0
    answer: object = None
    error: Exception | None = None
    interrupted: bool = False

    @property
    def stream(self) -> ByteStream:
        """The stream that it returned."""
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
    """Dial ``uri`` through ``connector`` and tell how it went.

    Args:
        connector: what to call.
        uri: what to call it with.
        patience: seconds after which the call is ``stuck``.
        cancel_at: cancel at this await, counted from 1; 0 cancels before the call begins; ``None`` never.
        cancel_when: cancel when this event is set.
    """
    outcome = Outcome()

    async def run() -> ByteStream:
        return await connector(uri)

    with anyio.move_on_after(patience) as waiting:
        with anyio.CancelScope() as scope:

            def count() -> None:
                outcome.steps += 1
                if outcome.steps == cancel_at:
                    scope.cancel()

            def note(error: BaseException) -> None:
                if scope.cancel_called and isinstance(error, anyio.get_cancelled_exc_class()):
                    outcome.interrupted = True

            async def watch(event: anyio.Event) -> None:
                await event.wait()
                scope.cancel()

            async def watched() -> None:
                try:
                    outcome.answer = await drive(run(), count, note)
                    outcome.kind = "answered"
                except anyio.get_cancelled_exc_class():
                    outcome.kind = "cancelled"
                    raise
                except Exception as error:
                    outcome.kind, outcome.error = "failed", error

            if cancel_at == 0:
                scope.cancel()
            if cancel_when is None:
                await watched()
            else:
                async with anyio.create_task_group() as watchers:
                    watchers.start_soon(watch, cancel_when)
                    await watched()
                    watchers.cancel_scope.cancel()
    if waiting.cancelled_caught and outcome.kind == "cancelled":
        outcome.kind = "stuck"
    return outcome
