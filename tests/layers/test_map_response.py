from __future__ import annotations

from typing import Any

import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET, Leaf
from ziggurat.layers.map_response import MapResponseLayer
from ziggurat.layers.testing import SplitStream, check_layer
from ziggurat.services import DialAttribute, WrappedStream


def same(stream: ByteStream) -> ByteStream:
    return stream


def split(stream: ByteStream) -> ByteStream:
    return SplitStream(stream, 2)


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(MapResponseLayer(same), transparent=True)
    await check_layer(MapResponseLayer(split))


async def test_a_foreign_wrapper_gets_the_ledger_too() -> None:
    stream = await MapResponseLayer(split).layer(Leaf())(TARGET)
    assert isinstance(stream, WrappedStream)
    assert stream.extra(DialAttribute.ledger).target == TARGET
    await stream.aclose()


async def test_the_stream_is_closed_if_the_function_raises() -> None:
    def fail(stream: ByteStream) -> ByteStream:
        raise ValueError("no")

    leaf = Leaf()
    with pytest.raises(ValueError, match="no"):
        await MapResponseLayer(fail).layer(leaf)(TARGET)
    assert (len(leaf.streams), leaf.open) == (1, 0)


async def later(stream: ByteStream) -> ByteStream:
    return stream


@pytest.mark.parametrize("wrong", [None, b"", later])
async def test_something_else_than_a_stream_is_a_mistake(wrong: Any) -> None:
    leaf = Leaf()
    with pytest.raises(TypeError, match="not a ByteStream"):
        await MapResponseLayer(lambda stream: wrong(stream) if callable(wrong) else wrong).layer(leaf)(TARGET)
    assert (len(leaf.streams), leaf.open) == (1, 0)


def test_wrong_settings_are_refused_and_repr_names_the_function() -> None:
    with pytest.raises(TypeError, match="later is async: an AndThenLayer takes one"):
        MapResponseLayer(later)  # type: ignore[arg-type]
    assert repr(MapResponseLayer(split)) == "MapResponseLayer(split)"
