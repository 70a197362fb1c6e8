"""Say something on each new stream before anyone else does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from anyio import BrokenResourceError, ClosedResourceError, DelimiterNotFound, EndOfStream, IncompleteRead
from anyio.abc import ByteStream

from ziggurat.layers.function import check_function, name_of, wrong_result
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["AndThen", "AndThenLayer"]

LOST = (BrokenResourceError, ClosedResourceError, DelimiterNotFound, EndOfStream, IncompleteRead)


@dataclass(frozen=True, slots=True, repr=False)
class AndThenLayer:
    """Wraps a connector in `AndThen`.

    Args:
        function: an async function that is given the new stream, may send and receive on it, and returns it, or a
            stream to use in its place. It must read no more than is its own: what follows belongs to whoever dialled.
        name: the name of its phase.
        timeout: seconds that it may take; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    function: Callable[[ByteStream], Awaitable[ByteStream]]
    name: str = "and_then"
    timeout: float | None = None

    def __post_init__(self) -> None:
        check_function("function", self.function)
        if not isinstance(cast(object, self.name), str) or not self.name:
            raise TypeError(f"name must be the name of a phase, not {self.name!r}")
        check_seconds("timeout", self.timeout)

    def layer(self, inner: Connector, /) -> Connector:
        return AndThen(self, inner)

    def __repr__(self) -> str:
        return f"AndThenLayer({name_of(self.function)}, name={self.name!r}, timeout={self.timeout!r})"


@dataclass(frozen=True, slots=True)
class AndThen:
    """Awaits the function with each stream. If it raises or is cancelled, the stream is closed."""

    config: AndThenLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``, then call the function.

        Raises:
            ConnectError: the connection was lost while the function used it.
            ConnectTimeout: ``timeout`` ran out.
            TypeError: the function returned something that is no stream.
        """
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                with phase(self.config.name, limit=self.config.timeout):
                    following = await self._call(stream)
                return current.established(following)

    async def _call(self, stream: ByteStream) -> ByteStream:
        try:
            following = await self.config.function(stream)
        except LOST as error:
            raise ConnectError(f"the connection was lost: {type(error).__name__}") from error
        if not isinstance(cast(object, following), ByteStream):
            raise wrong_result(self.config.function, following, "a ByteStream")
        return following
