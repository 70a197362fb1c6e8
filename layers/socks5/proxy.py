"""Parse a SOCKS5 proxy's address."""

from __future__ import annotations

from ziggurat.layers.proxy_address import ProxyKind, parse_address
from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.socks5.auth import check_lengths
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.uri import Uri

__all__ = ["parse_proxy"]

DEFAULT_PORT = 1080
"""RFC 1928 section 3."""

SOCKS5 = ProxyKind("a SOCKS5 proxy", {"socks5": "socks5", "socks5h": "socks5"}, DEFAULT_PORT)


@hide_arguments
def parse_proxy(text: str, *, default_port: int = DEFAULT_PORT) -> tuple[Uri, UserPass | None]:
    """Parse a SOCKS5 proxy's address and the credentials in it; see `parse_address`.

    ``socks5://`` and ``socks5h://`` mean the same here: names always go to the proxy.

    Args:
        text: ``host``, ``host:port``, ``[v6]:port``, ``socks5://[user:password@]host[:port]`` (credentials
            percent-encoded; a user alone has an empty password), or ``unix:/path``.
        default_port: the port if ``text`` has none.

    Raises:
        TypeError: ``text`` is not a str.
        ValueError: a part is wrong. The message quotes no part that may be a password.
    """
    address, auth = parse_address(text, SOCKS5, default_port=default_port)
    if auth is not None:
        check_lengths(auth)
    return address, auth
