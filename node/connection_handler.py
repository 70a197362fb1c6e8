"""The single place where a peer is reached.

Every outbound connection of the node is made here and nowhere else, directly or through a SOCKS5 proxy, and every name
is looked up here; with a proxy nothing but the proxy is dialled, and no name but the proxy's own is looked up by this
machine. Tests keep it so.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Literal

import anyio

from ziggurat.layers import Isolated, ServiceBuilder, Socks5Layer, Stack, UserPass
from ziggurat.node.address import PeerAddress
from ziggurat.node.outbound import OutboundStream, resolve_through_proxy
from ziggurat.node.wire import MessageCodec
from ziggurat.services import (
    Connecting,
    Connector,
    Endpoint,
    Limit,
    ResolveError,
    SocketConnector,
    Uri,
    dial,
    phase,
)

__all__ = ["ConnectionHandler", "Resolver", "proxy_layer"]

Resolver = Callable[[str], Awaitable[list[str]]]

REACH_TIMEOUT = 1.0
"""Seconds to reach a direct peer, or the proxy (its name and TCP): what kaspad gives a peer."""

PROXY_HANDSHAKE_TIMEOUT = 10.0
"""Seconds for greeting and authentication: the proxy is near, but a busy Tor answers late."""

TUNNEL_TIMEOUT = 60.0
"""Seconds to an open tunnel. A fresh Tor circuit may well take half of it; a healthy one takes three."""

ONION_TUNNEL_TIMEOUT = 120.0
"""Seconds to an open tunnel to an onion service: descriptor, introduction and rendezvous, each a circuit of its own.
Tor itself gives up (SocksTimeout) after as many."""

KEEPALIVE = 10.0
"""Seconds of silence before TCP asks whether the other end is there, as kaspad's client does."""

LOOKUP_TIMEOUT = 10.0
"""Seconds for a seed's name, by whatever way: the next one is as good."""

LINGER = 1.0
"""Seconds that a close waits for what is unsent. Stopping the node takes at most five, for all peers at once."""

MAX_MESSAGE_SIZE = 32 * 1024 * 1024
"""Bytes of a received message, inflated. kaspad takes 256 MiB, for data of the initial download that we never ask."""


def proxy_layer(proxy: str | Uri, user: UserPass | None = None) -> Socks5Layer:
    """The layer for a proxy. Without credentials of its own every dial gets fresh ones, and so, from Tor, a circuit.

    Raises:
        ValueError: the address is wrong, or has credentials where ``user`` has some, too.
    """
    layer = Socks5Layer(proxy, auth=user, handshake_timeout=PROXY_HANDSHAKE_TIMEOUT)
    if layer.auth is not None:
        return layer
    return Socks5Layer(
        layer.proxy, auth=Isolated(required=False), handshake_timeout=PROXY_HANDSHAKE_TIMEOUT
    )  # required=False: a proxy that knows no authentication is no error, and the ledger says so


class ConnectionHandler:
    """Reaches peers.

    Args:
        proxy: the SOCKS5 proxy that every connection goes through, see `proxy_layer`; ``None``: direct connections.
        leaf: what opens sockets; a test or a fleet puts its own network here.
        resolver: looks a name up when there is no proxy; ``None`` asks the system.
        max_message_size: bytes of the largest message that is received, inflated.
        compression: ``"gzip"`` compresses what is sent, as kaspad does; to no use for messages as small as ours.
    """

    def __init__(
        self,
        proxy: Socks5Layer | None = None,
        leaf: Connector | None = None,
        *,
        resolver: Resolver | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        compression: Literal["gzip"] | None = None,
    ) -> None:
        self.proxy = proxy
        self.leaf = SocketConnector() if leaf is None else leaf
        self.max_message_size = max_message_size
        self._compression: Literal["gzip"] | None = compression
        self._resolver = _system_resolver if resolver is None else resolver

    @property
    def via(self) -> str | None:
        """The proxy's address; ``None`` without one."""
        return None if self.proxy is None else self.proxy.proxy.authority

    def stack(self, peer: Uri | None = None) -> Stack:
        """How a peer is reached, from top to bottom; ``peer`` makes a difference only when it is an onion service."""
        onion = peer is not None and peer.host.endswith(".onion")
        return (
            ServiceBuilder()  # the top sees the dial first
            .logging()  # dial.started, dial.connected, dial.failed
            .timeout(ONION_TUNNEL_TIMEOUT if onion else TUNNEL_TIMEOUT, name="tunnel")  # up to the open tunnel
            .option_layer(self.proxy)  # names go to the proxy; None: directly
            .keepalive(KEEPALIVE)  # TCP keepalive: notices a dead peer, or a dead proxy
            .timeout(REACH_TIMEOUT, name="reach proxy" if self.proxy else "reach peer")
            .service(self.leaf)
        )

    def endpoint(self, peer: Uri) -> Endpoint:
        """The HTTP/2 side of a connection to ``peer``."""
        return Endpoint(
            peer,
            max_message_size=self.max_message_size,
            linger=LINGER,
            compression=self._compression,
        )

    def channel(self, peer: Uri) -> Connecting:
        """Dial ``peer``; await the answer, or enter it, for a channel. `connect` is what the node uses.

        Raises:
            ConnectError: when awaited or entered; it says what failed where.
        """
        return self.endpoint(peer).connect(self.stack(peer))

    async def connect(self, address: PeerAddress) -> OutboundStream:
        """Dial a peer. The stream is not open yet: to open it and to shake hands is the caller's next step.

        Raises:
            ConnectError: the peer was not reached.
            ValueError: the address has port 0.
        """
        uri, codec = address.uri(), MessageCodec()  # a codec belongs to one connection
        with dial(uri):
            channel = await dataclasses.replace(self.endpoint(uri), codec=codec).connect(self.stack(uri))
            return OutboundStream(channel, codec)

    async def resolve(self, host: str) -> list[str]:
        """Look a seed's name up: by the system, or with a proxy by the proxy (Tor's RESOLVE) and by nobody else.

        Returns:
            IP addresses as text, at least one; from a proxy, one.

        Raises:
            ProxyRefused: the proxy knows no such command (reply 07), or found nothing. The seed can still be dialled
                by its name.
            ResolveError: the system found nothing.
            ConnectError: the proxy was not reached; or time ran out.
        """
        target = Uri("tcp", host, 1)  # a look-up has no port, and a Uri has one
        if self.proxy is None:
            with dial(target), phase("dns", limit=LOOKUP_TIMEOUT):
                return await self._resolver(host)
        below = ServiceBuilder().keepalive(KEEPALIVE).timeout(REACH_TIMEOUT, name="reach proxy").service(self.leaf)
        with dial(target), Limit(LOOKUP_TIMEOUT, "look-up"):
            found = await resolve_through_proxy(self.proxy, below, target)
        try:
            return [str(ip_address(found))]
        except ValueError:
            raise ResolveError(f"the proxy answered with {found!r}, which is no address") from None


async def _system_resolver(host: str) -> list[str]:
    try:
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ResolveError(f"{host}: {error.strerror or error}", transient=True) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
