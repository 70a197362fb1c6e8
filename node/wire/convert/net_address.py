"""Addresses of nodes, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from ziggurat.node.address import NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.integers import unsigned
from ziggurat.services.onion import OnionAddress

__all__ = [
    "MAX_ADDRESSES_RECEIVED",
    "MAX_ADDRESSES_SENT",
    "addresses_from_wire",
    "addresses_to_wire",
    "net_address_from_wire",
    "net_address_to_wire",
]

MAX_ADDRESSES_SENT = 1000
MAX_ADDRESSES_RECEIVED = 2500
"""kaspad's limit for received lists; a longer one closes the connection."""

ONION_LENGTH = len("x" * 56 + ".onion")
"""Characters of an onion service's name. Labels before it, which Tor ignores, would make many names of one service."""


def net_address_from_wire(message: p2p_pb2.NetAddress) -> NetAddress:
    """Convert an IP address from its message. The timestamp has no meaning and is ignored.

    A v4-mapped address becomes IPv4. kaspad keeps the two apart, and would list, dial and pass on a node twice. An
    onion service is no IP address, and is read as kaspad reads it: as an IP of no bytes.

    Raises:
        ConversionError: the IP has neither 4 nor 16 bytes, or the port is above 65535.
    """
    if len(message.ip) not in (4, 16):
        raise ConversionError(f"IP has illegal length {len(message.ip)}")
    ip = IPv4Address(message.ip) if len(message.ip) == 4 else IPv6Address(message.ip)
    return NetAddress(ip, unsigned(message.port, 16))


def net_address_to_wire(address: NodeAddress) -> p2p_pb2.NetAddress:
    """Convert an address to its message: an IP of 4 or 16 bytes or the name of an onion service, and no timestamp."""
    if isinstance(address, OnionNetAddress):
        return p2p_pb2.NetAddress(onion=str(address.onion), port=address.port)
    return p2p_pb2.NetAddress(ip=address.ip.packed, port=address.port)


def addresses_from_wire(message: p2p_pb2.AddressesMessage, *, onions: bool = False) -> tuple[NodeAddress, ...]:
    """Convert a list of addresses. One malformed entry makes the list invalid, as in kaspad.

    Of onion services only those are taken whose checksum is right, and the rest of the list is kept: rusty-kaspa's
    nodes that know them pass on what looks like one, so that a wrong one is not the fault of who tells it.

    Args:
        message: the list.
        onions: whether both sides have said that they know onion services. If not, all of them are left out.

    Raises:
        ConversionError: there are more than 2500 entries, of either kind, or one is malformed.
    """
    if (count := len(message.addressList)) > MAX_ADDRESSES_RECEIVED:
        raise ConversionError(f"address count {count} exceeded {MAX_ADDRESSES_RECEIVED}")
    entries = (_from_wire(entry, onions) for entry in message.addressList)
    return tuple(address for address in entries if address is not None)


def addresses_to_wire(addresses: Iterable[NodeAddress]) -> p2p_pb2.AddressesMessage:
    """Convert addresses to a message, in their order. Onion services are for peers that know them only.

    Raises:
        ConversionError: there are more than 1000 addresses.
    """
    entries = list(map(net_address_to_wire, addresses))
    if len(entries) > MAX_ADDRESSES_SENT:
        raise ConversionError(f"address count {len(entries)} exceeded {MAX_ADDRESSES_SENT}")
    return p2p_pb2.AddressesMessage(addressList=entries)


def _from_wire(entry: p2p_pb2.NetAddress, onions: bool) -> NodeAddress | None:
    """Convert an entry of a list; return ``None`` for an onion service that is not taken."""
    if not entry.HasField("onion"):
        return net_address_from_wire(entry)
    port = unsigned(entry.port, 16)
    if not onions or len(entry.onion) != ONION_LENGTH:
        return None
    try:
        return OnionNetAddress(OnionAddress.parse(entry.onion), port)
    except ValueError:
        return None
