from __future__ import annotations

import pytest
from anyio.abc import ByteStream

from ziggurat.layers.layer import Layer, layer_fn
from ziggurat.layers.route.decision import Decision
from ziggurat.layers.route.routed import Routed
from ziggurat.layers.testing import mock_connector, stream_pair
from ziggurat.services.errors import RouteRefused
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://a.example")


class Always:
    """Decides the same for every target."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(self, uri: Uri, /) -> Decision:
        return self.decision


async def connector(uri: Uri, /) -> ByteStream:
    return stream_pair()[0]


async def test_layers_are_applied_once_and_outermost_first() -> None:
    applied: list[str] = []

    def named(name: str) -> Layer:
        def apply(inner: Connector) -> Connector:
            applied.append(name)
            return inner

        return layer_fn(apply)

    decision = Decision("stack", "always", "x", (named("outer"), named("inner")))
    routed = Routed(Always(decision), connector, [decision])
    for _ in range(2):
        await (await routed(TARGET)).aclose()

    assert applied == ["inner", "outer"]


async def test_a_refusal_need_not_be_known_beforehand() -> None:
    below, handle = mock_connector()
    refusal = Decision("refuse", None, "refuse", reason="never", hint="try another")

    with pytest.raises(RouteRefused, match="never; try another"):
        await Routed(Always(refusal), below, [])(TARGET)

    assert not handle.requests
