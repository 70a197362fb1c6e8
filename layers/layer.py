"""A layer, which wraps a connector, and a stack of layers.

A layer is frozen configuration with ``layer(inner) -> connector``. It can be applied any number of times, each time
with fresh state; shared state is an object that the user makes and passes in.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from anyio.abc import ByteStream

from ziggurat.layers.place import stack_remarks
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Identity", "Layer", "LayerFn", "Stack", "apply_layer", "as_layer", "check_connector", "layer_fn"]


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
        TypeError: ``function`` cannot be called, or is a layer's class.
    """
    _refuse_layer_class(function)
    if not callable(function):
        raise TypeError(f"layer_fn takes a function from a connector to a connector, not {function!r}")
    return LayerFn(function, name or str(getattr(function, "__qualname__", repr(function))))


def as_layer(layer: object) -> Layer:
    """Return a layer for an object with ``layer(inner)``, which it is, or for a function ``inner -> connector``.

    Raises:
        TypeError: it is neither, or a class in place of an instance.
    """
    if isinstance(layer, type):
        _refuse_layer_class(layer)
        raise TypeError(f"{layer.__name__} is a class: pass an instance, {layer.__name__}(...), or layer_fn(it)")
    if callable(getattr(layer, "layer", None)):
        return cast(Layer, layer)
    if not callable(layer):
        hint = " (does the function that makes it `return` it?)" if layer is None else ""
        raise TypeError(f"a layer is an object with layer(inner) or a function inner -> connector, not {layer!r}{hint}")
    return layer_fn(cast(Callable[[Connector], Connector], layer))


def check_connector(connector: object) -> None:
    """Check that ``connector`` is a connector, as far as that shows before it is called.

    Raises:
        TypeError: it cannot be called, or is a class in place of an instance.
    """
    if isinstance(connector, type):
        raise TypeError(f"{connector.__name__} is a class: pass an instance, {connector.__name__}(...)")
    if not callable(connector):
        raise TypeError(f"a connector is an async callable uri -> stream, not {connector!r}")


def apply_layer(layer: Layer, inner: Connector) -> Connector:
    """Return ``layer.layer(inner)``.

    Raises:
        TypeError: the layer returned something that is no connector, e.g. ``None`` for want of a ``return``.
    """
    connector = cast(object, layer.layer(inner))
    if inspect.iscoroutine(connector):
        connector.close()  # or Python would warn that it was never awaited
        raise TypeError(f"the layer {layer!r} is an async function: make it a plain one that returns the async one")
    if connector is None:
        raise TypeError(f"the layer {layer!r} returned None: `return` the connector from it")
    if isinstance(connector, type):
        raise TypeError(f"the layer {layer!r} returned the class {connector.__name__}: return an instance")
    if not callable(connector):
        raise TypeError(f"the layer {layer!r} returned {connector!r}, which is no async callable uri -> stream")
    return cast(Connector, connector)


def _refuse_layer_class(layer: object) -> None:
    if isinstance(layer, type) and callable(getattr(layer, "layer", None)):
        raise TypeError(f"{layer.__name__} is a class: pass an instance, {layer.__name__}(...)")


class Stack:
    """A connector made of layers over a leaf. The first layer is the outermost and sees the dial first.

    ``repr`` gives one line, outermost first, with settings and without secrets; ``str`` one line per layer.

    Attributes:
        layers: the layers, outermost first.
        leaf: the connector below them.

    Raises:
        TypeError: one of them is not what it should be, or a layer returned something that is no connector.
    """

    __slots__ = ("_top", "layers", "leaf")

    layers: tuple[Layer, ...]

    def __init__(self, layers: Iterable[Layer | Callable[[Connector], Connector]], leaf: Connector) -> None:
        check_connector(leaf)
        self.layers = tuple(map(as_layer, layers))
        self.leaf = leaf
        self._top = leaf
        for layer in reversed(self.layers):
            self._top = apply_layer(layer, self._top)

    def __call__(self, uri: Uri, /) -> Awaitable[ByteStream]:
        """Dial ``uri``, from the outermost layer down to the leaf."""
        return self._top(uri)

    def remarks(self, target: Uri, /) -> list[Remark]:
        """Return what its layers say about their places, and the leaf about itself, in a dial of ``target``."""
        return stack_remarks(self.layers, self.leaf, target)

    def __repr__(self) -> str:
        return f"Stack({' > '.join(map(repr, (*self.layers, self.leaf)))})"

    def __str__(self) -> str:
        return "\n".join(map(repr, (*self.layers, self.leaf)))
