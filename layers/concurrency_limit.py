"""Limit concurrent dials or streams; dials beyond the limit queue or are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from anyio.abc import ByteStream

from ziggurat.layers.keyed_limiter import KeyedLimiter
from ziggurat.layers.limiter import Limiter
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

__all__ = ["ConcurrencyLimit", "ConcurrencyLimitLayer", "Hold", "Mode"]

Mode: TypeAlias = Literal["wait", "reject"]
Hold: TypeAlias = Literal["dial", "stream"]


@dataclass(frozen=True, slots=True)
class ConcurrencyLimitLayer:
    """Wraps a connector in `ConcurrencyLimit` (phase ``admission``).

    Args:
        limit: how many at once, for each stack; or a `Limiter` to share between stacks, or a `KeyedLimiter`, with a
            limit for each host, network or other key.
        mode: ``"wait"`` queues a dial that exceeds the limit, ``"reject"`` fails it.
        max_waiting: maximum length of the queue; dials beyond it fail. ``None`` for no limit.
        max_wait: maximum time in the queue, in seconds; ``None`` for no limit.
        hold: ``"dial"`` releases the permit when the dial ends, ``"stream"`` when its stream ends. With ``"stream"`` a
            stream that is neither closed nor lost keeps its permit.

    Raises:
        TypeError, ValueError: an argument is wrong, or ``mode="reject"`` is combined with a queue's settings.
    """

    limit: int | Limiter | KeyedLimiter
    mode: Mode = "wait"
    max_waiting: int | None = None
    max_wait: float | None = None
    hold: Hold = "dial"

    def __post_init__(self) -> None:
        if not isinstance(self.limit, (Limiter, KeyedLimiter)):
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
        limiter = Limiter(self.limit) if isinstance(self.limit, int) else self.limit
        return ConcurrencyLimit(self, inner, limiter)


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """Takes a permit before it dials."""

    config: ConcurrencyLimitLayer
    inner: Connector
    limiter: Limiter | KeyedLimiter

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Wait for a permit, then dial through ``inner``.

        Raises:
            LimitExceeded: rejected (phase ``admission``).
            ConnectTimeout: ``max_wait`` ran out in the queue (phase ``admission``).
        """
        limiter = self.limiter.of(uri) if isinstance(self.limiter, KeyedLimiter) else self.limiter
        with dial(uri) as current:
            with Limit(self.config.max_wait, "max_wait") as limit, phase("admission", limit=limit):
                await self._admit(limiter)
            try:
                stream = await self.inner(uri)
            except BaseException:
                limiter.release()
                raise
            if self.config.hold == "stream":
                stream = observed(stream)
                stream.on_close(limiter.release)
            else:
                limiter.release()
            return current.established(stream)

    async def _admit(self, limiter: Limiter) -> None:
        if limiter.acquire_nowait():
            return
        most = 0 if self.config.mode == "reject" else self.config.max_waiting
        if most is not None and limiter.waiting >= most:
            queue = f", {limiter.waiting} waiting" if limiter.waiting else ""
            raise LimitExceeded(f"all {limiter.total} permits in use{queue}", hint="try again later or raise the limit")
        await limiter.acquire()
