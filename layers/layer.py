"""A layer, which wraps a connector, and a stack of layers.

A layer is frozen configuration with ``layer(inner) -> connector``. It can be applied any number of times, each time
with fresh state; shared state is an object that the user makes and passes in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from anyio.abc import ByteStream

from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Identity", "Layer", "LayerFn", "Stack", "layer_fn"]


class Layer(Protocol):
    """Anything with ``layer(inner)`` that returns a connector around ``inner``."""

    def layer(self, inner: Connector, /) -> Connector:
        """Wrap ``inner``, without changing the layer itself."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """The layer that adds nothing: ``Identity().layer(x) is x``."""

    def layer(self, inner: Connector, /) -> Connector:
        return inner


class LayerFn:
    """A function ``inner -> connector`` as a layer; made by `layer_fn`."""

    __slots__ = ("_function", "_name")

    def __init__(self, function: Callable[[Connector], Connector], name: str) -> None:
        self._function = function
        self._name = name

    def layer(self, inner: Connector, /) -> Connector:
        return self._function(inner)

    def __repr__(self) -> str:
        return self._name


def layer_fn(function: Callable[[Connector], Connector], name: str | None = None) -> LayerFn:
    """Make a layer from a function ``inner -> connector``.

    Args:
        function: called once for each stack.
        name: the ``repr``; ``None`` for the function's own name.

    Raises:
        TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"layer_fn takes a function from a connector to a connector, not {function!r}")
    return LayerFn(function, name or str(getattr(function, "__qualname__", repr(function))))


class Stack:
    """A connector made of layers over a leaf. The first layer is the outermost and sees the dial first.

    ``repr`` gives one line, outermost first, with settings and without secrets; ``str`` one line per layer.

    Attributes:
        layers: the layers, outermost first.
        leaf: the connector below them.
    """

    __slots__ = ("_top", "layers", "leaf")

    def __init__(self, layers: tuple[Layer, ...], leaf: Connector) -> None:
        self.layers = layers
        self.leaf = leaf
        self._top = leaf
        for layer in reversed(layers):
            self._top = layer.layer(self._top)

    def __call__(self, uri: Uri, /) -> Awaitable[ByteStream]:
        """Dial ``uri``, from the outermost layer down to the leaf."""
        return self._top(uri)

    def __repr__(self) -> str:
        return f"Stack({' > '.join(map(repr, (*self.layers, self.leaf)))})"

    def __str__(self) -> str:
        return "\n".join(map(repr, (*self.layers, self.leaf)))
