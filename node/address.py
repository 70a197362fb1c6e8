"""Addresses of nodes: an IP address, an onion service or a name, and a port.

An `AddressNetwork` is the family of an address, and says what can reach it: the machine's IPv4, its IPv6, or Tor.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from ziggurat.services.onion import OnionAddress, is_onion
from ziggurat.services.uri import Uri, split_authority

__all__ = [
    "AddressNetwork",
    "IpAddress",
    "NamedAddress",
    "NetAddress",
    "NodeAddress",
    "OnionNetAddress",
    "PeerAddress",
    "canonical_ip",
    "parse_peer_address",
    "why_undiallable",
]

IpAddress: TypeAlias = IPv4Address | IPv6Address

BROADCAST = IPv4Address("255.255.255.255")
"""IP addresses with a common prefix, which may be all of the address."""


class AddressNetwork(enum.StrEnum):
    """The family that an address belongs to. A name belongs to none until it is resolved."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    ONION = "onion"


def canonical_ip(ip: IpAddress) -> IpAddress:
    """Return the canonical form of an address, in which addresses are compared and stored.

    Dual-stack sockets and Go peers write IPv4 addresses as v4-mapped ones (RFC 4291 2.5.5.2), which become IPv4 again.
    A zone id (RFC 4007) is part of a link-local address, which cannot be dialled without; elsewhere it is dropped.
    """
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip if ip.scope_id is None or ip.is_link_local else IPv6Address(int(ip))


def why_undiallable(ip: IpAddress) -> str | None:
    """Return what an address is that no TCP connection can be opened to; ``None`` for any other.

    The system says of most of them that the network is unreachable, as if it were all of the network.
    """
    if ip.is_multicast:
        return "a multicast address"
    if isinstance(ip, IPv4Address):
        return "the broadcast address" if ip == BROADCAST else None
    if ip.is_link_local and ip.scope_id is None:
        return f"link-local; name its interface, as in [{ip}%eth0]"
    return None


@dataclass(frozen=True, slots=True)
class NetAddress:
    """An IP address and a port. Addresses of the same socket compare equal.

    Attributes:
        ip: the IP in canonical form: a v4-mapped address becomes IPv4, and only a link-local one keeps its zone id,
            which no message to a peer contains.
        port: the port, 0 to 65535. Peers may gossip port 0, but it cannot be dialled.

    Raises:
        ValueError: the port is out of range.
        TypeError: ``ip`` is not an IP address object, e.g. text.
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
        """Parse ``IP[:PORT]``; an IPv6 address with a port needs brackets.

        Args:
            text: the address; names are not looked up.
            default_port: the port to use if the text has none; ``None`` requires one.

        Raises:
            ValueError: the text is not an address; the message quotes it.
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

    @property
    def host(self) -> str:
        """The IP address as text, without brackets."""
        return str(self.ip)

    @property
    def network(self) -> AddressNetwork:
        """`AddressNetwork.IPV4` or `AddressNetwork.IPV6`."""
        return AddressNetwork.IPV4 if self.ip.version == 4 else AddressNetwork.IPV6

    def uri(self) -> Uri:
        """Return the target for dialling this address.

        Raises:
            ValueError: the port is 0.
        """
        return Uri("http", str(self.ip), self.port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class OnionNetAddress:
    """An onion service and a port.

    Attributes:
        onion: the service.
        port: its port, 0 to 65535. Peers may gossip port 0, but it cannot be dialled.

    Raises:
        ValueError: the port is out of range.
    """

    onion: OnionAddress
    port: int

    def __post_init__(self) -> None:
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            raise ValueError(f"bad port: {self.port!r} (0 to 65535)")

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> OnionNetAddress:
        """Parse ``NAME.onion[:PORT]``. Nothing is looked up.

        Args:
            text: the address.
            default_port: the port to use if the text has none; ``None`` requires one.

        Raises:
            ValueError: the text is no such address; the message quotes it and says what is wrong.
        """
        host, port = split_authority(text)
        port = default_port if port is None else port
        if port is None:
            raise ValueError(f"bad address: {text!r} has no port")
        return cls(OnionAddress.parse(host), port)

    @property
    def host(self) -> str:
        """The service's name."""
        return str(self.onion)

    @property
    def network(self) -> AddressNetwork:
        """`AddressNetwork.ONION`."""
        return AddressNetwork.ONION

    def uri(self) -> Uri:
        """Return the target for dialling this address.

        Raises:
            ValueError: the port is 0.
        """
        return Uri("http", str(self.onion), self.port)

    def __str__(self) -> str:
        return f"{self.onion}:{self.port}"


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """A DNS name, which a proxy resolves if there is one, and a port. It never equals another kind of address.

    Attributes:
        name: the name, checked and lower-cased as in `Uri`.
        port: the port, 1 to 65535.

    Raises:
        ValueError: the name or the port is invalid, or the name is an IP address or an onion service.
    """

    name: str
    port: int

    def __post_init__(self) -> None:
        uri = Uri("http", self.name, self.port)
        if uri.is_literal:
            raise ValueError(f"{self.name!r} is an IP address, not a name: use NetAddress")
        if is_onion(uri.host):
            raise ValueError(f"{self.name!r} is an onion service, not a name: use OnionNetAddress")
        object.__setattr__(self, "name", uri.host)

    @property
    def host(self) -> str:
        """The name."""
        return self.name

    def uri(self) -> Uri:
        """Return the target for dialling this address."""
        return Uri("http", self.name, self.port)

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


NodeAddress: TypeAlias = NetAddress | OnionNetAddress
"""An address that needs no look-up, and so can be known of and passed on."""

PeerAddress: TypeAlias = NodeAddress | NamedAddress


def parse_peer_address(text: str, default_port: int | None = None) -> PeerAddress:
    """Parse ``IP[:PORT]``, ``NAME.onion[:PORT]`` or ``NAME[:PORT]``. Nothing is looked up.

    Args:
        text: the address; an IPv6 address with a port needs brackets.
        default_port: the port to use if the text has none; ``None`` requires one.

    Raises:
        ValueError: the text is none of them, or an address that cannot be dialled; the message quotes it.
    """
    if _is_ip(text) or _is_ip(split_authority(text)[0]):
        address = NetAddress.parse(text, default_port)
        if (reason := why_undiallable(address.ip)) is not None:
            raise ValueError(f"bad address: {text!r} is {reason}")
        return address
    host, port = split_authority(text)
    port = default_port if port is None else port
    if port is None:
        raise ValueError(f"bad address: {text!r} has no port")
    return OnionNetAddress.parse(text, port) if is_onion(host) else NamedAddress(host, port)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
