"""Where a layer stands in a stack, and what it says about that.

A layer may have a method ``remarks(place)``, which returns a `Remark` for each neighbour that makes a difference. The
stack collects them, and `Endpoint.describe` prints them. The one who remarks is the layer whose effect changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard, TypeVar, runtime_checkable

from ziggurat.services.remark import Remark, remarks_of
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["ChoosingLayer", "Place", "ProxyLayer", "RemarkingLayer", "is_proxy", "stack_remarks"]

L = TypeVar("L")


class ProxyLayer(Protocol):
    """A layer that dials a proxy in place of the target. What stands below it deals with the proxy."""

    @property
    def proxy(self) -> Uri: ...


@dataclass(frozen=True, slots=True)
class Place:
    """A layer's place.

    Attributes:
        target: what the stack is to dial.
        above: the layers above it, outermost first.
        below: the layers below it, nearest first.
        leaf: the connector below them all.
    """

    target: Uri
    above: tuple[object, ...]
    below: tuple[object, ...]
    leaf: Connector

    @property
    def proxies_above(self) -> list[ProxyLayer]:
        """The layers above that dial a proxy, outermost first, and those that a route above takes for the target."""
        return [layer for each in self.above for layer in _taken(each, self.target) if is_proxy(layer)]

    def has_above(self, kind: type[L]) -> list[L]:
        """Return the layers above of that kind, outermost first."""
        return [layer for layer in self.above if isinstance(layer, kind)]

    def has_below(self, kind: type[L]) -> list[L]:
        """Return the layers below of that kind, nearest first."""
        return [layer for layer in self.below if isinstance(layer, kind)]


def is_proxy(layer: object) -> TypeGuard[ProxyLayer]:
    """Return whether a layer dials a proxy: it has the attribute ``proxy``, a `Uri`."""
    return isinstance(getattr(layer, "proxy", None), Uri)


@runtime_checkable
class ChoosingLayer(Protocol):
    """A layer that takes other layers for some targets, as a route does."""

    def layers_for(self, target: Uri, /) -> Sequence[object]:
        """Return the layers that a dial of ``target`` takes, outermost first, without resolving anything."""
        ...


def _taken(layer: object, target: Uri) -> Sequence[object]:
    return layer.layers_for(target) if isinstance(layer, ChoosingLayer) else (layer,)


@runtime_checkable
class RemarkingLayer(Protocol):
    """A layer that has something to say about its place."""

    def remarks(self, place: Place, /) -> Iterable[Remark]: ...


def stack_remarks(layers: tuple[object, ...], leaf: Connector, target: Uri) -> list[Remark]:
    """Return the remarks of all layers, outermost first, and of the leaf."""
    found: list[Remark] = []
    for position, layer in enumerate(layers):
        if isinstance(layer, RemarkingLayer):
            found += layer.remarks(Place(target, layers[:position], layers[position + 1 :], leaf))
    return found + remarks_of(leaf, target)
