"""What a host is, by its text alone: nothing is ever resolved to decide where a dial goes.

A name has no family and no network until somebody resolves it, so that a rule about addresses never fits a name, even
one that would resolve to such an address. A rule about names never fits an address: the zone id of an IPv6 address may
look like a domain (CVE-2025-22870 of Go: ``[::1%25.example.com]`` matched ``example.com``).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from ziggurat.services.uri import Uri

__all__ = ["Address", "Network", "contains", "is_loopback", "is_private", "is_subdomain", "literal", "parse_network"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 ones (RFC 4291 2.5.5.2); a dial to one is a dial by IPv4."""

PRIVATE = (
    *(ip_network("10.0.0.0/8"), ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16")),  # RFC 1918
    ip_network("100.64.0.0/10"),  # RFC 6598, between a carrier and its customers
    ip_network("169.254.0.0/16"),  # RFC 3927, link-local; also the metadata service of clouds
    ip_network("fc00::/7"),  # RFC 4193, unique local
    ip_network("fe80::/10"),  # RFC 4291, link-local
)


def literal(host: str) -> Address | None:
    """Return the address that ``host`` is, or ``None`` for a name. A v4-mapped address becomes IPv4, zone ids go."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(uri: Uri) -> bool:
    """Whether a dial to ``uri`` stays on this machine: a unix socket, a loopback address, ``localhost`` (RFC 6761 6.3).

    The unspecified addresses, ``0.0.0.0`` and ``::``, are such addresses too: systems dial themselves for them.
    """
    if uri.is_unix:
        return True
    if not uri.is_literal:
        return is_subdomain(uri.host, "localhost")
    address = literal(uri.host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_private(address: Address) -> bool:
    """Whether ``address`` belongs to a network that is not reached over the internet; loopback is none of them."""
    return any(contains(network, address) for network in PRIVATE)


def is_subdomain(name: str, domain: str) -> bool:
    """Whether ``name`` is ``domain`` or lies below it. Both in the form that `Uri` gives a host; a last dot is no part.

    ``badexample.com`` does not lie below ``example.com``, though it ends with it (grpc-node #3039).
    """
    name, domain = name.removesuffix("."), domain.removesuffix(".")
    return name == domain or name.endswith(f".{domain}")


def contains(network: Network, address: Address) -> bool:
    """Whether ``network`` contains ``address``; never across families."""
    return network.version == address.version and address in network


def parse_network(text: str) -> Network | None:
    """Return the network of ``IP`` or ``IP/BITS``, ``None`` for other text. Bits beyond ``BITS`` are cleared.

    The address may have brackets, with the bits inside or after them.
    """
    host, slash, bits = text.partition("/")
    if host.startswith("["):
        host, bits = host[1:], bits.removesuffix("]")
        host = host.removesuffix("]")
    if slash and not (bits.isascii() and bits.isdigit()):
        return None  # ip_network would take a mask, 10.0.0.0/255.0.0.0
    try:
        network = ip_network(f"{host}/{bits}" if slash else host, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - MAPPED.prefixlen))
    return network
