"""SOCKS5: the layer, its sans-I/O handshake, and authentication."""

from ziggurat.layers.socks5.auth import Auth, Isolated
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.layers.socks5.proxy import parse_proxy
from ziggurat.layers.user_pass import UserPass

__all__ = ["Auth", "Isolated", "Socks5Layer", "UserPass", "parse_proxy"]
