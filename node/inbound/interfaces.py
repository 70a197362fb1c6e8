"""The machine's own addresses, for a node with a wildcard listener and no ``--externalip``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address

from ziggurat.layers.events import write_event
from ziggurat.node.address import IpAddress, NetAddress
from ziggurat.node.address_manager import is_publicly_routable
from ziggurat.services.errors import one_line

__all__ = ["Interfaces", "OwnAddress", "interface_addresses"]

Interfaces = Callable[[], Iterable[IpAddress]]


def interface_addresses() -> list[IpAddress]:
    """Return every address of every network interface, in the system's order.

    Raises:
        OSError: the system does not reveal them, e.g. in a sandbox without ``AF_NETLINK``.
    """
    import ifaddr  # imported late: a node behind a proxy never loads it

    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:
        raise
    except Exception as error:  # it does not expect every interface that a system may have, e.g. one without a netmask
        raise OSError(f"ifaddr: {error!r}") from error
    texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in adapters for ip in adapter.ips]
    return [ip_address(text.partition("%")[0]) for text in texts]


class OwnAddress:
    """The address that a node on all interfaces advertises: the first routable one of this machine, as kaspad does.

    Once found it is kept for as long as the machine has it, however its addresses are ordered: the temporary ones of
    IPv6 (RFC 8981) come and go. ``interfaces.unreadable`` (``error``) is written when they cannot be read, once until
    they can.

    Args:
        interfaces: returns the machine's addresses.

    Attributes:
        current: the address found last; ``None`` if there was none.
    """

    def __init__(self, interfaces: Interfaces) -> None:
        self.current: NetAddress | None = None
        self._interfaces = interfaces
        self._readable = True

    def find(self, listening: Sequence[NetAddress]) -> NetAddress | None:
        """Look for the address, given those listened on, and return it.

        It has the family and the port of a wildcard listener; ``[::]`` takes both families, and IPv4, which more peers
        have, comes first. ``None`` when the machine has no such address, or no listener is a wildcard. An address found
        before is kept while the interfaces cannot be read.
        """
        wildcards = [address for address in listening if address.ip.is_unspecified and address.port]
        if not wildcards:
            self.current = None
            return None
        try:
            machine = [ip for ip in self._interfaces() if is_publicly_routable(ip)]
        except OSError as error:
            if self._readable:
                write_event(None, "warning", "interfaces.unreadable", error=one_line(str(error) or repr(error)))
            self._readable = False
            return self.current
        self._readable = True
        fitting = list(_fitting(wildcards, machine))
        if self.current not in fitting:
            self.current = fitting[0] if fitting else None
        return self.current


def _fitting(wildcards: Sequence[NetAddress], machine: Sequence[IpAddress]) -> Iterator[NetAddress]:
    for listener in wildcards:
        for version in (4, 6) if listener.ip.version == 6 else (4,):
            yield from (NetAddress(ip, listener.port) for ip in machine if ip.version == version)
