"""Return something else than the stream that was dialled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from anyio.abc import ByteStream

from ziggurat.layers.function import check_function, name_of, wrong_result
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri

__all__ = ["MapResponse", "MapResponseLayer"]


@dataclass(frozen=True, slots=True, repr=False)
class MapResponseLayer:
    """Wraps a connector in `MapResponse`.

    Args:
        function: returns the stream to use in place of the one that was dialled, usually a wrapper around it, whose
            ``aclose`` closes it and whose ``extra_attributes`` are those of the stream inside. The same stream, after a
            look at it, costs nothing; a wrapper keeps HTTP/2 from taking over the socket. A function that sends or
            receives goes into an `AndThenLayer`.

    Raises:
        TypeError: ``function`` is no function, or an async one.
    """

    function: Callable[[ByteStream], ByteStream]

    def __post_init__(self) -> None:
        check_function("function", self.function, instead="an AndThenLayer")

    def layer(self, inner: Connector, /) -> Connector:
        return MapResponse(self, inner)

    def __repr__(self) -> str:
        return f"MapResponseLayer({name_of(self.function)})"


@dataclass(frozen=True, slots=True)
class MapResponse:
    """Returns what the function makes of each stream. If it raises, the stream is closed."""

    config: MapResponseLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            TypeError: the function returned something that is no stream.
        """
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                mapped = self.config.function(stream)
                if not isinstance(cast(object, mapped), ByteStream):
                    raise wrong_result(self.config.function, mapped, "a ByteStream")
                return current.established(mapped)
