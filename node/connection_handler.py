"""The single place where a peer is reached.

All outbound connections of the node are made here, directly or through a proxy, and all names are resolved here. Which
way an address goes is a table's decision, see `Ways`. Behind a proxy, this machine dials only the proxy and resolves
only the proxy's own name. Tests enforce this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeAlias

from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers import (
    DirectLayer,
    FilterLayer,
    HttpConnectLayer,
    Isolated,
    Layer,
    ServiceBuilder,
    Socks4Layer,
    Socks5Layer,
    Stack,
    TlsLayer,
    UserPass,
)
from ziggurat.layers.socks5 import credentials_source, resolve_name
from ziggurat.node.address import AddressNetwork, PeerAddress
from ziggurat.node.config import Proxy, Way, Ways
from ziggurat.node.handshake import HANDSHAKE_MESSAGE_SIZE
from ziggurat.node.outbound import NOT_SUPPORTED, OutboundStream, failure_level
from ziggurat.node.peer import Tunnel, isolation_of
from ziggurat.node.wire import MessageCodec
from ziggurat.services import (
    Connecting,
    Connector,
    Endpoint,
    Limit,
    ProxyRefused,
    RouteRefused,
    SocketConnector,
    TcpConnector,
    UnixConnector,
    Uri,
    dial,
    phase,
)
from ziggurat.services.resolver import look_up

__all__ = ["ConnectionHandler", "ProxyLayer", "Resolver", "proxy_layer"]

Resolver = Callable[[str], Awaitable[list[str]]]

ProxyLayer: TypeAlias = Socks5Layer | Socks4Layer | HttpConnectLayer

REACH_TIMEOUT = 1.0
"""Seconds for the TCP connection to a direct peer, or to the proxy; kaspad's limit for a peer. DNS comes before it."""

PROXY_HANDSHAKE_TIMEOUT = 10.0
"""Seconds for greeting and authentication. The proxy is near, but a busy Tor is slow to reply."""

TUNNEL_TIMEOUT = 60.0
"""Seconds to an open tunnel. Tor may need thirty to build a circuit; a healthy one takes three."""

ONION_TUNNEL_TIMEOUT = 120.0
"""Seconds to an open tunnel to an onion service, which takes three circuits: descriptor, introduction and rendezvous.
Tor itself gives up after the same time (SocksTimeout)."""

KEEPALIVE = 10.0
"""Seconds of silence before TCP probes the other end, as in kaspad's client."""

LOOKUP_TIMEOUT = 10.0
"""Seconds to resolve a seeder's name, directly or by the proxy. It is short because the next seeder will do as well."""

CONTROL_TIMEOUT = 10.0
"""Seconds to Tor's control port, its name's look-up included."""

LINGER = 1.0
"""Seconds that a close waits for unsent data. Stopping the node takes at most five, for all peers together."""

MAX_MESSAGE_SIZE = 16 * 1024 * 1024
"""Bytes of a received message, uncompressed: twice what the largest type may have that the node's own flows read.
kaspad allows 256 MiB for the initial download, which we never request."""


def proxy_layer(proxy: str | Uri, user: UserPass | None = None, *, isolate: bool = True) -> ProxyLayer:
    """Return the layer for a proxy: of SOCKS5 for text without a scheme, or as the scheme of the `Uri` says.

    Without credentials, each dial through SOCKS5 gets new ones, and so its own circuit in Tor; ``isolate=False`` offers
    none. IP addresses are sent as text, as Bitcoin Core does, since Tor's SafeSocks refuses them in binary.

    Raises:
        ValueError: the address is invalid, or both it and ``user`` have credentials.
    """
    if isinstance(proxy, Uri) and proxy.scheme in ("http", "https"):
        return HttpConnectLayer(proxy, auth=user, timeout=None)  # the limit on the tunnel holds
    if isinstance(proxy, Uri) and proxy.scheme in ("socks4", "socks4a"):
        user_id = "" if user is None else user.username
        return Socks4Layer(proxy, user_id=user_id, remote_dns=proxy.scheme == "socks4a", timeout=None)
    layer = Socks5Layer(proxy, auth=user, handshake_timeout=PROXY_HANDSHAKE_TIMEOUT, literals="domain")
    if layer.auth is not None or not isolate:
        return layer
    return Socks5Layer(
        layer.proxy, auth=Isolated(required=False), handshake_timeout=PROXY_HANDSHAKE_TIMEOUT, literals="domain"
    )  # required=False: a proxy without authentication is not an error; the ledger notes it


class ConnectionHandler:
    """Dials peers and resolves names.

    Args:
        ways: which way each network is dialled; or the proxy for all connections, see `proxy_layer`; or ``None``, which
            connects directly.
        leaf: the connector that opens sockets; a test or a fleet passes its own network.
        resolver: resolves names that no proxy resolves; ``None`` uses the system's resolver.
        max_message_size: the maximum size of a received message in bytes, uncompressed.
        compression: ``"gzip"`` compresses sent messages, as kaspad does; ours are too small to gain by it.

    Attributes:
        ways: as above. It may be replaced while the node runs, once Tor has told its proxy.
    """

    def __init__(
        self,
        ways: Ways | ProxyLayer | None = None,
        leaf: Connector | None = None,
        *,
        resolver: Resolver | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        compression: Literal["gzip"] | None = None,
    ) -> None:
        self._given = ways if isinstance(ways, ProxyLayer) else None
        if isinstance(ways, ProxyLayer):
            ways = Ways(general=Proxy(ways.proxy))
        self.ways = Ways() if ways is None else ways
        reach = SocketConnector(TcpConnector(timeout=REACH_TIMEOUT), UnixConnector(timeout=REACH_TIMEOUT))
        self.leaf = reach if leaf is None else leaf
        self.max_message_size = max_message_size
        self._compression: Literal["gzip"] | None = compression
        self._resolver = look_up if resolver is None else resolver

    def via(self, target: PeerAddress | Uri) -> str | None:
        """Return the address of the proxy that a dial to ``target`` goes through; ``None`` without one."""
        return self.ways.of(target).via

    def proxy_of(self, way: Way) -> ProxyLayer | None:
        """Return the layer of a way's proxy; ``None`` without one."""
        if way.proxy is None:
            return None
        if self._given is not None:
            return self._given
        return proxy_layer(way.proxy.uri, way.proxy.credentials, isolate=self.ways.randomize)

    def way_layers(self, way: Way) -> tuple[Layer, ...]:
        """Return the layers that make a way, outermost first: none that goes directly has any."""
        return tuple(layer for layer in (self.proxy_of(way), self._tls_to_proxy(way)) if layer is not None)

    def stack(self, peer: Uri | None = None) -> Stack:
        """Return the stack that dials a peer; without one, a peer that is known by a name.

        An onion service gets more time.
        """
        way = self.ways.of_name() if peer is None else self.ways.of(peer)
        onion = way.network is AddressNetwork.ONION
        return (
            ServiceBuilder()  # outermost first: the dial goes from top to bottom
            .logging(failure_level=partial(failure_level, proxied=way.proxy is not None))  # dial.started .. dial.failed
            .timeout(ONION_TUNNEL_TIMEOUT if onion else TUNNEL_TIMEOUT, name="tunnel")  # all below, to the open tunnel
            .option_layer(_refusal(way))  # of a network without a proxy, where there are others
            .layer(self.proxy_of(way) or DirectLayer())  # the proxy resolves names
            .option_layer(self._tls_to_proxy(way))  # with an https proxy itself, whose name is verified
            .keepalive(KEEPALIVE)  # TCP keepalive: detects a dead peer or proxy
            .service(self.leaf)  # DNS in 5 s, TCP in 1 s
        )

    def _tls_to_proxy(self, way: Way) -> TlsLayer | None:
        return TlsLayer(alpn=()) if way.proxy is not None and way.proxy.uri.scheme == "https" else None

    def endpoint(self, peer: Uri) -> Endpoint:
        """Return the HTTP/2 settings of a connection to ``peer``."""
        return Endpoint(
            peer,
            max_message_size=self.max_message_size,
            linger=LINGER,
            compression=self._compression,
        )

    def channel(self, peer: Uri) -> Connecting:
        """Dial ``peer``. Await the result, or enter it, to get a channel. The node itself uses `connect`.

        Raises:
            ConnectError: when awaited or entered; it names the phase that failed.
        """
        return self.endpoint(peer).connect(self.stack(peer))

    async def connect(self, address: PeerAddress) -> OutboundStream:
        """Dial a peer. The caller then opens the stream and runs the handshake.

        Raises:
            ConnectError: the peer was not reached.
            ValueError: the address has port 0.
        """
        uri, codec = address.uri(), MessageCodec()  # a codec belongs to one connection
        stack, proxy, source = self.stack(uri), self.proxy_of(self.ways.of(uri)), list[int | None]()

        async def noted(target: Uri, /) -> ByteStream:
            stream = await stack(target)
            source.append(_local_port(stream))
            return stream

        with dial(uri) as current:
            endpoint = dataclasses.replace(self.endpoint(uri), codec=codec, initial_message_size=HANDSHAKE_MESSAGE_SIZE)
            channel = await endpoint.connect(noted)
            tunnel = None if proxy is None else Tunnel(isolation_of(proxy, current.ledger), source[-1])
            return OutboundStream(channel, codec, tunnel)

    async def reach_control_port(self, control: Uri) -> ByteStream:
        """Open a connection to Tor's control port, directly.

        Raises:
            ConnectError: it was not reached.
        """
        with dial(control), Limit(CONTROL_TIMEOUT, "reach Tor"):
            return await self.leaf(control)

    async def resolve(self, host: str) -> list[str]:
        """Resolve a seeder's name: with the system's resolver, or with a proxy only by the proxy (Tor's RESOLVE).

        Returns:
            IP addresses as text: at least one, and from a proxy exactly one.

        Raises:
            ProxyRefused: the proxy does not support the command (reply 07), or found no address. The seeder can still
                be dialled by name.
            ResolveError: the system found no address, or the proxy's answer is none.
            RouteRefused: nobody may resolve names, see `Ways`.
            ConnectError: the proxy was not reached, or the time limit passed.
        """
        target = Uri("tcp", host, 1)  # a look-up needs no port, but a Uri does
        way = self.ways.of_name()
        if way.refusal is not None:
            with dial(target):
                _refuse(way, target)
        proxy = self.proxy_of(way)
        if proxy is None:
            with dial(target), phase("dns", limit=LOOKUP_TIMEOUT):
                return await self._resolver(host)
        if not isinstance(proxy, Socks5Layer):
            with dial(target), phase("proxy.resolve", via=way.via):
                raise ProxyRefused("only a SOCKS5 proxy may look names up", reply_code=NOT_SUPPORTED)
        below = ServiceBuilder().keepalive(KEEPALIVE).service(self.leaf)
        credentials = credentials_source(proxy.auth)(target)
        with dial(target), Limit(LOOKUP_TIMEOUT, "look-up"):
            return [await resolve_name(below, proxy.proxy, host, credentials)]


def _local_port(stream: ByteStream) -> int | None:
    local: object = stream.extra(SocketAttribute.local_address, None)
    return int(local[1]) if isinstance(local, tuple) else None  # else a unix socket's path, or no socket at all


def _refusal(way: Way) -> FilterLayer | None:
    """Return the layer that lets nothing through to a network that must not be dialled; ``None`` for any other."""
    return None if way.refusal is None else FilterLayer(partial(_refuse, way), name=way.setting)


def _refuse(way: Way, target: Uri) -> bool:
    raise RouteRefused(way.refusal or "", way.setting)
