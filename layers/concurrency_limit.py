"""Limit concurrent dials or streams; dials beyond the limit queue or are rejected.

A released permit passes directly to the task that has waited longest, so that no newcomer can overtake it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import current_token

from ziggurat.layers.place import Place
from ziggurat.layers.retry.layer import RetryLayer
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import LimitExceeded
from ziggurat.services.limit import Limit
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.stream import observed
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["ConcurrencyLimit", "ConcurrencyLimitLayer", "Hold", "Limiter", "Mode"]

Mode: TypeAlias = Literal["wait", "reject"]
Hold: TypeAlias = Literal["dial", "stream"]


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


@dataclass(frozen=True, slots=True)
class ConcurrencyLimitLayer:
    """Wraps a connector in `ConcurrencyLimit` (phase ``admission``).

    Args:
        limit: how many at once, for each stack; or a `Limiter` to share between stacks.
        mode: ``"wait"`` queues a dial that exceeds the limit, ``"reject"`` fails it.
        max_waiting: maximum length of the queue; dials beyond it fail. ``None`` for no limit.
        max_wait: maximum time in the queue, in seconds; ``None`` for no limit.
        hold: ``"dial"`` releases the permit when the dial ends, ``"stream"`` when its stream ends. With ``"stream"`` a
            stream that is neither closed nor lost keeps its permit.

    Raises:
        TypeError, ValueError: an argument is wrong, or ``mode="reject"`` is combined with a queue's settings.
    """

    limit: int | Limiter
    mode: Mode = "wait"
    max_waiting: int | None = None
    max_wait: float | None = None
    hold: Hold = "dial"

    def __post_init__(self) -> None:
        if not isinstance(self.limit, Limiter):
            check_count("limit", self.limit, optional=False)
        if self.mode not in ("wait", "reject"):
            raise ValueError(f'mode must be "wait" or "reject", not {self.mode!r}')
        check_count("max_waiting", self.max_waiting, minimum=0)
        check_seconds("max_wait", self.max_wait)
        if self.hold not in ("dial", "stream"):
            raise ValueError(f'hold must be "dial" or "stream", not {self.hold!r}')
        if self.mode == "reject" and not (self.max_waiting is None and self.max_wait is None):
            raise ValueError('mode="reject" has no queue: max_waiting and max_wait go with mode="wait"')

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        """Say what a dial that is retried does with its permit."""
        if place.has_above(RetryLayer):
            text = "each attempt takes a permit, and none is held during the waits between them"
            if self.mode == "reject":
                text += "; one that is rejected counts as a failed attempt"
            yield Remark(f"RetryLayer > ConcurrencyLimitLayer: {text}", warning=False)
        if place.has_below(RetryLayer):
            text = "a dial takes one permit for all attempts, and holds it during the waits between them"
            yield Remark(f"ConcurrencyLimitLayer > RetryLayer: {text}", warning=False)

    def layer(self, inner: Connector, /) -> Connector:
        limiter = self.limit if isinstance(self.limit, Limiter) else Limiter(self.limit)
        return ConcurrencyLimit(self, inner, limiter)


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """Takes a permit before it dials."""

    config: ConcurrencyLimitLayer
    inner: Connector
    limiter: Limiter

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Wait for a permit, then dial through ``inner``.

        Raises:
            LimitExceeded: rejected (phase ``admission``).
            ConnectTimeout: ``max_wait`` ran out in the queue (phase ``admission``).
        """
        with dial(uri) as current:
            with Limit(self.config.max_wait, "max_wait") as limit, phase("admission", limit=limit):
                await self._admit()
            try:
                stream = await self.inner(uri)
            except BaseException:
                self.limiter.release()
                raise
            if self.config.hold == "stream":
                stream = observed(stream)
                stream.on_close(self.limiter.release)
            else:
                self.limiter.release()
            return current.established(stream)

    async def _admit(self) -> None:
        limiter = self.limiter
        if limiter.acquire_nowait():
            return
        most = 0 if self.config.mode == "reject" else self.config.max_waiting
        if most is not None and limiter.waiting >= most:
            queue = f", {limiter.waiting} waiting" if limiter.waiting else ""
            raise LimitExceeded(f"all {limiter.total} permits in use{queue}", hint="try again later or raise the limit")
        await limiter.acquire()
