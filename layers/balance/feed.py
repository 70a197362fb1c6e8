"""Apply the changes of an async iterator to the endpoints of a balance."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import cast

from anyio.lowlevel import checkpoint

from ziggurat.layers.background import closing_iterator
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
        async with closing_iterator(self._changes) as changes:
            async for change in changes:
                if isinstance(change, Insert):
                    self._members.insert(change.key, change.connector)
                elif isinstance(cast(object, change), Remove):
                    self._members.remove(change.key)
                else:
                    raise TypeError(f"endpoints come as Insert(key, connector) and Remove(key), not {change!r}")
                await checkpoint()  # the iterator may have a thousand of them ready
