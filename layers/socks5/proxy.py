"""Parse a proxy's address: ``host:port``, ``socks5://user:password@host``, ``unix:/path``."""

from __future__ import annotations

import ipaddress
import re
from typing import cast
from urllib.parse import unquote_to_bytes

from ziggurat.layers.socks5.auth import UserPass
from ziggurat.layers.socks5.redaction import hide_arguments
from ziggurat.services.uri import Uri

__all__ = ["parse_proxy"]

DEFAULT_PORT = 1080
"""RFC 1928 section 3."""

FORMS = "host[:port], [IPv6][:port], socks5://user:password@host[:port] or unix:/path"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:]*))(?::(?P<port>[^:]*))?", re.DOTALL)
_ONE_WORD = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


@hide_arguments
def parse_proxy(text: str, *, default_port: int = DEFAULT_PORT) -> tuple[Uri, UserPass | None]:
    """Parse a SOCKS5 proxy's address and the credentials in it.

    ``socks5://`` and ``socks5h://`` mean the same here: names always go to the proxy.

    Args:
        text: ``host``, ``host:port``, ``[v6]:port``, ``socks5://[user:password@]host[:port]`` (credentials
            percent-encoded), or ``unix:/path``.
        default_port: the port if ``text`` has none.

    Raises:
        TypeError: ``text`` is not a str.
        ValueError: a part is wrong. The message names it and quotes at most the scheme or a host that stands alone: in
            text of the wrong form, e.g. ``host:port:user:password``, any part may be a password.
    """
    if not isinstance(cast(object, text), str):
        raise TypeError(f"a proxy's address must be a str, not {type(text).__name__}")
    if not text or text != text.strip():
        raise ValueError("bad proxy: it is empty, or there is white space around it")
    if text[:5].lower() == "unix:":
        return _unix(text[5:]), None
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "socks5", text
    if scheme.lower() not in ("socks5", "socks5h"):
        quoted = f" {scheme!r}" if _SCHEME.fullmatch(scheme) else ""
        raise ValueError(f"bad proxy scheme{quoted}: a SOCKS5 proxy is socks5:// or socks5h://")
    userinfo, at, authority = rest.removesuffix("/").rpartition("@")
    auth = _credentials(userinfo) if at else None
    return _address(authority, default_port, quotable=not at), auth


def _unix(rest: str) -> Uri:
    if rest.startswith("//") and not rest.startswith("///"):
        raise ValueError("bad proxy: a unix socket has no host and no credentials; write unix:/path")
    path = rest.removeprefix("//")
    if "@" in path.partition("/")[0]:
        raise ValueError("bad proxy: a unix socket takes no credentials (the part before '@'); write unix:/path")
    if not path or "\0" in path:
        raise ValueError("bad unix socket path: it is empty, or has a NUL; write unix:/path")
    return Uri("unix", path=path)


def _address(authority: str, default_port: int, *, quotable: bool) -> Uri:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        if quotable and _is_ipv6(authority):
            raise ValueError(f"bad host: {authority!r} (an IPv6 address needs brackets)")
        raise ValueError(f"bad proxy: expected {FORMS}")
    host = match["host"] if match["v6"] is None else match["v6"].replace("%25", "%", 1)
    if not host:
        raise ValueError(f"bad host: it is missing; expected {FORMS}")
    port = match["port"]
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("bad port: expected 1 to 65535")
    if match["v6"] is not None and not _is_ipv6(host):
        raise ValueError("bad host: expected an IPv6 address in the brackets")
    try:
        return Uri("socks5", host, default_port if port is None else int(port))
    except ValueError:
        if quotable and _ONE_WORD.fullmatch(host):
            raise
        raise ValueError(f"bad host: expected {FORMS}") from None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _credentials(userinfo: str) -> UserPass:
    username, colon, password = userinfo.partition(":")
    if not colon:
        raise ValueError("a proxy's credentials are user:password@ (no ':' before '@')")
    try:
        return UserPass(unquote_to_bytes(username).decode(), unquote_to_bytes(password).decode())
    except UnicodeError:
        raise ValueError("a proxy's credentials must be UTF-8 after percent-decoding") from None
