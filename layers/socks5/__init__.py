"""SOCKS5: the layer, its sans-I/O handshake, authentication, and look-ups."""

from ziggurat.layers.socks5.auth import Auth, Isolated, credentials_source
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.layers.socks5.look_up import resolve_name
from ziggurat.layers.socks5.proxy import parse_proxy
from ziggurat.layers.user_pass import UserPass

__all__ = ["Auth", "Isolated", "Socks5Layer", "UserPass", "credentials_source", "parse_proxy", "resolve_name"]
