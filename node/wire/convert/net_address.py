"""Addresses of nodes, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from ziggurat.node.address import NetAddress
from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.integers import unsigned

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


def net_address_from_wire(message: p2p_pb2.NetAddress) -> NetAddress:
    """Convert an address from its message. The timestamp has no meaning and is ignored.

    A v4-mapped address becomes IPv4. kaspad keeps the two apart, and would list, dial and pass on a node twice.

    Raises:
        ConversionError: the IP has neither 4 nor 16 bytes, or the port is above 65535.
    """
    if len(message.ip) not in (4, 16):
        raise ConversionError(f"IP has illegal length {len(message.ip)}")
    ip = IPv4Address(message.ip) if len(message.ip) == 4 else IPv6Address(message.ip)
    return NetAddress(ip, unsigned(message.port, 16))


def net_address_to_wire(address: NetAddress) -> p2p_pb2.NetAddress:
    """Convert an address to its message: an IP of 4 or 16 bytes, and no timestamp."""
    return p2p_pb2.NetAddress(ip=address.ip.packed, port=address.port)


def addresses_from_wire(message: p2p_pb2.AddressesMessage) -> tuple[NetAddress, ...]:
    """Convert a list of addresses. One malformed entry makes the list invalid, as in kaspad.

    Raises:
        ConversionError: there are more than 2500 entries, or one is malformed.
    """
    if (count := len(message.addressList)) > MAX_ADDRESSES_RECEIVED:
        raise ConversionError(f"address count {count} exceeded {MAX_ADDRESSES_RECEIVED}")
    return tuple(map(net_address_from_wire, message.addressList))


def addresses_to_wire(addresses: Iterable[NetAddress]) -> p2p_pb2.AddressesMessage:
    """Convert addresses to a message, in their order.

    Raises:
        ConversionError: there are more than 1000 addresses.
    """
    entries = list(map(net_address_to_wire, addresses))
    if len(entries) > MAX_ADDRESSES_SENT:
        raise ConversionError(f"address count {len(entries)} exceeded {MAX_ADDRESSES_SENT}")
    return p2p_pb2.AddressesMessage(addressList=entries)
