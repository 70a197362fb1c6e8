"""Limit how many dials start in a time; dials beyond it queue or are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from anyio.abc import ByteStream

from ziggurat.layers.concurrency_limit import Mode
from ziggurat.layers.place import Place
from ziggurat.layers.rate_limit.rate import Rate
from ziggurat.layers.retry.layer import RetryLayer
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import LimitExceeded
from ziggurat.services.limit import Limit
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["RateLimit", "RateLimitLayer"]


@dataclass(frozen=True, slots=True)
class RateLimitLayer:
    """Wraps a connector in `RateLimit` (phase ``admission``).

    Args:
        rate: a `TokenBucket` or a `FixedWindow`; stacks that have the same one share it.
        mode: ``"wait"`` queues a dial that comes too early, ``"reject"`` fails it.
        max_waiting: maximum length of the queue of a key; dials beyond it fail. ``None`` for no limit.
        max_wait: maximum time in the queue, in seconds; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong, or ``mode="reject"`` is combined with a queue's settings.
    """

    rate: Rate
    mode: Mode = "wait"
    max_waiting: int | None = None
    max_wait: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.rate), Rate):
            raise TypeError(f"rate must be a TokenBucket or a FixedWindow, not {self.rate!r}")
        if self.mode not in ("wait", "reject"):
            raise ValueError(f'mode must be "wait" or "reject", not {self.mode!r}')
        check_count("max_waiting", self.max_waiting, minimum=0)
        check_seconds("max_wait", self.max_wait)
        if self.mode == "reject" and not (self.max_waiting is None and self.max_wait is None):
            raise ValueError('mode="reject" has no queue: max_waiting and max_wait go with mode="wait"')

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        """Say what the rate counts when dials are retried."""
        if place.has_above(RetryLayer):
            text = "each attempt counts, and waits for its turn"
            if self.mode == "reject":
                text = "each attempt counts; one that is rejected counts as a failed attempt"
            yield Remark(f"RetryLayer > RateLimitLayer: {text}", warning=False)
        if place.has_below(RetryLayer):
            text = "a dial counts once, however many attempts it makes, so that more may go out than the rate says"
            yield Remark(f"RateLimitLayer > RetryLayer: {text}", warning=False)

    def layer(self, inner: Connector, /) -> Connector:
        return RateLimit(self, inner)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Waits for its turn before it dials. A failed dial counts, too; one that is cancelled in the queue does not."""

    config: RateLimitLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Wait for the turn, then dial through ``inner``.

        Raises:
            LimitExceeded: rejected (phase ``admission``); ``retry_after`` says when the next one may pass.
            ConnectTimeout: ``max_wait`` ran out in the queue (phase ``admission``).
        """
        with dial(uri) as current:
            with Limit(self.config.max_wait, "max_wait") as limit, phase("admission", limit=limit):
                await self._admit(uri)
            return current.established(await self.inner(uri))

    async def _admit(self, uri: Uri) -> None:
        gate = self.config.rate.gate(uri)
        if gate.enter_nowait():
            return
        most = 0 if self.config.mode == "reject" else self.config.max_waiting
        if most is not None and gate.waiting >= most:
            queue = f", {gate.waiting} waiting" if gate.waiting else ""
            raise LimitExceeded(
                f"more dials than {self.config.rate.text}{queue}",
                gate.wait,
                hint=f"try again in {gate.wait:.2f} s or raise the rate",
            )
        await gate.enter()
