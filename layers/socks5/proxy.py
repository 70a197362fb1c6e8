"""Parse a proxy's address: ``host:port``, ``socks5://user:password@host``, ``unix:/path``."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from ziggurat.layers.socks5.auth import UserPass
from ziggurat.services.uri import Uri

__all__ = ["parse_proxy"]

DEFAULT_PORT = 1080
"""RFC 1928 section 3."""


def parse_proxy(text: str, *, default_port: int = DEFAULT_PORT) -> tuple[Uri, UserPass | None]:
    """Parse a SOCKS5 proxy's address and the credentials in it.

    ``socks5://`` and ``socks5h://`` mean the same here: names always go to the proxy.

    Args:
        text: ``host``, ``host:port``, ``[v6]:port``, ``socks5://[user:password@]host[:port]`` (credentials
            percent-encoded), or ``unix:/path``.
        default_port: the port if ``text`` has none.

    Raises:
        ValueError: a part is wrong; the message quotes it, except credentials.
    """
    if not text or text != text.strip():
        raise ValueError(f"bad proxy: {text!r} (empty, or white space around it)")
    if text.startswith("unix:"):
        return Uri.parse(text), None
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "socks5", text
    if scheme.lower() not in ("socks5", "socks5h"):
        raise ValueError(f"bad proxy scheme: {scheme!r} (a SOCKS5 proxy is socks5:// or socks5h://)")
    userinfo, at, authority = rest.removesuffix("/").rpartition("@")
    auth = _credentials(userinfo) if at else None
    if not re.search(r":[^:\]]*$", authority):
        authority = f"{authority}:{default_port}"
    return Uri.parse(f"socks5://{authority}"), auth


def _credentials(userinfo: str) -> UserPass:
    username, colon, password = userinfo.partition(":")
    if not colon:
        raise ValueError("a proxy's credentials are user:password@ (no ':' before '@')")
    try:
        return UserPass(unquote_to_bytes(username).decode(), unquote_to_bytes(password).decode())
    except UnicodeDecodeError:
        # The decoder's error would quote the password.
        raise ValueError("a proxy's credentials must be UTF-8 after percent-decoding") from None
