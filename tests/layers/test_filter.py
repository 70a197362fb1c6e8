from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.layers.scripted import TARGET, Leaf
from ziggurat.layers.filter import FilterLayer
from ziggurat.layers.testing import check_layer
from ziggurat.services import DialAttribute, RouteRefused, Uri

ONION = Uri.parse("http://abc.onion:80")
OTHER = Uri.parse("http://other.test:80")


def only_onion(uri: Uri) -> bool:
    return uri.host.endswith(".onion")


async def known(uri: Uri) -> bool:
    await anyio.sleep(1.0)
    return uri == ONION


def through(uri: Uri) -> bool:
    return True


@pytest.mark.parametrize("layer", [FilterLayer(through), FilterLayer(known, "known")], ids=repr)
async def test_it_keeps_the_contracts_of_a_layer(layer: FilterLayer) -> None:
    await check_layer(layer, uri=ONION, transparent=True)


@pytest.mark.parametrize("predicate", [only_onion, known])
async def test_it_lets_through_or_refuses_without_touching_inner(predicate: Any) -> None:
    leaf = Leaf()
    connector = FilterLayer(predicate).layer(leaf)
    with pytest.raises(RouteRefused) as caught:
        await connector(TARGET)
    assert not leaf.calls
    assert (caught.value.rule, caught.value.phase) == (predicate.__name__, "filter")
    assert not caught.value.transient
    assert f"the filter {predicate.__name__} does not let it through" in str(caught.value)
    await (await connector(ONION)).aclose()
    assert len(leaf.calls) == 1


async def test_it_may_dial_another_target_and_the_dial_keeps_its_own() -> None:
    dialled: list[Uri] = []

    async def leaf(uri: Uri, /) -> Any:
        dialled.append(uri)
        return await Leaf()(uri)

    stream = await FilterLayer(lambda uri: OTHER).layer(leaf)(TARGET)
    assert dialled == [OTHER]
    assert stream.extra(DialAttribute.ledger).target == TARGET
    await stream.aclose()


async def test_its_own_refusal_passes() -> None:
    def refuse(uri: Uri) -> bool:
        raise RouteRefused("not on Sundays", "calendar")

    with pytest.raises(RouteRefused, match="not on Sundays") as caught:
        await FilterLayer(refuse).layer(Leaf())(TARGET)
    assert caught.value.rule == "calendar"


async def test_the_name_is_the_rule() -> None:
    with pytest.raises(RouteRefused, match="the filter peers does not") as caught:
        await FilterLayer(lambda uri: False, "peers").layer(Leaf())(TARGET)
    assert caught.value.rule == "peers"


@pytest.mark.parametrize("answer", [None, 1, "yes"])
async def test_something_else_is_a_mistake(answer: Any) -> None:
    leaf = Leaf()
    with pytest.raises(TypeError, match="not True, False or a Uri"):
        await FilterLayer(lambda uri: answer).layer(leaf)(TARGET)
    assert not leaf.calls


def test_wrong_settings_are_refused_and_repr_names_the_function() -> None:
    with pytest.raises(TypeError, match="predicate must be a function"):
        FilterLayer("onion")  # type: ignore[arg-type]
    assert repr(FilterLayer(only_onion)) == "FilterLayer(only_onion)"
    assert repr(FilterLayer(only_onion, "peers")) == "FilterLayer(peers)"
