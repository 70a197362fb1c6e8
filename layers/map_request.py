"""Dial something else than what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from anyio.abc import ByteStream

from ziggurat.layers.function import check_function, name_of, wrong_result
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["MapRequest", "MapRequestLayer"]


@dataclass(frozen=True, slots=True, repr=False)
class MapRequestLayer:
    """Wraps a connector in `MapRequest`.

    The dial keeps its target: TLS above this layer is with what was asked for, TLS below it with what is dialled.

    Args:
        function: returns the `Uri` to dial for the one that was asked for. A function that has to wait goes into a
            `FilterLayer`, which may be async.

    Raises:
        TypeError: ``function`` is no function, or an async one.
    """

    function: Callable[[Uri], Uri]

    def __post_init__(self) -> None:
        check_function("function", self.function, instead="a FilterLayer")

    def layer(self, inner: Connector, /) -> Connector:
        return MapRequest(self, inner)

    def __repr__(self) -> str:
        return f"MapRequestLayer({name_of(self.function)})"


@dataclass(frozen=True, slots=True)
class MapRequest:
    """Dials what the function returns."""

    config: MapRequestLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner`` what the function returns for ``uri``.

        Raises:
            TypeError: the function returned something that is no `Uri`.
        """
        with dial(uri) as current:
            mapped = self.config.function(uri)
            if not isinstance(cast(object, mapped), Uri):
                raise wrong_result(self.config.function, mapped, "a Uri")
            return current.established(await self.inner(mapped))
