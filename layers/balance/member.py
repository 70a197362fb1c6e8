"""One endpoint of a balance: its load, its failures, and whether it may be dialled."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from ziggurat.layers.balance.load import Meter
from ziggurat.services.backoff import Backoff
from ziggurat.services.errors import copy_error
from ziggurat.services.service import Connector

__all__ = ["Member", "MemberState"]

WARM = 32
"""Dials at once after which an endpoint that has come back counts as warm, and is no longer spared."""


@dataclass(frozen=True, slots=True)
class MemberState:
    """An endpoint of a balance at one moment.

    Attributes:
        dialling: dials under way.
        streams: open streams.
        failures: failed dials in a row.
        retry_in: seconds until it is dialled again; 0.0 if it may be dialled now.
        error: the last failure since it last worked; ``None`` without one.
    """

    dialling: int
    streams: int
    failures: int
    retry_in: float
    error: Exception | None


class Member:
    """One endpoint. All times are on the event loop's clock."""

    __slots__ = (
        *("_failed_at", "_meter", "_room", "_starts", "connector", "error", "failures"),
        *("key", "streams", "until"),
    )

    def __init__(self, key: Hashable, connector: Connector, meter: Meter) -> None:
        self.key = key
        self.connector = connector
        self.streams = 0
        self._starts: dict[object, float] = {}  # of the dials under way, the oldest first
        self.forget(meter)

    def forget(self, meter: Meter) -> None:
        """Forget what was learnt; for another event loop, whose clock is another."""
        self._meter = meter
        self.failures = 0
        self.error: Exception | None = None
        self.until = -math.inf
        self._failed_at = -math.inf
        self._room: int | None = None

    @property
    def dialling(self) -> int:
        """Dials under way."""
        return len(self._starts)

    def usable(self, now: float) -> bool:
        """Whether it may be dialled: it is not backing off, and after a failure nobody else is trying it."""
        return now >= self.until and (self.failures == 0 or not self._starts)

    @property
    def roomy(self) -> bool:
        """Whether it is warm, or has fewer dials than it should get while it warms up."""
        return self._room is None or len(self._starts) < self._room

    def cost(self, now: float) -> float:
        """Return its load."""
        oldest = next(iter(self._starts.values()), now)
        return self._meter.cost(len(self._starts) + self.streams, now - oldest, now)

    def began(self, now: float) -> object:
        """Count a dial, and return a token for its end."""
        token = object()
        self._starts[token] = now
        return token

    def cancelled(self, token: object, now: float) -> None:
        """The dial was cancelled, which tells nothing but that it takes at least so long."""
        self._meter.abandoned(now - self._starts.pop(token), now)

    def ended(self, token: object) -> float:
        """The dial has failed; return when it began. By itself that does not tell against the endpoint."""
        return self._starts.pop(token)

    def failed(self, start: float, now: float, error: Exception, backoff: Backoff) -> None:
        """A dial that began at ``start`` has failed: back off. Dials that ran at the same time count once."""
        self._keep(error)
        if start > self._failed_at:
            self._back_off(now, self.failures + 1, backoff)

    def succeeded(self, token: object, now: float) -> int:
        """The dial succeeded; return the failures in a row that it ended.

        After a failure each success makes room for one dial more, as in TCP's slow start, until the endpoint is warm.
        """
        self._meter.measured(now - self._starts.pop(token), now)
        ended = self.failures
        self.failures, self.error, self.until = 0, None, -math.inf
        if self._room is not None:
            self._room = self._room + 1 if self._room < WARM else None
        return ended

    def failed_later(self, now: float, ended: int, error: Exception, backoff: Backoff) -> None:
        """A dial that had succeeded, and had ended so many failures in a row, came to nothing above the balance."""
        self._keep(error)
        self._back_off(now, max(self.failures, ended) + 1, backoff)

    def _keep(self, error: Exception) -> None:
        # Without traceback and cause, which would keep every frame of that dial.
        self.error = copy_error(error)
        self.error.__cause__ = None

    def _back_off(self, now: float, failures: int, backoff: Backoff) -> None:
        self.failures = failures
        self._failed_at = now
        self._room = 1
        self.until = now + backoff.delay(failures)

    def opened(self) -> None:
        """Count a stream."""
        self.streams += 1

    def closed(self) -> None:
        """A stream has ended."""
        self.streams -= 1

    def state(self, now: float) -> MemberState:
        """Return what it is like at ``now``."""
        return MemberState(self.dialling, self.streams, self.failures, max(0.0, self.until - now), self.error)
