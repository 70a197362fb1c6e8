"""A gRPC channel over any connector; the only package that imports grpclib's client."""

from ziggurat.services.channel.channel import Channel
from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.compression import MessageSizeError
from ziggurat.services.channel.connecting import Connecting
from ziggurat.services.channel.endpoint import Endpoint
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.refusal import CallRefused
from ziggurat.services.channel.server import CompressionMixin
from ziggurat.services.channel.snapshot import ConnectionSnapshot
from ziggurat.services.channel.state import ChannelState
from ziggurat.services.stream_transport import StreamTransport

__all__ = [
    "CallRefused",
    "Channel",
    "ChannelState",
    "ClientProtocol",
    "CompressionMixin",
    "Connecting",
    "ConnectionOptions",
    "ConnectionSnapshot",
    "Endpoint",
    "MessageSizeError",
    "StreamTransport",
]
