"""The few requests of rtnetlink(7) that lay out a network namespace."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from types import TracebackType
from typing import TypeAlias

__all__ = ["IP", "Netlink", "attribute", "request"]

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# linux/netlink.h and linux/rtnetlink.h
_ERROR = 2
_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 20, 24
_REQUEST, _ACKNOWLEDGE, _CREATE_NEW = 0x1, 0x4, 0x400 | 0x200
_LINK_NAME, _LINK_INFO, _INFO_KIND, _INFO_DATA, _VETH_PEER = 3, 18, 1, 2, 1
_ADDRESS, _LOCAL, _ADDRESS_FLAGS, _NO_DAD = 1, 2, 8, 0x02
_OUTPUT_INTERFACE, _MAIN_TABLE, _STATIC, _UNICAST = 4, 254, 4, 1
_UP, _NO_ARP = 0x1, 0x80


class Netlink:
    """A connection to the kernel, for the network namespace that it was made in; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)  # 0: NETLINK_ROUTE

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def add_pair(self, name: str, peer: str) -> None:
        """Make two interfaces: what one sends, the other receives. Raises `OSError`, as all methods do."""
        inner = attribute(_LINK_NAME, peer.encode() + b"\0")
        data = attribute(_VETH_PEER, _link(0) + inner)
        info = attribute(_INFO_KIND, b"veth\0") + attribute(_INFO_DATA, data)
        body = _link(0) + attribute(_LINK_NAME, name.encode() + b"\0") + attribute(_LINK_INFO, info)
        self._ask(_NEW_LINK, body, create=True)

    def bring_up(self, name: str, *, no_arp: bool = False) -> None:
        """Switch an interface on; with ``no_arp`` it sends without asking who its neighbours are."""
        flags = _UP | (_NO_ARP if no_arp else 0)
        self._ask(_NEW_LINK, _link(socket.if_nametoindex(name), flags))

    def add_address(self, name: str, address: IP) -> None:
        """Give an interface an address, and no network around it."""
        packed, number = address.packed, socket.if_nametoindex(name)
        body = struct.pack("=BBBBI", _family(address), address.max_prefixlen, _NO_DAD, 0, number)
        body += attribute(_LOCAL, packed) + attribute(_ADDRESS, packed)
        self._ask(_NEW_ADDRESS, body + attribute(_ADDRESS_FLAGS, struct.pack("=I", _NO_DAD)), create=True)

    def route_all(self, name: str, family: int) -> None:
        """Send through an interface all that has no other route."""
        body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _MAIN_TABLE, _STATIC, 0, _UNICAST, 0)
        body += attribute(_OUTPUT_INTERFACE, struct.pack("=I", socket.if_nametoindex(name)))
        self._ask(_NEW_ROUTE, body, create=True)

    def _ask(self, kind: int, body: bytes, *, create: bool = False) -> None:
        self._socket.send(request(kind, body, create=create))
        answer = self._socket.recv(65536)
        _, answered, _, _, _, code = struct.unpack_from("=IHHIIi", answer)
        if answered == _ERROR and code:
            raise OSError(-code, os.strerror(-code))


def request(kind: int, body: bytes, *, create: bool) -> bytes:
    """Return a message that the kernel acknowledges."""
    flags = _REQUEST | _ACKNOWLEDGE | (_CREATE_NEW if create else 0)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def attribute(kind: int, data: bytes) -> bytes:
    """Return an attribute, padded to four bytes; the padding does not count in its length."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _link(number: int, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, number, flags, flags)


def _family(address: IP) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
