"""Tasks beside an ``async with`` block, for objects that are such a block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVar

import anyio

from ziggurat.services.attempt import current_attempt

__all__ = ["Background", "closing_iterator"]

T = TypeVar("T")


class Background:
    """Tasks that are cancelled when the block ends.

    A task group wraps what the block raises in an exception group, which its caller would have to unwrap. Here it
    passes unchanged. If a task raises, the block is cancelled, and the task's exception takes its place.

    The tasks are outside of any dial: a dial in one of them is a dial of its own, even if the block is inside one.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> Background:
        await self._tasks.__aenter__()
        return self

    def start(self, function: Callable[[], Awaitable[object]]) -> None:
        """Run ``function()`` in a task."""
        self._tasks.start_soon(_outside_of_dials, function)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is None:
            self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            only, *others = group.exceptions
            if others:
                raise
        try:
            raise only
        finally:
            del only  # this frame is in its traceback: the two would form a cycle


async def _outside_of_dials(function: Callable[[], Awaitable[object]]) -> None:
    current_attempt.set(None)
    await function()


@asynccontextmanager
async def closing_iterator(source: AsyncIterable[T]) -> AsyncGenerator[AsyncIterator[T], None]:
    """Yield the iterator of ``source``, and close it at the end: Python closes a generator that is dropped some day."""
    iterator = aiter(source)
    try:
        yield iterator
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
