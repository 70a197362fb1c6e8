from __future__ import annotations

from typing import Any

import pytest

from ziggurat.layers.balance.discovery import Insert, Remove
from ziggurat.services.tcp import TcpConnector


def test_changes_are_comparable_and_have_a_repr() -> None:
    assert Insert("a", TcpConnector()) == Insert("a", TcpConnector())
    assert repr(Remove("a")) == "Remove(key='a')"


@pytest.mark.parametrize("connector", [None, "10.0.0.1:80", TcpConnector])
def test_what_is_no_connector_is_refused(connector: Any) -> None:
    with pytest.raises(TypeError, match=r"connector|class"):
        Insert("a", connector)


def test_a_key_must_be_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        Insert([], TcpConnector())  # type: ignore[arg-type]
