"""Apply the changes of an async iterator to the endpoints of a balance."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import cast

from anyio.lowlevel import checkpoint

from ziggurat.layers.balance.discovery import Change, Insert, Remove
from ziggurat.layers.balance.members import Members
from ziggurat.layers.events import write_event

__all__ = ["Feed"]


class Feed:
    """Reads the changes.

    Attributes:
        error: what the iterator raised; ``None`` if it has not.
        ended: whether the iterator has ended, with an error or without.
        started: whether it was ever read.
    """

    __slots__ = ("_changes", "_members", "ended", "error", "started")

    def __init__(self, changes: AsyncIterable[Change], members: Members) -> None:
        self._changes = changes
        self._members = members
        self.error: Exception | None = None
        self.ended = False
        self.started = False

    async def run(self) -> None:
        """Apply changes as they come. A failure of the iterator is logged (``balance.feed_failed``) and kept."""
        self.started, self.ended, self.error = True, False, None
        try:
            await self._read()
        except Exception as error:
            self.error = error
            count = len(self._members.all())
            write_event(None, "warning", "balance.feed_failed", error=f"{type(error).__name__}: {error}", count=count)
        finally:
            self.ended = True

    async def _read(self) -> None:
        async with AsyncExitStack() as closing:
            iterator = aiter(self._changes)
            if hasattr(iterator, "aclose"):  # a generator that is only dropped would be closed at some later time
                await closing.enter_async_context(aclosing(cast("_Closable", iterator)))
            async for change in iterator:
                if isinstance(change, Insert):
                    self._members.insert(change.key, change.connector)
                elif isinstance(cast(object, change), Remove):
                    self._members.remove(change.key)
                else:
                    raise TypeError(
                        f"the iterator of endpoints yielded {change!r}: Insert(key, connector) or Remove(key)"
                    )
                await checkpoint()  # the iterator may have a thousand of them ready


class _Closable(AsyncIterator[Change]):
    async def aclose(self) -> object: ...
