"""A dial shared by concurrent callers.

It runs in a task of its own and in a fresh context: no caller's deadline ends it, and the context variables of the
first caller do not decide how the connection of all is made. A caller can stop waiting at any time; when the last one
has, the dial is cancelled.
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
"""Whether a caller's deadline has passed."""


class CutOff(Protocol):
    """Makes the error of a caller that has waited for ``seconds``; ``last``: no other caller waits."""

    def __call__(self, seconds: float, /, *, last: bool) -> ConnectError: ...


class SharedDial(Generic[T]):
    """Starts ``dial`` at once.

    Args:
        dial: what to run.
        on_end: called once, on the loop, before any caller resumes: with the result, with the error, or with ``None``
            when the dial was given up.
        discard: what to do with a result that arrives after the dial was given up.
        cut_off: makes the error for a caller whose deadline passes; called with the seconds that it has waited and,
            as ``last=``, whether no other caller is left.
    """

    def __init__(
        self,
        dial: Callable[[], Coroutine[Any, Any, T]],
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
        self.task = self._loop.create_task(self._run(dial), context=Context(), name="ziggurat dial")
        self.task.add_done_callback(self._task_ended)

    async def wait(self, expired: Expired | None = None) -> T:
        """Wait for the end. Cancelling this disturbs no other caller.

        Args:
            expired: tells, when the wait is cancelled, whether the caller's deadline is the reason. The
                `asyncio.CancelledError` then has what was cut off as its ``__cause__``.

        Raises:
            ConnectError: the dial failed; each caller gets an exception of its own, with the same cause.
            Exception: what `give_up` was given.
            CancelledError: this wait was cancelled, or the dial's own task, as ``asyncio.run`` does when it ends.
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
        """Cancel the dial unless it has ended; callers that still wait get ``reason``."""
        if not self._ended:
            self._end(reason)
            self._on_end(None)
            self.task.cancel()

    async def _run(self, dial: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            result = await dial()
        except ConnectError as error:
            # The frames of its traceback hold the channel, which is to be freed as soon as it is dropped.
            error.__traceback__ = None
            if not self._ended:
                self._on_end(error)
                self._end(error)
        else:
            # No await from here on: a connection is never between two owners.
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
        if not self._ended:  # cancelled by others, perhaps before its first step; or a defect of ours
            self._end(error if isinstance(error, Exception) else None)
            self._on_end(None)
