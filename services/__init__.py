"""Connectors and their streams, a dial's ledger and errors, and the gRPC channel.

The channel's names are imported at first use, so that importing this package loads neither grpclib nor h2.
"""

from typing import TYPE_CHECKING

from ziggurat.services.backoff import Backoff
from ziggurat.services.dial import Dial, dial, phase
from ziggurat.services.dns_resolver import DnsResolver
from ziggurat.services.errors import (
    AllFailed,
    ChannelClosed,
    CircuitOpen,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Http2Error,
    LeakError,
    LimitExceeded,
    NoEndpoints,
    ProxyAuthError,
    ProxyError,
    ProxyProtocolError,
    ProxyRefused,
    ResolveError,
    RouteRefused,
    TlsError,
)
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.no_proxy import NoProxy
from ziggurat.services.onion import OnionAddress
from ziggurat.services.phase import Phase, label
from ziggurat.services.remark import Remark, Remarking
from ziggurat.services.resolver import Resolver, SystemResolver
from ziggurat.services.service import Connector, Service, service_fn
from ziggurat.services.socket import SocketConnector
from ziggurat.services.static_hosts import StaticHosts
from ziggurat.services.stream import DialAttribute, ObservedStream, WrappedStream, closing_on_error, observed
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.tls import TlsStream
from ziggurat.services.transport_stream import TransportStream
from ziggurat.services.unix import UnixConnector
from ziggurat.services.uri import Uri

if TYPE_CHECKING:
    from ziggurat.services.channel import (
        CallRefused,
        Channel,
        ChannelState,
        CompressionMixin,
        Connecting,
        ConnectionSnapshot,
        Endpoint,
    )

__all__ = [
    "AllFailed",
    "Backoff",
    "CallRefused",
    "Channel",
    "ChannelClosed",
    "ChannelState",
    "CircuitOpen",
    "CompressionMixin",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Connecting",
    "ConnectionSnapshot",
    "Connector",
    "Dial",
    "DialAttribute",
    "DnsResolver",
    "Endpoint",
    "Http2Error",
    "LeakError",
    "Ledger",
    "Limit",
    "LimitExceeded",
    "NoEndpoints",
    "NoProxy",
    "ObservedStream",
    "OnionAddress",
    "Phase",
    "ProxyAuthError",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "Remark",
    "Remarking",
    "ResolveError",
    "Resolver",
    "RouteRefused",
    "Service",
    "SocketConnector",
    "StaticHosts",
    "SystemResolver",
    "TcpConnector",
    "TlsError",
    "TlsStream",
    "TransportStream",
    "UnixConnector",
    "Uri",
    "WrappedStream",
    "closing_on_error",
    "dial",
    "label",
    "observed",
    "phase",
    "service_fn",
]

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would accept any name
    _CHANNEL = frozenset(
        {"CallRefused", "Channel", "ChannelState", "CompressionMixin", "Connecting", "ConnectionSnapshot",
         "Endpoint"}
    )  # fmt: skip

    def __getattr__(name):
        """Import the channel at its first use: a program with connectors only never loads grpclib."""
        if name not in _CHANNEL:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ziggurat.services import channel

        value = globals()[name] = getattr(channel, name)
        return value

    def __dir__():
        return sorted({*globals(), *_CHANNEL})
