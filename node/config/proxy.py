"""The settings ``--socks5-proxy`` and ``--proxy``: their syntax, and how they are shown without credentials."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ziggurat.layers.proxy_address import ProxyKind, parse_address
from ziggurat.layers.socks5 import UserPass, parse_proxy
from ziggurat.services.uri import Uri

__all__ = [
    "DIRECT",
    "PROXY_SYNTAX",
    "PROXY_URL_SYNTAX",
    "Proxy",
    "masked",
    "parse_proxy_url",
    "parse_socks5_proxy",
]

DEFAULT_PORT = 9050
"""Tor's SocksPort, and the default port of Bitcoin Core's ``-proxy``."""

DIRECT = "none"

PROXY_SYNTAX = "HOST[:PORT], [IPv6][:PORT], socks5://USER:PASSWORD@HOST[:PORT], unix:/PATH, or none to dial directly"

PROXY_URL_SYNTAX = (
    "SCHEME://[USER:PASSWORD@]HOST[:PORT] (http, https, socks4, socks4a, socks5 or socks5h), HOST[:PORT] or unix:/PATH "
    "(SOCKS5), or none to dial directly"
)

KIND = ProxyKind(
    "a proxy",
    {"socks5": "socks5", "socks5h": "socks5"} | {name: name for name in ("http", "https", "socks4", "socks4a")},
    DEFAULT_PORT,
)

FROM_ENVIRONMENT = "env"

OTHER_WORDS_FOR_DIRECT = frozenset({"none", "off", "no", "false", "0", "null", "direct", "disabled"})
"""Refused, as they would be host names otherwise."""

_PARTS = re.compile(r"([a-z][a-z0-9+.-]*://)?(.*@)?(.*)", re.ASCII | re.DOTALL | re.IGNORECASE)
_NO_SECRETS = re.compile(
    r"(?:unix:)?/[^@]*|unix:|(?:[a-z0-9._-]*|\[[0-9a-f:.%]*\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE
)

MAX_UNIX_PATH = 103
"""Bytes: ``sun_path`` has 104 on BSD and macOS and 108 on Linux, including the terminating zero."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and our credentials for it.

    Attributes:
        uri: the address of the proxy.
        credentials: username and password; ``None`` generates new ones for each dial, so that Tor puts no two peers
            on one circuit. A proxy that does not support authentication is then used without.
    """

    uri: Uri
    credentials: UserPass | None = None

    @property
    def is_socks5(self) -> bool:
        """Whether it is a SOCKS5 proxy, the only kind whose credentials isolate dials from one another."""
        return self.uri.is_unix or self.uri.scheme.startswith("socks5")

    def __str__(self) -> str:
        """Return it as the user would write it, with the credentials masked."""
        if self.uri.scheme == "unix":
            return self.uri.authority
        user = "" if self.credentials is None else "***:***@"
        return f"{self.uri.scheme}://{user}{self.uri.authority}"


def parse_socks5_proxy(text: str) -> Proxy | None:
    """Parse the value of ``--socks5-proxy``; return ``None`` for ``none``, which means direct dials.

    Raises:
        ValueError: the text is not a proxy, or is empty: ``--socks5-proxy=$UNSET`` must not lead to direct dials. The
            message contains no credentials.
    """
    if _is_direct(text):
        return None
    return _checked(*parse_proxy(text, default_port=DEFAULT_PORT))


def parse_proxy_url(text: str) -> Proxy | None:
    """Parse the value of ``--proxy``, a proxy of any kind. Text without a scheme is a SOCKS5 proxy.

    The default port is 9050 for SOCKS5, as of ``--socks5-proxy``, and else that of the scheme.

    Raises:
        ValueError: as in `parse_socks5_proxy`. So is ``env``: a node dials for days, and not the one whose shell it was
            started from decides by which proxy.
    """
    if _is_direct(text):
        return None
    if text.lower() == FROM_ENVIRONMENT:
        raise ValueError("env is for the commands explain and forward; a node obeys no proxy variable: name the proxy")
    scheme = text.partition("://")[0].lower() if "://" in text else "socks5"
    port = DEFAULT_PORT if scheme.startswith("socks5") else None
    return _checked(*parse_address(text, KIND, default_port=port))


def _is_direct(text: str) -> bool:
    if text.lower() in OTHER_WORDS_FOR_DIRECT - {text if text == DIRECT else ""}:
        raise ValueError(f"write {DIRECT} to dial directly")
    if not text:
        raise ValueError("empty")
    return text == DIRECT


def _checked(uri: Uri, credentials: UserPass | None) -> Proxy:
    if uri.scheme.startswith("socks4") and credentials is not None and credentials.password:
        raise ValueError("SOCKS4 has a user ID, but no password")
    if uri.scheme == "unix" and len(os.fsencode(uri.path)) > MAX_UNIX_PATH:
        raise ValueError(f"the path of a unix socket is limited to {MAX_UNIX_PATH} bytes")
    return Proxy(uri, credentials)


def masked(text: str) -> str:
    """Return the text with everything masked that may be credentials.

    That is all but the scheme, a host, a port and a unix socket's path. Text of another form, e.g. the
    ``host:port:user:password`` of proxy sellers, is masked whole.
    """
    scheme, userinfo, rest = _PARTS.fullmatch(text).groups()  # type: ignore[union-attr]  # it matches any text
    shown = rest if _NO_SECRETS.fullmatch(rest) else "***"
    return f"{scheme or ''}{'***@' if userinfo is not None else ''}{shown}"
