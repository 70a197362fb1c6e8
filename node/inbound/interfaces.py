"""The machine's own addresses, for a node that listens on all of them and has been told nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from ziggurat.node.address import IpAddress, NetAddress
from ziggurat.node.address_manager import is_publicly_routable

__all__ = ["Interfaces", "interface_addresses", "own_address"]

Interfaces = Callable[[], Iterable[IpAddress]]


def interface_addresses() -> list[IpAddress]:
    """Every address of every network interface, in the system's order; none where the system does not tell."""
    import ifaddr  # here: behind a proxy nothing of the kind is even loaded

    try:
        cards = list(ifaddr.get_adapters())
    except OSError:  # a sandbox without netlink, say: a node that cannot be found still runs
        return []
    texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for card in cards for ip in card.ips]
    return [ip_address(text.partition("%")[0]) for text in texts]


def own_address(listen: NetAddress, interfaces: Interfaces) -> NetAddress | None:
    """Return where the whole internet can reach who listens there on all interfaces, as kaspad finds it out.

    The first address that is routable and of the listener's IP version, with the listener's port; ``None`` when the
    machine has none, or the listener is on one address alone.
    """
    if not listen.ip.is_unspecified or not listen.port:
        return None
    fitting = (ip for ip in interfaces() if ip.version == listen.ip.version and is_publicly_routable(ip))
    return next((NetAddress(ip, listen.port) for ip in fitting), None)
