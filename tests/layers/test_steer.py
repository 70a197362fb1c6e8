from __future__ import annotations

from typing import Any

import pytest

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers.steer import Steer
from ziggurat.layers.testing import check_layer
from ziggurat.services import Connector, ConnectRefused, DialAttribute, RouteRefused, Uri

ONION = Uri.parse("http://abc.onion:80")


def network(uri: Uri) -> str:
    return "tor" if uri.host.endswith(".onion") else "direct"


class ToInner:
    def layer(self, inner: Connector, /) -> Connector:
        return Steer({"direct": inner, "tor": Leaf()}, network)


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(ToInner(), transparent=True)


async def test_the_picked_connector_dials_and_no_other() -> None:
    """tower steer/main.rs, without its head-of-line blocking: the others need not be ready, nor work."""
    direct, tor = Leaf(*refused(9)), Leaf()
    steer = Steer({"direct": direct, "tor": tor}, network)
    stream = await steer(ONION)
    assert stream is tor.streams[0]
    assert [entry.branch for entry in stream.extra(DialAttribute.ledger).phases] == ["tor"]
    await stream.aclose()
    with pytest.raises(ConnectRefused):
        await steer(TARGET)
    assert (len(direct.calls), len(tor.calls)) == (1, 1)


async def test_an_unknown_key_is_refused_by_name() -> None:
    """tower panics at an index out of range."""
    with pytest.raises(RouteRefused, match="network picked 'direct', and there are only tor, i2p") as caught:
        await Steer({"tor": Leaf(), "i2p": Leaf()}, network)(TARGET)
    assert caught.value.rule == "direct"
    assert not caught.value.transient


async def test_the_picks_own_refusal_passes() -> None:
    def refuse(uri: Uri) -> str:
        raise RouteRefused("never", "policy")

    with pytest.raises(RouteRefused, match="never"):
        await Steer({"a": Leaf()}, refuse)(TARGET)


async def test_the_connectors_are_those_at_construction() -> None:
    given: dict[str, Connector] = {"direct": Leaf()}
    steer = Steer(given, network)
    given.clear()
    await (await steer(TARGET)).aclose()
    assert list(steer.connectors) == ["direct"]


async def later(uri: Uri) -> str:
    return "a"


@pytest.mark.parametrize(
    ("connectors", "pick", "kind", "message"),
    [
        ([Leaf()], network, TypeError, "connectors must be a mapping"),
        ({}, network, ValueError, "must not be empty"),
        ({"a": None}, network, TypeError, "a connector is"),
        ({"a": Leaf()}, "a", TypeError, "pick must be a function"),
        ({"a": Leaf()}, later, TypeError, "later is async"),
    ],
)
def test_wrong_arguments_are_refused(connectors: Any, pick: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Steer(connectors, pick)


def test_repr_names_keys_and_function() -> None:
    assert repr(Steer({"direct": Leaf(), "tor": Leaf()}, network)) == "Steer(direct, tor; network)"
