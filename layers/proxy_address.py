"""Parse a proxy's address: ``host:port``, ``scheme://user:password@host``, ``unix:/path``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import unquote_to_bytes

from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.uri import DEFAULT_PORTS, Uri

__all__ = ["ProxyKind", "parse_address"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:]*))(?::(?P<port>[^:]*))?", re.DOTALL)
_ONE_WORD = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class ProxyKind(NamedTuple):
    """What the addresses of one kind of proxy look like.

    Attributes:
        name: for errors, e.g. ``a SOCKS5 proxy``.
        schemes: the accepted schemes, and the scheme of the `Uri` for each. The first is that of an address without.
        bare_port: the port of an address without scheme and port; ``None`` if it must name one.
        example: credentials as they are written, for errors.
    """

    name: str
    schemes: Mapping[str, str]
    bare_port: int | None
    example: str = "user:password"

    @property
    def forms(self) -> str:
        """The forms of an address, for errors."""
        scheme = next(iter(self.schemes))
        port = ":port" if self.bare_port is None else "[:port]"
        return f"host{port}, [IPv6]{port}, {scheme}://{self.example}@host[:port] or unix:/path"


@hide_arguments
def parse_address(text: str, kind: ProxyKind, *, default_port: int | None = None) -> tuple[Uri, UserPass | None]:
    """Parse a proxy's address and the credentials in it.

    Args:
        text: ``host``, ``host:port``, ``[v6]:port``, ``scheme://[user:password@]host[:port]`` (credentials
            percent-encoded; a user alone has an empty password), or ``unix:/path``.
        kind: the schemes that are accepted, and the default ports.
        default_port: the port if ``text`` has none; ``None`` for that of the kind.

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
        scheme, rest = "", text
    elif scheme.lower() not in kind.schemes:
        quoted = f" {scheme!r}" if _SCHEME.fullmatch(scheme) else ""
        known = " or ".join(f"{name}://" for name in kind.schemes)
        raise ValueError(f"bad proxy scheme{quoted}: {kind.name} is {known}")
    userinfo, at, authority = rest.removesuffix("/").rpartition("@")
    auth = _credentials(userinfo, user_alone=bool(scheme)) if at else None
    actual = kind.schemes[scheme.lower()] if scheme else next(iter(kind.schemes.values()))
    if default_port is None:
        default_port = DEFAULT_PORTS[actual] if scheme else kind.bare_port
    return _address(authority, actual, default_port, kind.forms, quotable=not at), auth


def _unix(rest: str) -> Uri:
    if rest.startswith("//") and not rest.startswith("///"):
        raise ValueError("bad proxy: a unix socket has no host and no credentials; write unix:/path")
    path = rest.removeprefix("//")
    if "@" in path.partition("/")[0]:
        raise ValueError("bad proxy: a unix socket takes no credentials (the part before '@'); write unix:/path")
    if not path or "\0" in path:
        raise ValueError("bad unix socket path: it is empty, or has a NUL; write unix:/path")
    return Uri("unix", path=path)


def _address(authority: str, scheme: str, default_port: int | None, forms: str, *, quotable: bool) -> Uri:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        if quotable and _is_ipv6(authority):
            raise ValueError(f"bad host: {authority!r} (an IPv6 address needs brackets)")
        raise ValueError(f"bad proxy: expected {forms}")
    host = match["host"] if match["v6"] is None else match["v6"].replace("%25", "%", 1)
    if not host:
        raise ValueError(f"bad host: it is missing; expected {forms}")
    port = match["port"]
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("bad port: expected 1 to 65535")
    if match["v6"] is not None and not _is_ipv6(host):
        raise ValueError("bad host: expected an IPv6 address in the brackets")
    number = default_port if port is None else int(port)
    try:
        address = Uri(scheme, host, number or 1)
    except ValueError:
        if quotable and _ONE_WORD.fullmatch(host):
            raise
        raise ValueError(f"bad host: expected {forms}") from None
    if number is None:
        raise ValueError(f"bad port: it is missing; expected {forms}")
    return address


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _credentials(userinfo: str, *, user_alone: bool) -> UserPass:
    username, colon, password = userinfo.partition(":")
    if not colon and not user_alone:
        raise ValueError("a proxy's credentials are user:password@ (no ':' before '@')")
    try:
        return UserPass(unquote_to_bytes(username).decode(), unquote_to_bytes(password).decode())
    except UnicodeError:
        raise ValueError("a proxy's credentials must be UTF-8 after percent-decoding") from None
