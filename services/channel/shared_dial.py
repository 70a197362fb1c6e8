"""A dial shared by concurrent callers.

It runs in its own task and in a fresh context: no caller's deadline ends it, and the first caller's context variables
do not affect a connection that others use. A caller may stop waiting at any time; when the last one does, the dial is
cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ziggurat.services.errors import ConnectError, copy_error

T = TypeVar("T")

__all__ = ["CutOff", "Expired", "SharedDial"]


Expired: TypeAlias = Callable[[], bool]
"""Returns whether a caller's deadline has passed."""


class CutOff(Protocol):
    """Returns the error for a caller that has waited for ``seconds``; ``last``: whether no other caller is waiting."""

    def __call__(self, seconds: float, /, *, last: bool) -> ConnectError: ...


class SharedDial(Generic[T]):
    """A dial that several callers can wait for; `start` it once.

    With an eager task factory the dial may end within `start`, so keep the object before that.

    Args:
        on_end: called once, on the loop, before any caller resumes: with the result, the error, or ``None`` if the dial
            was cancelled.
        discard: called with a result that arrives after the dial was cancelled.
        cut_off: returns the error for a caller whose deadline passes.
    """

    def __init__(
        self,
        *,
        on_end: Callable[[T | ConnectError | None], None],
        discard: Callable[[T], None],
        cut_off: CutOff,
    ) -> None:
        self._on_end = on_end
        self._discard = discard
        self._cut_off = cut_off
        self._outcome: T | Exception | None = None
        self._ended = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def start(self, dial: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[None]:
        """Run the coroutine function ``dial`` in a task, and return the task."""
        task = self._task = self._loop.create_task(self._run(dial), context=Context(), name="ziggurat dial")
        task.add_done_callback(self._task_ended)
        if self._ended:
            task.cancel()  # given up in its first step; no effect if it is done
        return task

    async def wait(self, expired: Expired | None = None) -> T:
        """Wait for the result. Cancelling this does not affect other callers.

        Args:
            expired: called when the wait is cancelled: whether the reason is the caller's deadline. The
                `asyncio.CancelledError` then has the error of ``cut_off`` as its ``__cause__``.

        Raises:
            ConnectError: the dial failed; each caller gets its own exception, with the same cause.
            Exception: the ``reason`` passed to `give_up`.
            CancelledError: this wait was cancelled, or the dial's task was, as at the end of ``asyncio.run``.
        """
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        began = self._loop.time()
        try:
            if not self._ended:
                await waiter
        except asyncio.CancelledError as cancelled:
            if not self._ended and expired is not None and expired():
                cancelled.__cause__ = self._cut_off(self._loop.time() - began, last=len(self._waiters) == 1)
            raise
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                self.give_up()
        outcome = self._outcome
        if outcome is None:
            raise asyncio.CancelledError
        if isinstance(outcome, Exception):
            raise copy_error(outcome)
        return outcome

    def give_up(self, reason: Exception | None = None) -> None:
        """Cancel the dial unless it has ended; waiting callers get ``reason``."""
        if not self._ended:
            self._end(reason)
            self._on_end(None)
            if self._task is not None:
                self._task.cancel()

    async def _run(self, dial: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            result = await dial()
        except ConnectError as error:
            # The frames of the traceback refer to the channel, which must be freed as soon as it is dropped.
            error.__traceback__ = None
            if not self._ended:
                self._on_end(error)
                self._end(error)
        else:
            # No await from here on, so that the connection always has an owner.
            if self._ended:
                self._discard(result)
            else:
                self._on_end(result)
                self._end(result)

    def _end(self, outcome: T | Exception | None) -> None:
        self._ended = True
        self._outcome = outcome
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not self._ended:  # cancelled from outside, perhaps before its first step, or a bug
            self._end(error if isinstance(error, Exception) else None)
            self._on_end(None)
