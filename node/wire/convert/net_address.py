"""Addresses of nodes, one or a list."""

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
"""What kaspad takes of others; more is an error of the sender."""


def net_address_from_wire(message: p2p_pb2.NetAddress) -> NetAddress:
    """Read an address. The timestamp means nothing and is not read.

    A v4-mapped address becomes the IPv4 one. kaspad keeps the two apart and would list, dial and hand out a node twice.

    Raises:
        ConversionError: the IP is of neither 4 nor 16 bytes, or the port is above 65535.
    """
    if len(message.ip) not in (4, 16):
        raise ConversionError(f"IP has illegal length {len(message.ip)}")
    ip = IPv4Address(message.ip) if len(message.ip) == 4 else IPv6Address(message.ip)
    return NetAddress(ip, unsigned(message.port, 16))


def net_address_to_wire(address: NetAddress) -> p2p_pb2.NetAddress:
    """Write an address: 4 bytes or 16, and no timestamp."""
    return p2p_pb2.NetAddress(ip=address.ip.packed, port=address.port)


def addresses_from_wire(message: p2p_pb2.AddressesMessage) -> tuple[NetAddress, ...]:
    """Read a list. One bad entry spoils it, as at kaspad.

    Raises:
        ConversionError: there are more than 2500 entries, or one is malformed.
    """
    if (count := len(message.addressList)) > MAX_ADDRESSES_RECEIVED:
        raise ConversionError(f"address count {count} exceeded {MAX_ADDRESSES_RECEIVED}")
    return tuple(map(net_address_from_wire, message.addressList))


def addresses_to_wire(addresses: Iterable[NetAddress]) -> p2p_pb2.AddressesMessage:
    """Write a list, in its order.

    Raises:
        ConversionError: there are more than 1000.
    """
    entries = list(map(net_address_to_wire, addresses))
    if len(entries) > MAX_ADDRESSES_SENT:
        raise ConversionError(f"address count {len(entries)} exceeded {MAX_ADDRESSES_SENT}")
    return p2p_pb2.AddressesMessage(addressList=entries)
