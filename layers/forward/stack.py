"""The stack that a forwarder dials through."""

from __future__ import annotations

from collections.abc import Iterable

from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.layer import Layer, Stack
from ziggurat.services.socket import SocketConnector

__all__ = ["forward_stack"]

KEEPALIVE = 60.0
"""Seconds of silence after which the system asks whether the other end is still there. A forwarder has no traffic of
its own, and without it a connection to a host that has vanished would stay open for good."""


def forward_stack(
    ways: Iterable[Layer] = (), *, tls: bool = False, timeout: float | None = None, keepalive: bool = True
) -> Stack:
    """Return the stack for a forwarder: the limit, TLS with the target, the way there, keepalive, the leaf.

    Args:
        ways: the layers that choose or reach the proxies, outermost first; none to dial directly.
        tls: whether to speak TLS with the target, so that the local client need not.
        timeout: seconds for a dial in all; ``None`` for no limit.
        keepalive: whether to turn TCP keepalive on; unix sockets have none.

    Raises:
        TypeError, ValueError: ``timeout`` is wrong.
    """
    builder = ServiceBuilder()
    if timeout is not None:
        builder = builder.timeout(timeout, name="dial")
    if tls:
        builder = builder.tls(alpn=())
    for layer in ways:
        builder = builder.layer(layer)
    if keepalive:
        builder = builder.keepalive(KEEPALIVE)
    return builder.service(SocketConnector())
