"""Give each SOCKS5 proxy of a way the client's key, so that a proxy that isolates keeps local clients apart."""

from __future__ import annotations

from collections.abc import Iterable

from ziggurat.layers.forward.client_key import client_key
from ziggurat.layers.layer import Layer
from ziggurat.layers.socks5 import Isolated, Socks5Layer

__all__ = ["isolate_clients"]


def isolate_clients(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the same layers, where each `Socks5Layer` without credentials has those of `client_key`.

    They are offered beside "no authentication", for proxies that know none: nothing is isolated there.
    """
    return tuple(map(_isolated, layers))


def _isolated(layer: Layer) -> Layer:
    if not isinstance(layer, Socks5Layer) or layer.auth is not None:
        return layer
    return Socks5Layer(
        layer.proxy,
        auth=Isolated(key=client_key, required=False),
        handshake_timeout=layer.handshake_timeout,
        connect_timeout=layer.connect_timeout,
        pipeline=layer.pipeline,
        literals=layer.literals,
    )
