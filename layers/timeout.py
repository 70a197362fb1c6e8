"""Give up on a dial that takes too long."""

from __future__ import annotations

from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.services.dial import dial
from ziggurat.services.limit import Limit
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Timeout", "TimeoutLayer"]


@dataclass(frozen=True, slots=True)
class TimeoutLayer:
    """Wraps a connector in `Timeout`: one limit over everything below it, waiting for admission included.

    Args:
        seconds: positive. There is no "off": leave the layer out.
        name: whose limit it is, for the error; ``None`` says ``TimeoutLayer``. Stacks with two of them want names.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    seconds: float
    name: str | None = None

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds, optional=False)

    def layer(self, inner: Connector, /) -> Connector:
        return Timeout(self, inner)


@dataclass(frozen=True, slots=True)
class Timeout:
    """Cancels the inner dial when the time is up.

    A stream that is there when the time runs out is handed on. An error of the inner dial passes as it is, an inner
    timeout included: its own limit ran out first, and it knows better where.
    """

    config: TimeoutLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            ConnectTimeout: the time ran out; ``phase`` is what was running, ``name`` the layer's name.
        """
        with dial(uri) as current:
            with Limit(self.config.seconds, self.config.name or "TimeoutLayer"):
                stream = await self.inner(uri)
            return current.established(stream)
