"""Limit the time of a dial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.layers.place import Place
from ziggurat.layers.retry.layer import RetryLayer
from ziggurat.services.dial import dial
from ziggurat.services.limit import Limit
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Timeout", "TimeoutLayer"]


@dataclass(frozen=True, slots=True)
class TimeoutLayer:
    """Wraps a connector in `Timeout`: one limit over everything below it, including the wait for admission.

    Args:
        seconds: the limit; positive. To switch it off, leave out the layer.
        name: the limit's name, for the error; ``None`` for ``TimeoutLayer``. Name them in a stack with two.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    seconds: float
    name: str | None = None

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds, optional=False)

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        """Say which attempts of a retry the limit is for."""
        name = f"{self.seconds:g} s of {self.name or 'TimeoutLayer'}"
        if place.has_above(RetryLayer):
            yield Remark(f"RetryLayer > TimeoutLayer: the {name} are for each attempt", warning=False)
        if place.has_below(RetryLayer):
            yield Remark(
                f"TimeoutLayer > RetryLayer: the {name} are for all attempts and the waits between them", warning=False
            )

    def layer(self, inner: Connector, /) -> Connector:
        return Timeout(self, inner)


@dataclass(frozen=True, slots=True)
class Timeout:
    """Cancels the inner dial when the time is up.

    A stream that has arrived by then is returned. Errors of the inner dial pass through unchanged, including its own
    timeouts, which ran out first and name the place more precisely.
    """

    config: TimeoutLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            ConnectTimeout: the time ran out; ``phase`` is the phase that was running, ``name`` the limit's name.
        """
        with dial(uri) as current:
            with Limit(self.config.seconds, self.config.name or "TimeoutLayer"):
                stream = await self.inner(uri)
            return current.established(stream)
