"""Permits for concurrent dials or streams.

A released permit passes directly to the task that has waited longest, so that no newcomer can overtake it.
"""

from __future__ import annotations

import anyio
from anyio.lowlevel import current_token

from ziggurat.services.validation import check_count

__all__ = ["Limiter"]


class Limiter:
    """A number of permits, given out first come, first served. Stacks that are given the same limiter share it.

    While a permit is held or awaited, the limiter belongs to one event loop. It is not thread-safe.

    Args:
        total: how many permits there are; at least 1.

    Raises:
        TypeError, ValueError: ``total`` is wrong.
    """

    __slots__ = ("_semaphore", "_token", "_total")

    def __init__(self, total: int) -> None:
        check_count("total", total, optional=False)
        self._total = total
        self._semaphore: anyio.Semaphore | None = None  # made on first use, by the event loop that uses it
        self._token: object = None

    @property
    def total(self) -> int:
        """How many permits there are."""
        return self._total

    @property
    def held(self) -> int:
        """How many permits are given out."""
        return 0 if self._semaphore is None else self._total - self._semaphore.value

    @property
    def waiting(self) -> int:
        """How many tasks wait for a permit."""
        return 0 if self._semaphore is None else self._semaphore.statistics().tasks_waiting

    def acquire_nowait(self) -> bool:
        """Take a permit if one is free; return whether there was one.

        Raises:
            RuntimeError: another event loop uses this limiter.
        """
        try:
            self._on_this_loop().acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    async def acquire(self) -> None:
        """Take a permit; wait for one behind the tasks that came before. A cancelled wait takes none.

        Raises:
            RuntimeError: another event loop uses this limiter.
        """
        if not self.acquire_nowait():
            await self._on_this_loop().acquire()

    def release(self) -> None:
        """Give a permit back. It passes directly to the task that has waited longest and is not free in between.

        Raises:
            RuntimeError: none is held.
        """
        if self._semaphore is None or self.held == 0:
            raise RuntimeError(f"{self!r}: released more often than acquired")
        self._semaphore.release()

    def _on_this_loop(self) -> anyio.Semaphore:
        # anyio's semaphore belongs for good to the loop that first used it; a limiter without holders may move.
        token = current_token()
        if self._semaphore is None or self._token != token:
            if self.held:
                raise RuntimeError(f"{self!r} is in use on another event loop")
            self._semaphore, self._token = anyio.Semaphore(self._total), token
        return self._semaphore

    def __repr__(self) -> str:
        return f"Limiter(total={self._total}, held={self.held}, waiting={self.waiting})"
