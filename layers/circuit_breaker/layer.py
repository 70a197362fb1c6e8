"""Refuse to dial what has failed several times in a row, until a probe has succeeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.layers.circuit_breaker.breaker import Breaker, Ticket
from ziggurat.layers.place import Place
from ziggurat.layers.retry.layer import RetryLayer
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count

__all__ = ["CircuitBreaker", "CircuitBreakerLayer"]


@dataclass(frozen=True, slots=True)
class CircuitBreakerLayer:
    """Wraps a connector in `CircuitBreaker` (phase ``admission``).

    It guards what it is asked to dial: above a proxy layer the target, below it the proxy. Both may have the same
    breaker. A retry belongs above it, and then waits until the next probe may start.

    Args:
        breaker: the `Breaker`, to share between stacks; or after how many failures in a row a circuit opens, for a
            breaker of each stack's own.

    Raises:
        TypeError, ValueError: ``breaker`` is neither.
    """

    breaker: Breaker | int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.breaker, Breaker):
            check_count("breaker", self.breaker, optional=False)

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        """Say which failures of a retry the breaker counts."""
        if place.has_above(RetryLayer):
            text = "each failed attempt counts; while the circuit is open, the wait lasts until the next probe"
            yield Remark(f"RetryLayer > CircuitBreakerLayer: {text}", warning=False)
        if place.has_below(RetryLayer):
            text = "a dial counts as one failure, after its last attempt"
            yield Remark(f"CircuitBreakerLayer > RetryLayer: {text}", warning=False)

    def layer(self, inner: Connector, /) -> Connector:
        return CircuitBreaker(self.breaker if isinstance(self.breaker, Breaker) else Breaker(self.breaker), inner)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Dials while the circuit is closed, and reports the outcome of the whole attempt, HTTP/2 included."""

    breaker: Breaker
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            CircuitOpen: the circuit is open, or its probe is out; ``retry_after`` says when the next one may start.
        """
        with dial(uri) as current:
            with phase("admission", via=None if uri == current.ledger.target else uri.authority):
                watch = _Watch(self.breaker, self.breaker.admit(uri), uri)
            # Not when inner has ended: a limit above may cut it off, or the target fail in its first bytes.
            current.on_outcome(watch.ended)
            stream = await self.inner(uri)
            watch.reached = True
            return current.established(stream)


class _Watch:
    """Waits for the outcome of one dial, and says what it means for the circuit."""

    __slots__ = ("_breaker", "_ticket", "_uri", "reached")

    def __init__(self, breaker: Breaker, ticket: Ticket, uri: Uri) -> None:
        self._breaker = breaker
        self._ticket = ticket
        self._uri = uri
        self.reached = False

    def ended(self, error: BaseException | None) -> None:
        if error is None:
            self._ticket.end(True)
        elif not isinstance(error, ConnectError):
            self._ticket.end(None)  # cancelled, or a bug
        elif self._breaker.fault(self._uri, error):
            self._ticket.end(False)
        else:
            # Another's fault. If this hop was passed before, it works.
            self._ticket.end(True if self.reached else None)
