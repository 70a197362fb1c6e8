"""What answers a request: connectors, their streams, the ledger and the errors of a dial, the channel."""

from ziggurat.services.channel import (
    Backoff,
    CallRefused,
    Channel,
    ChannelState,
    CompressionMixin,
    Connecting,
    Endpoint,
)
from ziggurat.services.dial import Dial, dial, phase
from ziggurat.services.errors import (
    ChannelClosed,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Http2Error,
    LimitExceeded,
    ProxyAuthError,
    ProxyError,
    ProxyProtocolError,
    ProxyRefused,
    ResolveError,
    TlsError,
)
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.service import Connector, Service, service_fn
from ziggurat.services.socket import SocketConnector
from ziggurat.services.stream import DialAttribute, ObservedStream, WrappedStream, closing_on_error, observed
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.transport_stream import TransportStream
from ziggurat.services.unix import UnixConnector
from ziggurat.services.uri import Uri

__all__ = [
    "Backoff",
    "CallRefused",
    "Channel",
    "ChannelClosed",
    "ChannelState",
    "CompressionMixin",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Connecting",
    "Connector",
    "Dial",
    "DialAttribute",
    "Endpoint",
    "Http2Error",
    "Ledger",
    "Limit",
    "LimitExceeded",
    "ObservedStream",
    "Phase",
    "ProxyAuthError",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "ResolveError",
    "Service",
    "SocketConnector",
    "TcpConnector",
    "TlsError",
    "TransportStream",
    "UnixConnector",
    "Uri",
    "WrappedStream",
    "closing_on_error",
    "dial",
    "observed",
    "phase",
    "service_fn",
]
