"""Let so many dials through at once, or so many streams live at once; the others queue, or are turned away.

A permit is handed from who gives it back straight to who has waited longest, so nobody can slip in between, and a
permit is at every moment with exactly one holder or free.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import current_token

from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import LimitExceeded
from ziggurat.services.limit import Limit
from ziggurat.services.service import Connector
from ziggurat.services.stream import observed
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["ConcurrencyLimit", "ConcurrencyLimitLayer", "Hold", "Limiter", "Mode"]

Mode: TypeAlias = Literal["wait", "reject"]
Hold: TypeAlias = Literal["dial", "stream"]


class _Waiter:
    __slots__ = ("event", "granted")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.granted = False


class Limiter:
    """A number of permits, given out first come, first served; stacks that are given the same one share it.

    It belongs to one event loop at a time, for as long as a permit is held or awaited; it is not thread-safe.

    Args:
        total: how many permits there are; at least 1.

    Raises:
        TypeError, ValueError: ``total`` is wrong.
    """

    __slots__ = ("_held", "_queue", "_token", "_total")

    def __init__(self, total: int) -> None:
        check_count("total", total, optional=False)
        self._total = total
        self._held = 0
        self._queue: deque[_Waiter] = deque()
        self._token: object = None

    @property
    def total(self) -> int:
        """How many permits there are."""
        return self._total

    @property
    def held(self) -> int:
        """How many are given out."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._queue)

    def acquire_nowait(self) -> bool:
        """Take a permit if one is free; ``False`` if there is none.

        Raises:
            RuntimeError: another event loop uses this limiter.
        """
        token = current_token()
        if self._held == 0 and not self._queue:
            self._token = token
        elif self._token != token:
            raise RuntimeError(f"{self!r} is in use on another event loop")
        if self._held == self._total:
            return False
        self._held += 1
        return True

    async def acquire(self) -> None:
        """Take a permit; wait behind those who came before. A cancelled wait takes none.

        Raises:
            RuntimeError: another event loop uses this limiter.
        """
        if self.acquire_nowait():
            return
        waiter = _Waiter()
        self._queue.append(waiter)
        try:
            await waiter.event.wait()
        except BaseException:
            # Cancelled in the same breath as served: the permit is ours to pass on.
            if waiter.granted:
                self.release()
            else:
                self._queue.remove(waiter)
            raise

    def release(self) -> None:
        """Give a permit back. It goes straight to who waits longest; its number is not free in between.

        Raises:
            RuntimeError: none is held.
        """
        if self._held == 0:
            raise RuntimeError(f"{self!r}: released more often than acquired")
        if self._queue:
            waiter = self._queue.popleft()
            waiter.granted = True
            waiter.event.set()
        else:
            self._held -= 1

    def __repr__(self) -> str:
        return f"Limiter(total={self._total}, held={self._held}, waiting={len(self._queue)})"


@dataclass(frozen=True, slots=True)
class ConcurrencyLimitLayer:
    """Wraps a connector in `ConcurrencyLimit` (phase ``admission``).

    Args:
        limit: how many at once, for each stack that is built; or a `Limiter` to share between stacks.
        mode: ``"wait"`` queues, ``"reject"`` turns away whatever cannot go at once.
        max_waiting: how long the queue may be; who comes beyond it is turned away. ``None`` for any length.
        max_wait: seconds that a dial may queue; ``None`` for no limit.
        hold: ``"dial"`` gives the permit back when the dial has ended, ``"stream"`` when its stream has. With
            ``"stream"`` a stream that is neither closed nor lost keeps its permit.

    Raises:
        TypeError, ValueError: an argument is wrong, or ``mode="reject"`` comes with a queue's settings.
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
            LimitExceeded: turned away (phase ``admission``).
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
            queue = f" and {limiter.waiting} wait" if limiter.waiting else ""
            raise LimitExceeded(f"all {limiter.total} are taken{queue}", hint="try again later, or raise the limit")
        await limiter.acquire()
