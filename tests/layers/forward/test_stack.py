"""The forwarder's stack, by what it shows."""

from __future__ import annotations

import pytest

from ziggurat.layers import Identity, KeepAliveLayer, TimeoutLayer, TlsLayer
from ziggurat.layers.forward.stack import forward_stack
from ziggurat.services import SocketConnector


def test_the_order() -> None:
    stack = forward_stack([Identity()], tls=True, timeout=5.0)
    assert [type(layer) for layer in stack.layers] == [TimeoutLayer, TlsLayer, Identity, KeepAliveLayer]
    assert stack.layers[1] == TlsLayer(alpn=())
    assert isinstance(stack.leaf, SocketConnector)


def test_without_anything() -> None:
    assert forward_stack(keepalive=False).layers == ()


def test_a_wrong_limit() -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        forward_stack(timeout=0.0)
