"""The single place where a peer is reached.

Every outbound connection of the node is made here and nowhere else, directly or through a SOCKS5 proxy; with a proxy
nothing but the proxy is dialled, and no name but the proxy's own is looked up. A test keeps it so.
"""

from __future__ import annotations

from ziggurat.layers import ServiceBuilder, Socks5Layer, Stack
from ziggurat.services import Connecting, Connector, Endpoint, SocketConnector, Uri

__all__ = ["ConnectionHandler"]

REACH_TIMEOUT = 1.0
"""Seconds to reach a direct peer, or the proxy (its name and TCP): what kaspad gives a peer."""

TUNNEL_TIMEOUT = 60.0
"""Seconds to an open tunnel. A fresh Tor circuit and an onion's rendezvous may well take half of it."""

KEEPALIVE = 10.0
"""Seconds of silence before TCP asks whether the other end is there, as kaspad's client does."""


class ConnectionHandler:
    """Reaches peers.

    Args:
        proxy: the SOCKS5 proxy that every connection goes through; ``None`` for direct connections.
        leaf: what opens sockets; a test or a fleet puts its own network here.
    """

    def __init__(self, proxy: Socks5Layer | None = None, leaf: Connector | None = None) -> None:
        self.proxy = proxy
        self.leaf = SocketConnector() if leaf is None else leaf

    def stack(self) -> Stack:
        """How a peer is reached, from top to bottom."""
        return (
            ServiceBuilder()  # the top sees the dial first
            .logging()  # dial.started, dial.connected, dial.failed
            .timeout(TUNNEL_TIMEOUT, name="tunnel")  # everything below, up to the open tunnel
            .option_layer(self.proxy)  # names go to the proxy; None: directly
            .keepalive(KEEPALIVE)  # TCP keepalive: notices a dead peer, or a dead proxy
            .timeout(REACH_TIMEOUT, name="reach proxy" if self.proxy else "reach peer")
            .service(self.leaf)
        )

    def endpoint(self, peer: Uri) -> Endpoint:
        """The HTTP/2 side of a connection to ``peer``."""
        return Endpoint(peer)

    def connect(self, peer: Uri) -> Connecting:
        """Dial ``peer``; await the answer, or enter it, for a channel.

        Raises:
            ConnectError: when awaited or entered; it says what failed where.
        """
        return self.endpoint(peer).connect(self.stack())
