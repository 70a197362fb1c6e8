"""A proxy, or a chain of proxies, by URL: which layers reach it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias, cast

from ziggurat.layers.http_connect import HttpConnectLayer
from ziggurat.layers.layer import Layer
from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.socks4 import Socks4Layer
from ziggurat.layers.socks5 import Socks5Layer
from ziggurat.layers.tls import TlsLayer
from ziggurat.services.uri import Uri

__all__ = ["PROXY_SCHEMES", "ProxyUrls", "masked_proxy", "proxy_layers"]

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h", "unix")

ProxyUrls: TypeAlias = str | Uri | Sequence[str | Uri]
"""A proxy's URL, or the URLs of a chain, the one that this machine dials first."""

FORMS = "http://user:password@host:port, or with https, socks4, socks4a, socks5 or socks5h, or unix:/path"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


@hide_arguments
def proxy_layers(proxy: ProxyUrls) -> tuple[Layer, ...]:
    """Return the layers that reach a proxy, or the last proxy of a chain, outermost first.

    ==========================  ============================================================================
    URL                         what it means
    ==========================  ============================================================================
    ``http://host[:port]``      HTTP CONNECT; default port 80
    ``https://host[:port]``     the same, inside TLS with the proxy, whose name is verified; default port 443
    ``socks5://``, ``socks5h``  SOCKS5, the same for both: the proxy resolves names; default port 1080
    ``socks4a://host[:port]``   SOCKS4 with names, which the proxy resolves; default port 1080
    ``socks4://host[:port]``    SOCKS4, IPv4 addresses only: a name is refused, and not resolved here
    ``unix:/path``              SOCKS5 on a unix socket; the leaf must be a ``SocketConnector``
    ==========================  ============================================================================

    Credentials, ``user:password@``, are percent-encoded.

    Args:
        proxy: the URL, or a list of URLs: the first is dialled by this machine, each other one through those before it.

    Raises:
        TypeError: neither text nor a `Uri`.
        ValueError: an unknown scheme, which the message names, or another part is wrong; or the list is empty. The
            message contains no credentials.
    """
    chain: Sequence[object] = [proxy] if isinstance(proxy, (str, Uri)) else _sequence(proxy)
    layers: tuple[Layer, ...] = ()
    for position, each in enumerate(chain):
        if not isinstance(each, (str, Uri)):
            raise TypeError(f"a proxy is a str or a Uri, not {type(each).__name__}")
        scheme = each.scheme if isinstance(each, Uri) else _scheme(each)
        if scheme == "unix" and position:
            raise ValueError("a proxy on a unix socket can only be the first of a chain: no proxy reaches it")
        layers = (*_layers(scheme, each), *layers)
    return layers


def masked_proxy(proxy: ProxyUrls) -> str:
    """Return the URLs of a valid proxy or chain for the reader: credentials masked, ``, then`` between them."""
    chain = [proxy] if isinstance(proxy, (str, Uri)) else proxy
    return ", then ".join(map(_masked, chain))


def _masked(proxy: str | Uri) -> str:
    text = str(proxy)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() == "unix":
        return text
    _, at, authority = rest.removesuffix("/").rpartition("@")
    return f"{scheme.lower()}://{'***@' if at else ''}{authority}"


def _sequence(proxy: object) -> Sequence[object]:
    if not isinstance(proxy, Sequence) or isinstance(proxy, (bytes, bytearray)):
        raise TypeError(f"a proxy is a str, a Uri or a list of them, not {type(proxy).__name__}")
    if not proxy:
        raise ValueError("a chain of proxies is empty: name one, or leave it out")
    return cast("Sequence[object]", proxy)


def _scheme(text: str) -> str:
    if text[:5].lower() == "unix:":
        return "unix"
    scheme, separator, _ = text.partition("://")
    if not separator:
        # Text of another form may contain a password: host:port:user:password.
        shown = f" {text!r}" if _HOST_AND_PORT.fullmatch(text) else ""
        raise ValueError(f"a proxy's URL begins with its scheme, but{shown or ' this one'} has none; expected {FORMS}")
    if scheme.lower() not in PROXY_SCHEMES:
        shown = f" {scheme!r}" if _SCHEME.fullmatch(scheme) else ""
        hint = " (write socks5:// or socks4://)" if scheme.lower() == "socks" else ""
        raise ValueError(f"unknown proxy scheme{shown}{hint}; expected {', '.join(PROXY_SCHEMES)}")
    return scheme.lower()


def _layers(scheme: str, proxy: str | Uri) -> tuple[Layer, ...]:
    match scheme:
        case "http":
            return (HttpConnectLayer(proxy),)
        case "https":
            return (HttpConnectLayer(proxy), TlsLayer(alpn=()))
        case "socks4" | "socks4a":
            return (Socks4Layer(proxy, remote_dns=scheme == "socks4a"),)
        case "socks5" | "socks5h" | "unix":
            return (Socks5Layer(proxy),)
        case _:
            raise ValueError(f"unknown proxy scheme {scheme!r}; expected {', '.join(PROXY_SCHEMES)}")
