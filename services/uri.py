"""The target of a dial: scheme, host and port, or a unix socket by its path or its abstract name.

Hosts are validated and normalised here, once: lower case, IDNA (UTS 46), IPv6 compressed and without brackets, zone ids
(RFC 4007, in URIs RFC 6874) kept as ``fe80::1%eth0``.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

__all__ = ["Uri"]

DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080, "tcp": 0}
"""Default port by scheme (RFC 9110 4.2, RFC 1928 3); 0 if there is none, and the text must name a port."""

UNIX = ("unix", "unix-abstract")
"""Schemes of unix sockets, as gRPC's naming document has them."""

MAX_HOST = 255
"""Bytes: what the length byte of a SOCKS5 request allows (RFC 1928 4); DNS allows 253."""

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:]*))(?::(?P<port>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Uri:
    """A target or a proxy. Every instance is valid; instances are comparable and hashable.

    Attributes:
        scheme: ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5``, ``socks5h``, ``tcp``, ``unix`` or
            ``unix-abstract``.
        host: a name in ASCII, or an IP literal without brackets; empty for a unix socket.
        port: 1 to 65535; 0 for a unix socket.
        path: the socket's path for ``unix``, its name for ``unix-abstract``, without the NUL that Linux puts before it;
            empty otherwise.

    Raises:
        ValueError: a part is wrong; the message quotes it.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        if self.is_unix:
            if self.host or self.port:
                raise ValueError(f"a {self.scheme} Uri has no host or port, only a path: {self.host!r}, {self.port!r}")
            _check_socket(self.scheme, self.path)
            return
        if self.scheme not in DEFAULT_PORTS:
            raise ValueError(f"bad scheme: {self.scheme!r} (known: {', '.join((*DEFAULT_PORTS, *UNIX))})")
        if self.path:
            raise ValueError(f"only a unix Uri has a path, not {self.scheme!r}: {self.path!r}")
        object.__setattr__(self, "host", _normal_host(self.host))
        # bool is an int, and 1.0 == 1: neither is a port.
        if type(self.port) is not int or not 0 < self.port < 65536:
            raise ValueError(f"bad port: {self.port!r} (1 to 65535)")

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Parse ``scheme://host[:port]``, ``unix:path``, ``unix:///path`` or ``unix-abstract:name``.

        IPv6 literals need brackets. Credentials, a path, a query or a fragment mean nothing to a dial and are refused.

        Raises:
            ValueError: a part is missing or wrong; the message quotes it, unless it may be a password.
        """
        scheme, colon, rest = text.partition(":")
        scheme = scheme.lower()
        if scheme == "unix" and colon:
            if rest.startswith("//") and not rest.startswith("///"):
                raise ValueError(f"a unix Uri has no host: {text!r} (write unix:path or unix:///path)")
            return cls("unix", path=rest.removeprefix("//"))
        if scheme == "unix-abstract" and colon:
            return cls(scheme, path=rest)
        if not rest.startswith("//"):
            # Text with an @ may contain a password.
            raise ValueError("no scheme" if "@" in text else f"no scheme in {text!r}: write {'http://' + text!r}")
        if scheme not in DEFAULT_PORTS:
            raise ValueError(f"bad scheme: {scheme!r} (known: {', '.join((*DEFAULT_PORTS, *UNIX))})")
        authority = rest[2:].removesuffix("/")
        if "@" in authority:
            raise ValueError(f"a {scheme} target takes no credentials (the part before '@')")
        if unwanted := re.search(r"[/?#]", authority):
            raise ValueError(f"unexpected {authority[unwanted.start() :]!r} in {text!r}: a target ends with its port")
        host, port = split_authority(authority)
        return cls(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)

    @property
    def authority(self) -> str:
        """``host:port``, with IPv6 in brackets; ``unix:path`` or ``unix-abstract:name`` for a unix socket."""
        if self.is_unix:
            return f"{self.scheme}:{'//' if self.path.startswith('//') else ''}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def http_authority(self) -> str:
        """``host[:port]`` as HTTP names the server: without the scheme's default port (RFC 9110 4.2.3).

        A zone id is left out, too: it has no meaning beyond this machine (RFC 6874 1). A unix socket is ``localhost``,
        as in gRPC: a path is no authority.
        """
        if self.is_unix:
            return "localhost"
        host = self.host.partition("%")[0]
        host = f"[{host}]" if ":" in host else host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def is_unix(self) -> bool:
        """Whether it is a unix socket, with a path or an abstract name."""
        return self.scheme in UNIX

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, which needs no look-up."""
        # Cheap, since every dial asks: a name never ends in a number (see `_normal_host`).
        return ":" in self.host or self.host.rpartition(".")[2].isdigit()

    def __repr__(self) -> str:
        return f"Uri({str(self)!r})"

    def __str__(self) -> str:
        if self.is_unix:
            return self.authority
        return f"{self.scheme}://{self.authority.replace('%', '%25')}"


def split_authority(text: str) -> tuple[str, int | None]:
    """Split ``host[:port]`` or ``[v6][:port]``; a missing port is ``None``. The host itself is not validated.

    Raises:
        ValueError: the brackets or the port are wrong; the message quotes them.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        hint = " (an IPv6 address needs brackets)" if text.count(":") > 1 else ""
        raise ValueError(f"bad host: {text!r}{hint}")
    v6, port = match["v6"], match["port"]
    if v6 is not None and ":" not in v6:
        raise ValueError(f"bad host: {text!r} (only an IPv6 address goes in brackets)")
    if port is not None and ":" in port:
        raise ValueError(f"bad host: {text!r} (an IPv6 address needs brackets)")
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise ValueError(f"bad port: {port!r} (1 to 65535)")
    host = match["host"] if v6 is None else v6.replace("%25", "%", 1)
    return host, None if port is None else int(port)


def _check_socket(scheme: str, path: str) -> None:
    if not path or "\0" in path:
        kind = "path" if scheme == "unix" else "name"
        raise ValueError(f"bad {scheme} socket {kind}: {path!r}")
    if scheme == "unix-abstract" and path.startswith("//"):
        raise ValueError(f"a unix-abstract Uri has no host: {path!r} (write unix-abstract:name)")


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _normal_host(host: str) -> str:
    if ":" in host:
        return _normal_ipv6(host)
    if _is_ipv4(host):
        return host
    try:
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"bad host: {host!r} ({error})") from error
    if len(name) > MAX_HOST:
        raise ValueError(f"bad host: {host!r} ({len(name)} bytes, at most {MAX_HOST})")
    if not _NAME.fullmatch(name):
        raise ValueError(f"bad host: {host!r}")
    # libc reads "127.1" and "256.1" as old notations of IPv4: a name must not end in a number (WHATWG URL 3.5).
    if name.removesuffix(".").rpartition(".")[2].isdigit():
        raise ValueError(f"bad host: {host!r} (neither an IPv4 address nor a name)")
    return name


def _normal_ipv6(host: str) -> str:
    address, percent, zone = host.partition("%")
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError as error:
        raise ValueError(f"bad host: {host!r} (not an IPv6 address)") from error
    if percent and not _ZONE.fullmatch(zone):
        raise ValueError(f"bad host: {host!r} (bad zone id)")
    return f"{parsed.compressed}{percent}{zone}"
