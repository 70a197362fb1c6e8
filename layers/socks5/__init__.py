"""SOCKS5: the layer, its sans-I/O handshake, and authentication."""

from ziggurat.layers.socks5.auth import Auth, Isolated, UserPass
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.layers.socks5.proxy import parse_proxy

__all__ = ["Auth", "Isolated", "Socks5Layer", "UserPass", "parse_proxy"]
