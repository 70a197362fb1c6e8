"""A stack: the first layer is the outermost, and its repr shows the layers in the order of a dial."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from anyio.abc import ByteStream

from ziggurat.layers.layer import Identity, Stack, apply_layer, as_layer, check_connector, layer_fn
from ziggurat.layers.testing import MemoryStream, stream_pair
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services import Uri
from ziggurat.services.service import Connector

TARGET = Uri("http", "target.example", 80)


class Leaf:
    """A leaf that returns one end of a pair and records its call."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.stream: MemoryStream
        self.stream, self.far = stream_pair()

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self.seen.append(str(uri))
        return self.stream

    def __repr__(self) -> str:
        return "Leaf()"


@dataclass(frozen=True, slots=True)
class NoteLayer:
    """A layer that records its name on the way down and on the way up."""

    name: str
    seen: list[str]

    def layer(self, inner: Connector, /) -> Connector:
        async def noting(uri: Uri) -> ByteStream:
            self.seen.append(f"{self.name} in")
            stream = await inner(uri)
            self.seen.append(f"{self.name} out")
            return stream

        return noting

    def __repr__(self) -> str:
        return f"NoteLayer({self.name!r})"


async def test_the_first_layer_sees_the_dial_first_and_the_stream_last() -> None:
    leaf = Leaf()
    stack = Stack((NoteLayer("outer", leaf.seen), NoteLayer("inner", leaf.seen)), leaf)
    stream = await stack(TARGET)

    assert stream is leaf.stream
    assert leaf.seen == ["outer in", "inner in", str(TARGET), "inner out", "outer out"]


async def test_a_stack_can_dial_any_number_of_times_and_be_a_leaf() -> None:
    leaf = Leaf()
    stack = Stack((NoteLayer("above", leaf.seen),), Stack((), leaf))
    await stack(TARGET)
    await stack(TARGET)

    assert leaf.seen.count(str(TARGET)) == 2


def test_a_layer_is_applied_once_for_each_stack() -> None:
    applied: list[Connector] = []

    def wrap(inner: Connector) -> Connector:
        applied.append(inner)
        return inner

    leaf, layer = Leaf(), layer_fn(wrap)
    Stack((layer,), leaf)
    Stack((layer, layer), leaf)

    assert applied == [leaf, leaf, leaf]


def test_repr_is_one_line_outermost_first_and_str_one_line_per_layer() -> None:
    stack = Stack((NoteLayer("a", []), Identity(), NoteLayer("b", [])), Leaf())

    assert repr(stack) == "Stack(NoteLayer('a') > Identity() > NoteLayer('b') > Leaf())"
    assert str(stack) == "NoteLayer('a')\nIdentity()\nNoteLayer('b')\nLeaf()"


def test_the_parts_of_a_stack_can_be_read() -> None:
    layers, leaf = (NoteLayer("a", []),), Leaf()
    stack = Stack(layers, leaf)

    assert stack.layers == layers
    assert stack.leaf is leaf


def test_identity_adds_nothing() -> None:
    leaf = Leaf()

    assert Identity().layer(leaf) is leaf
    assert Identity() == Identity()


async def test_a_function_is_a_layer_with_its_own_name() -> None:
    leaf = Leaf()

    def shout(inner: Connector) -> Connector:
        async def shouting(uri: Uri) -> ByteStream:
            leaf.seen.append("shout")
            return await inner(uri)

        return shouting

    await layer_fn(shout).layer(leaf)(TARGET)

    assert leaf.seen == ["shout", str(TARGET)]
    assert repr(layer_fn(shout)).endswith("shout")
    assert repr(layer_fn(shout, "Shout")) == "Shout"


def test_a_value_that_is_not_callable_is_not_a_layer() -> None:
    with pytest.raises(TypeError, match="not 7"):
        layer_fn(7)  # type: ignore[arg-type]


def forgets_return(inner: Connector) -> Connector:  # type: ignore[return]
    async def connect(uri: Uri) -> ByteStream:
        return await inner(uri)


async def is_async(inner: Connector) -> Connector:
    return inner


class ForgetsReturnLayer:
    def layer(self, inner: Connector, /) -> Connector:  # type: ignore[return]
        layer_fn(Identity().layer)

    def __repr__(self) -> str:
        return "ForgetsReturnLayer()"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (forgets_return, "the layer forgets_return returned None: `return` the connector"),
        (ForgetsReturnLayer(), r"the layer ForgetsReturnLayer\(\) returned None"),
        (is_async, "the layer is_async is an async function: make it a plain one"),
        (layer_fn(lambda inner: Leaf, "makes"), "the layer makes returned the class Leaf: return an instance"),
        (layer_fn(lambda inner: TimeoutLayer(1.0), "makes"), "the layer makes returned TimeoutLayer.*, which is no"),
    ],
)
def test_a_layer_that_returns_no_connector_is_a_type_error_when_the_stack_is_made(layer: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Stack((Identity(), layer), Leaf())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=message):
        apply_layer(as_layer(layer), Leaf())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (TimeoutLayer, r"TimeoutLayer is a class: pass an instance, TimeoutLayer\(\.\.\.\)$"),
        (Leaf, r"Leaf is a class: pass an instance, Leaf\(\.\.\.\), or layer_fn"),
        (None, "a layer is an object with layer"),
        ("socks5", "not 'socks5'"),
    ],
)
def test_what_is_no_layer_is_a_type_error(layer: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_layer(layer)
    with pytest.raises(TypeError, match=message):
        Stack((layer,), Leaf())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("leaf", "message"), [(Leaf, "Leaf is a class: pass an instance"), (None, "not None"), (Identity(), "not Identity")]
)
def test_what_is_no_connector_is_a_type_error(leaf: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_connector(leaf)
    with pytest.raises(TypeError, match=message):
        Stack((), leaf)  # type: ignore[arg-type]


def test_a_class_whose_instances_are_connectors_is_a_layer_through_layer_fn_and_a_layers_class_is_not() -> None:
    class Around:
        def __init__(self, inner: Connector) -> None:
            self.inner = inner

        async def __call__(self, uri: Uri, /) -> ByteStream:
            return await self.inner(uri)

    leaf = Leaf()
    assert isinstance(apply_layer(layer_fn(Around), leaf), Around)
    with pytest.raises(TypeError, match="TimeoutLayer is a class"):
        layer_fn(TimeoutLayer)  # type: ignore[arg-type]
