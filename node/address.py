"""Addresses of nodes: an IP address or a name, and a port."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from ziggurat.services.uri import Uri, split_authority

__all__ = ["IpAddress", "NamedAddress", "NetAddress", "PeerAddress", "canonical_ip", "parse_peer_address"]

IpAddress: TypeAlias = IPv4Address | IPv6Address


def canonical_ip(ip: IpAddress) -> IpAddress:
    """Answer with the one form of an address that is compared and stored.

    A v4-mapped address (RFC 4291 2.5.5.2) is what a dual-stack socket and a Go peer make of an IPv4 one: the same host.
    A zone id (RFC 4007) names an interface of one machine and means nothing to another.
    """
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return IPv6Address(int(ip)) if ip.scope_id is not None else ip


@dataclass(frozen=True, slots=True)
class NetAddress:
    """An IP address and a port. Two that reach the same socket are equal.

    Attributes:
        ip: made canonical: v4-mapped becomes IPv4, a zone id is dropped.
        port: 0 to 65535. Peers may gossip port 0, and no dial takes it.

    Raises:
        ValueError: the port is out of range.
        TypeError: ``ip`` is text.
    """

    ip: IpAddress
    port: int

    def __post_init__(self) -> None:
        if type(self.ip) not in (IPv4Address, IPv6Address):
            raise TypeError(f"ip must be an IPv4Address or IPv6Address, not {self.ip!r}")
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            raise ValueError(f"bad port: {self.port!r} (0 to 65535)")
        object.__setattr__(self, "ip", canonical_ip(self.ip))

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> NetAddress:
        """Read ``IP[:PORT]``; an IPv6 address with a port stands in brackets.

        Args:
            text: a literal; names are not looked up.
            default_port: taken where the text has none; ``None`` makes that an error.

        Raises:
            ValueError: it is something else; the message quotes it.
        """
        try:
            ip, port = ip_address(text), None
        except ValueError:
            host, port = split_authority(text)
            try:
                ip = ip_address(host)
            except ValueError:
                raise ValueError(f"bad address: {text!r} is not an IP address, with or without a port") from None
        port = default_port if port is None else port
        if port is None:
            raise ValueError(f"bad address: {text!r} has no port")
        return cls(ip, port)

    def uri(self) -> Uri:
        """The target of a dial to it.

        Raises:
            ValueError: the port is 0.
        """
        return Uri("http", str(self.ip), self.port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """A name and a port: a DNS name, which a proxy resolves, or an onion service. It is never compared with an IP.

    Attributes:
        name: made lower case and checked, as `Uri` does it.
        port: 1 to 65535.

    Raises:
        ValueError: the name or the port is wrong; or the name is an IP address.
    """

    name: str
    port: int

    def __post_init__(self) -> None:
        uri = Uri("http", self.name, self.port)
        if uri.is_literal:
            raise ValueError(f"{self.name!r} is an IP address and no name: use NetAddress")
        object.__setattr__(self, "name", uri.host)

    def uri(self) -> Uri:
        """The target of a dial to it."""
        return Uri("http", self.name, self.port)

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


PeerAddress: TypeAlias = NetAddress | NamedAddress


def parse_peer_address(text: str, default_port: int | None = None) -> PeerAddress:
    """Read ``IP[:PORT]`` or ``NAME[:PORT]``.

    Args:
        text: an IPv6 address with a port stands in brackets.
        default_port: taken where the text has none; ``None`` makes that an error.

    Raises:
        ValueError: it is neither; the message quotes it.
    """
    try:
        return NetAddress.parse(text, default_port)
    except ValueError:
        if _is_ip(text):
            raise
    host, port = split_authority(text)
    if _is_ip(host):
        return NetAddress.parse(text, default_port)  # which says what is wrong with the port
    port = default_port if port is None else port
    if port is None:
        raise ValueError(f"bad address: {text!r} has no port")
    return NamedAddress(host, port)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
