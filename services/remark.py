"""What a connector says about itself before it dials, for `Endpoint.describe`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from ziggurat.services.uri import Uri

__all__ = ["Remark", "Remarking", "remarks_of", "remarks_of_each"]

K = TypeVar("K", bound=Hashable)


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


def remarks_of(connector: object, target: Uri) -> list[Remark]:
    """Return the remarks of a connector; none if it has nothing to say."""
    return list(connector.remarks(target)) if isinstance(connector, Remarking) else []


def remarks_of_each(connectors: Mapping[K, object], target: Uri) -> list[Remark]:
    """Return the remarks of several connectors, each once, after the key of the first that has it."""
    keys: dict[Remark, list[K]] = {}
    for key, connector in connectors.items():
        for remark in remarks_of(connector, target):
            keys.setdefault(remark, []).append(key)
    return [Remark(f"{_named(having)}: {remark.text}", remark.warning) for remark, having in keys.items()]


def _named(keys: Sequence[object]) -> str:
    return f"{keys[0]} and {len(keys) - 1} more" if len(keys) > 1 else str(keys[0])
