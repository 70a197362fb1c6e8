"""What belongs together for a limit or a breaker: a host, a network, an address with its port."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeAlias

from ziggurat.services.uri import Uri

__all__ = ["Key", "by_authority", "by_host", "by_network", "name_of"]

Key: TypeAlias = Callable[[Uri], Hashable]
"""A function that returns the key of a Uri. Uris with equal keys share a limit."""


def by_host(uri: Uri) -> Hashable:
    """Return the host, or the path of a unix socket."""
    return uri.path or uri.host


def by_authority(uri: Uri) -> Hashable:
    """Return host and port, or the path of a unix socket."""
    return uri.authority


def by_network(uri: Uri, *, v4: int = 16, v6: int = 32) -> Hashable:
    """Return the network of an IP address; a name is a network of its own, since nothing is looked up.

    Who owns one address of a network often has all of it. The sizes are those of Bitcoin's and Kaspa's buckets; for
    others use ``functools.partial(by_network, v4=24)``.

    Args:
        uri: the target.
        v4: length of the prefix for IPv4, in bits.
        v6: length of the prefix for IPv6, in bits.
    """
    if not uri.is_literal:
        return uri.path or uri.host
    address = ip_address(uri.host.partition("%")[0])
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            return str(ip_network((address.packed, v6), strict=False))
        address = mapped
    return str(ip_network((address.packed, v4), strict=False))


def name_of(key: Key) -> str:
    """Return the name of a key function, for a ``repr``."""
    return str(getattr(key, "__qualname__", repr(key)))
