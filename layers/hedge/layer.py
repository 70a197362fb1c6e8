"""Dial a second time when the first dial is slow, and keep the stream that comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from anyio.abc import ByteStream

from ziggurat.layers.first_success import first_success
from ziggurat.layers.hedge.latency import LatencyQuantile
from ziggurat.layers.retry.budget import RetryBudget
from ziggurat.services.clock import running_clock
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Hedge", "HedgeLayer"]


@dataclass(frozen=True, slots=True)
class HedgeLayer:
    """Wraps a connector in `Hedge`.

    It helps against dials that are slow by chance, such as a lost SYN or a bad circuit of Tor, and doubles the load on
    what is slow for all: give it a budget, or a `LatencyQuantile`, which is exceeded by a fixed share of the dials.

    Args:
        after: seconds after which a second dial starts; or a `LatencyQuantile`, to take them from earlier dials.
        budget: how many second dials there may be, of all stacks that have the same budget, which may also be that of a
            retry; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    after: float | LatencyQuantile
    budget: RetryBudget | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.after, LatencyQuantile):
            check_seconds("after", self.after, optional=False)
        if not isinstance(cast(object, self.budget), RetryBudget | None):
            raise TypeError(f"budget must be a RetryBudget or None, not {self.budget!r}")

    def layer(self, inner: Connector, /) -> Connector:
        return Hedge(self, inner)


@dataclass(frozen=True, slots=True)
class Hedge:
    """Starts a second dial beside a slow one. The first success wins; the other dial is cancelled, its stream closed.

    The two are the branches ``first`` and ``hedge`` in the ledger. A dial that fails before it is slow is not hedged:
    that is what a retry is for.
    """

    config: HedgeLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``, once or twice.

        Raises:
            ConnectError: there was one dial; its error.
            AllFailed: both failed.
        """
        after, budget = self.config.after, self.config.budget
        latency = after if isinstance(after, LatencyQuantile) else None
        delay = after.seconds if isinstance(after, LatencyQuantile) else after

        def hedge(failures: int) -> bool:
            return not failures and (budget is None or budget.withdraw())

        with dial(uri) as current:
            first = self.inner if latency is None else _Timed(self.inner, latency)
            if delay is None:
                stream = await first(uri)
            else:
                branches = (("first", first), ("hedge", self.inner))
                stream = await first_success(current, uri, branches, delay, start_next=hedge)
                if isinstance(first, _Timed):
                    first.overtaken()
            if budget is not None:
                current.on_outcome(budget.ended)
            return current.established(stream)


class _Timed:
    """Records how long a successful dial takes."""

    def __init__(self, inner: Connector, latency: LatencyQuantile) -> None:
        self._inner = inner
        self._latency = latency
        self._clock = running_clock()
        self._start = self._clock()
        self._pending = True

    async def __call__(self, uri: Uri, /) -> ByteStream:
        try:
            stream = await self._inner(uri)
        except Exception:
            self._pending = False
            raise
        self.overtaken()
        return stream

    def overtaken(self) -> None:
        """Record the time until now, if the dial has neither ended nor failed before."""
        if self._pending:
            self._pending = False
            self._latency.record(self._clock() - self._start)
