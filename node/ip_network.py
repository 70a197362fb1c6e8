"""Ranges of IP addresses, written as ``IP`` or ``IP/BITS``: bans and inbound proxies name them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from ziggurat.node.address import NetAddress, canonical_ip

__all__ = ["IpNetwork", "network_text", "parse_network"]

IpNetwork: TypeAlias = IPv4Network | IPv6Network

MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 ones."""


def parse_network(text: str) -> IpNetwork:
    """Parse ``IP`` or ``IP/BITS``; a single address is a network of its own. Both are canonical, and without a zone.

    Raises:
        ValueError: the text is neither, has a port, or has bits set beyond ``BITS``; the message says what to write.
    """
    host, slash, bits = text.partition("/")
    try:
        ip = ip_address(host)
    except ValueError:
        try:
            address = NetAddress.parse(text, 0)
        except ValueError:
            raise ValueError(f"{text!r} is neither an IP address nor a network") from None
        raise ValueError(f"{text!r} is more than an IP address: write {address.ip}") from None
    if not slash:
        return ip_network(canonical_ip(ip_address(ip.packed)))
    if not (bits.isascii() and bits.isdigit() and len(bits) <= 3 and int(bits) <= ip.max_prefixlen):
        raise ValueError(f"{text!r} needs a number from 0 to {ip.max_prefixlen} after the slash")
    ip = ip_address(ip.packed)  # without a zone id
    network = ip_network((ip, int(bits)), strict=False)
    if network.network_address != ip:
        raise ValueError(f"{text!r} is an address inside a network: write {ip} or {network}")
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - MAPPED.prefixlen))
    return network


def network_text(network: IpNetwork) -> str:
    """Return the network as `parse_network` reads it: a single address without the ``/32`` or ``/128``."""
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)
