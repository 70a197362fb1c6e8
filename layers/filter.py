"""Let some targets through and refuse the others."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

from anyio.abc import ByteStream

from ziggurat.layers.function import check_function, name_of, wrong_result
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import RouteRefused
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Filter", "FilterLayer", "Predicate"]

Predicate: TypeAlias = Callable[[Uri], bool | Uri | Awaitable[bool | Uri]]


@dataclass(frozen=True, slots=True, repr=False)
class FilterLayer:
    """Wraps a connector in `Filter` (phase ``filter``).

    Args:
        predicate: a function, async or not, that is given the target. It returns ``True`` to let it through, ``False``
            to refuse it, or another `Uri` to dial that one. It may also raise a `RouteRefused` with words of its own.
        name: what the error names as the rule; ``None`` for the name of the function.

    Raises:
        TypeError: ``predicate`` is no function.
    """

    predicate: Predicate
    name: str | None = None

    def __post_init__(self) -> None:
        check_function("predicate", self.predicate)

    def layer(self, inner: Connector, /) -> Connector:
        return Filter(self, inner)

    def __repr__(self) -> str:
        return f"FilterLayer({self.name or name_of(self.predicate)})"


@dataclass(frozen=True, slots=True)
class Filter:
    """Asks the predicate before it dials. What is refused never reaches ``inner``."""

    config: FilterLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial ``uri``, or what the predicate returned, through ``inner``.

        Raises:
            RouteRefused: the predicate refused it; ``rule`` is its name.
            TypeError: the predicate returned something else, e.g. ``None`` for want of a ``return``.
        """
        with dial(uri) as current:
            with phase("filter"):
                allowed = await self._ask(uri)
            return current.established(await self.inner(allowed))

    async def _ask(self, uri: Uri) -> Uri:
        answer = self.config.predicate(uri)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Uri):
            return answer
        rule = self.config.name or name_of(self.config.predicate)
        if not isinstance(cast(object, answer), bool):
            raise wrong_result(self.config.predicate, answer, "True, False or a Uri")
        if not answer:
            raise RouteRefused(f"the filter {rule} does not let it through", rule)
        return uri
