"""The machine's own addresses, for a node with a wildcard listener and no ``--externalip``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from ziggurat.node.address import IpAddress, NetAddress
from ziggurat.node.address_manager import is_publicly_routable

__all__ = ["Interfaces", "interface_addresses", "own_address"]

Interfaces = Callable[[], Iterable[IpAddress]]


def interface_addresses() -> list[IpAddress]:
    """Return every address of every network interface, in the system's order; an empty list where it reveals none."""
    import ifaddr  # imported late: a node behind a proxy never loads it

    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:  # such as a sandbox without netlink: the node runs without advertising an address
        return []
    texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in adapters for ip in adapter.ips]
    return [ip_address(text.partition("%")[0]) for text in texts]


def own_address(listen: NetAddress, interfaces: Interfaces) -> NetAddress | None:
    """Return the first routable address of this machine, for a wildcard listener, as kaspad does.

    The address has the listener's IP version and port. ``None`` when the machine has no such address, or when the
    listener is bound to a single address.
    """
    if not listen.ip.is_unspecified or not listen.port:
        return None
    fitting = (ip for ip in interfaces() if ip.version == listen.ip.version and is_publicly_routable(ip))
    return next((NetAddress(ip, listen.port) for ip in fitting), None)
