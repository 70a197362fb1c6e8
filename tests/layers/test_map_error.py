from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers.map_error import MapErrorLayer
from ziggurat.layers.testing import check_layer
from ziggurat.services import ConnectError, ConnectRefused, LimitExceeded, Uri


def same(error: Exception) -> Exception:
    return error


def ours(error: Exception) -> Exception:
    return LimitExceeded("later, please", hint="wait")


@pytest.mark.parametrize("function", [same, ours])
async def test_it_keeps_the_contracts_of_a_layer(function: Any) -> None:
    await check_layer(MapErrorLayer(function), transparent=True)


async def test_another_error_keeps_the_place_and_has_the_first_as_its_cause() -> None:
    (below,) = refused()
    with pytest.raises(LimitExceeded) as caught:
        await MapErrorLayer(ours).layer(Leaf(below))(TARGET)
    assert (caught.value.phase, caught.value.target) == ("tcp", TARGET)
    assert caught.value.__cause__ is below
    assert str(caught.value) == "http://target.test:80: tcp failed after 0.00 s: later, please; wait"


async def test_the_same_error_is_raised_as_it_was() -> None:
    (below,) = refused()
    with pytest.raises(ConnectRefused) as caught:
        await MapErrorLayer(same).layer(Leaf(below))(TARGET)
    assert caught.value is below
    assert caught.value.__cause__ is None


async def test_what_is_no_connect_error_is_put_into_one() -> None:
    with pytest.raises(ConnectError, match="KeyError: 'token'") as caught:
        await MapErrorLayer(lambda error: KeyError("token")).layer(Leaf(*refused()))(TARGET)
    assert isinstance(caught.value.__cause__, ConnectRefused)


async def test_a_cancellation_is_never_mapped() -> None:
    seen: list[Exception] = []

    def see(error: Exception) -> Exception:
        seen.append(error)
        return error

    with anyio.move_on_after(1.0) as scope:
        await MapErrorLayer(see).layer(Leaf(seconds=10.0))(TARGET)
    assert scope.cancelled_caught
    assert not seen


@pytest.mark.parametrize("wrong", [None, "text", KeyboardInterrupt()])
async def test_something_else_than_an_exception_is_a_mistake(wrong: Any) -> None:
    with pytest.raises(TypeError, match="not an exception"):
        await MapErrorLayer(lambda error: wrong).layer(Leaf(*refused()))(TARGET)


class Failing:
    """A leaf that keeps no error."""

    async def __call__(self, uri: Uri, /) -> ByteStream:
        raise ConnectError("no")


async def test_it_leaves_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        leaf = Failing()
        alive = weakref.ref(leaf)
        with pytest.raises(LimitExceeded):
            await MapErrorLayer(ours).layer(leaf)(TARGET)
        del leaf
        assert alive() is None
    finally:
        gc.enable()


async def later(error: Exception) -> Exception:
    return error


def test_wrong_settings_are_refused_and_repr_names_the_function() -> None:
    with pytest.raises(TypeError, match="later is async"):
        MapErrorLayer(later)  # type: ignore[arg-type]
    assert repr(MapErrorLayer(ours)) == "MapErrorLayer(ours)"
