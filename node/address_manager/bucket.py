"""Which addresses are counted as neighbours: they cost an attacker little more than one of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from ziggurat.node.address import IpAddress, canonical_ip

__all__ = ["bucket_of"]


def bucket_of(ip: IpAddress) -> bytes:
    """Answer with what neighbours have in common: 2 bytes of an IPv4 address, 8 of an IPv6 one.

    v4-mapped and v4-compatible addresses (RFC 4291 2.5.5) count as IPv4.
    """
    ip = canonical_ip(ip)
    if isinstance(ip, IPv6Address) and int(ip) < 1 << 32:
        ip = IPv4Address(int(ip))
    return ip.packed[:2] if ip.version == 4 else ip.packed[:8]
