"""A connector that picks one of several by the target."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar, cast

from anyio.abc import ByteStream

from ziggurat.layers.function import check_function, name_of
from ziggurat.layers.layer import check_connector
from ziggurat.services.dial import dial
from ziggurat.services.errors import RouteRefused
from ziggurat.services.phase import label
from ziggurat.services.remark import Remark, remarks_of_each
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Steer"]

K = TypeVar("K", bound=Hashable)


class Steer(Generic[K]):
    """A connector that dials through the one of several that a function picks.

    It dials nothing else: if that one fails, so does the dial. For rules that can be written down, from a file too, use
    a `RouteLayer`.

    Args:
        connectors: the connectors by key.
        pick: returns a key for a target, or raises a `RouteRefused`. It must not wait.

    Raises:
        TypeError: ``connectors`` is no mapping, one of them is no connector, or ``pick`` is no function.
        ValueError: ``connectors`` is empty.
    """

    __slots__ = ("_connectors", "_pick")

    def __init__(self, connectors: Mapping[K, Connector], pick: Callable[[Uri], K]) -> None:
        if not isinstance(cast(object, connectors), Mapping):
            raise TypeError(f"connectors must be a mapping of keys to connectors, not {connectors!r}")
        if not connectors:
            raise ValueError("connectors must not be empty")
        for connector in connectors.values():
            check_connector(connector)
        check_function("pick", pick, instead="a FilterLayer")
        self._connectors = dict(connectors)
        self._pick = pick

    @property
    def connectors(self) -> Mapping[K, Connector]:
        """The connectors by key."""
        return self._connectors

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial ``uri`` through the connector that ``pick`` names.

        Raises:
            RouteRefused: there is no connector of that name.
        """
        with dial(uri) as current:
            key = self._pick(uri)
            connector = self._connectors.get(key)
            if connector is None:
                known = ", ".join(map(str, self._connectors))
                raise RouteRefused(f"{name_of(self._pick)} picked {key!r}, and there are only {known}", str(key))
            with label(branch=str(key)):
                return current.established(await connector(uri))

    def remarks(self, target: Uri, /) -> list[Remark]:
        """Return what the connectors say about a dial of ``target``, with their keys."""
        return remarks_of_each(self._connectors, target)

    def __repr__(self) -> str:
        return f"Steer({', '.join(map(str, self._connectors))}; {name_of(self._pick)})"
