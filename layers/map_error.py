"""Raise something else than the error of a dial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from anyio.abc import ByteStream

from ziggurat.layers.function import check_function, name_of, wrong_result
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["MapError", "MapErrorLayer"]


@dataclass(frozen=True, slots=True, repr=False)
class MapErrorLayer:
    """Wraps a connector in `MapError`.

    Args:
        function: returns the error to raise for the one that came from below: the same, or a `ConnectError` of its own,
            which keeps phase, via and ``sent_to_target``, and has the other as its cause. Any other exception is put
            into a `ConnectError`. It never sees a cancellation.

    Raises:
        TypeError: ``function`` is no function, or an async one.
    """

    function: Callable[[Exception], Exception]

    def __post_init__(self) -> None:
        check_function("function", self.function, instead="no layer")

    def layer(self, inner: Connector, /) -> Connector:
        return MapError(self, inner)

    def __repr__(self) -> str:
        return f"MapErrorLayer({name_of(self.function)})"


@dataclass(frozen=True, slots=True)
class MapError:
    """Raises what the function returns for each error."""

    config: MapErrorLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            ConnectError: the function returned it.
            TypeError: the function returned something that is no exception.
        """
        with dial(uri) as current:
            try:
                stream = await self.inner(uri)
            except Exception as error:
                mapped = self._map(error)
                if mapped is error:
                    raise
                try:
                    raise mapped from error
                finally:
                    del mapped  # this frame is in its traceback: the two would form a cycle
            return current.established(stream)

    def _map(self, error: Exception) -> Exception:
        mapped = self.config.function(error)
        if not isinstance(cast(object, mapped), Exception):
            raise wrong_result(self.config.function, mapped, "an exception")
        if mapped is error:
            return mapped
        if not isinstance(mapped, ConnectError):
            mapped = ConnectError(f"{type(mapped).__name__}: {mapped}")
        if isinstance(error, ConnectError) and mapped.phase is None:
            mapped.phase, mapped.via = error.phase, error.via
        return mapped
