"""The local forwarder: for programs that cannot be given a connector, and have a port of this machine instead."""

from ziggurat.layers.forward.address import ListenAddress
from ziggurat.layers.forward.client_key import client_key
from ziggurat.layers.forward.connection import ForwardCounters, ForwardedConnection
from ziggurat.layers.forward.forwarder import Forwarder
from ziggurat.layers.forward.server import LocalServer
from ziggurat.layers.forward.socks5_listener import Socks5Listener

__all__ = [
    "ForwardCounters",
    "ForwardedConnection",
    "Forwarder",
    "ListenAddress",
    "LocalServer",
    "Socks5Listener",
    "client_key",
]
