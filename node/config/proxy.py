"""The SOCKS5 proxy that the node goes through, as a user names it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ziggurat.layers.socks5 import UserPass, parse_proxy
from ziggurat.services.uri import Uri

__all__ = ["DIRECT", "PROXY_SYNTAX", "Proxy", "masked", "parse_socks5_proxy"]

DEFAULT_PORT = 9050
"""Tor's SocksPort, and what Bitcoin Core takes for its own ``-proxy``."""

DIRECT = "none"

PROXY_SYNTAX = "HOST[:PORT], [IPv6][:PORT], socks5://USER:PASSWORD@HOST[:PORT], unix:/PATH, or none to dial directly"

MAX_UNIX_PATH = 103
"""Bytes: ``sun_path`` has 104 on BSD and macOS and 108 on Linux, with a zero at its end."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and who we are to it.

    Attributes:
        uri: where it is.
        credentials: ``None`` gives each dial fresh ones, so that Tor puts no two peers on one circuit. A proxy that
            knows no authentication is taken as it is.
    """

    uri: Uri
    credentials: UserPass | None = None

    def __str__(self) -> str:
        """As the user would write it, the password masked."""
        if self.uri.scheme == "unix":
            return self.uri.authority
        user = "" if self.credentials is None else "***:***@"
        return f"socks5://{user}{self.uri.authority}"


def parse_socks5_proxy(text: str) -> Proxy | None:
    """Read what ``--socks5-proxy`` takes; ``None`` for ``none``, which means direct.

    Raises:
        ValueError: it is something else, above all empty: a variable that happens to be unset must not open the way
            for direct dials. The message quotes no credentials.
    """
    if text == DIRECT:
        return None
    if not text:
        raise ValueError("it is empty")
    uri, credentials = parse_proxy(text, default_port=DEFAULT_PORT)
    if uri.scheme == "unix" and len(os.fsencode(uri.path)) > MAX_UNIX_PATH:
        raise ValueError(f"the path of a unix socket has at most {MAX_UNIX_PATH} bytes")
    return Proxy(uri, credentials)


def masked(text: str) -> str:
    """The text without what may be credentials: everything before its last ``@``, the scheme excepted."""
    return re.sub(r"^([a-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.IGNORECASE | re.DOTALL)
