from __future__ import annotations

from typing import Any

import pytest

from tests.layers.scripted import TARGET, Leaf
from ziggurat.layers.map_request import MapRequestLayer
from ziggurat.layers.testing import check_layer
from ziggurat.services import DialAttribute, Uri

OTHER = Uri.parse("tcp://10.0.0.7:81")


def moved(uri: Uri) -> Uri:
    return OTHER


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(MapRequestLayer(moved), inner_uri=OTHER, transparent=True)


async def test_the_ledger_has_what_was_asked_for_and_what_was_dialled() -> None:
    stream = await MapRequestLayer(moved).layer(Leaf())(TARGET)
    ledger = stream.extra(DialAttribute.ledger)
    assert ledger.target == TARGET
    assert [entry.via for entry in ledger.phases] == ["10.0.0.7:81"]
    await stream.aclose()


async def later(uri: Uri) -> Uri:
    return uri


@pytest.mark.parametrize("wrong", [None, "http://a:1", later])
async def test_something_else_than_a_uri_is_a_mistake(wrong: Any) -> None:
    leaf = Leaf()
    with pytest.raises(TypeError, match="not a Uri"):
        await MapRequestLayer(lambda uri: wrong(uri) if callable(wrong) else wrong).layer(leaf)(TARGET)
    assert not leaf.calls


def test_wrong_settings_are_refused_and_repr_names_the_function() -> None:
    with pytest.raises(TypeError, match="later is async: a FilterLayer takes one"):
        MapRequestLayer(later)  # type: ignore[arg-type]
    assert repr(MapRequestLayer(moved)) == "MapRequestLayer(moved)"
