"""What a connector says about itself before it dials, for `Endpoint.describe`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ziggurat.services.uri import Uri

__all__ = ["Remark", "Remarking", "remarks_of"]


@dataclass(frozen=True, slots=True)
class Remark:
    """One line about a stack.

    Attributes:
        text: the line.
        warning: whether it is about something that will fail or has no effect; otherwise it says what an order means.
    """

    text: str
    warning: bool = True


@runtime_checkable
class Remarking(Protocol):
    """A connector that has something to say. The method is optional: connectors need no more than to be called."""

    def remarks(self, target: Uri, /) -> Iterable[Remark]:
        """Return the remarks about a dial of ``target``, without dialling."""
        ...


def remarks_of(connector: object, target: Uri, *, prefix: str = "") -> list[Remark]:
    """Return the remarks of a connector, each with ``prefix`` before it; none if it has nothing to say."""
    if not isinstance(connector, Remarking):
        return []
    return [Remark(prefix + remark.text, remark.warning) for remark in connector.remarks(target)]
