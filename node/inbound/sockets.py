"""Listening sockets: one per address, where ``[::]`` takes both families."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from ziggurat.node.address import NetAddress

__all__ = ["needs_v6only", "open_listening_socket"]

HINTS = {
    errno.EADDRINUSE: "another program uses the port",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address",
    errno.EACCES: "ports below 1024 are for root",
    errno.EAFNOSUPPORT: "this system has no IPv6",
    errno.EINVAL: "a link-local address needs its interface, as in [fe80::1%eth0]",
}


def open_listening_socket(address: NetAddress, *, v6only: bool = False) -> socket.socket:
    """Return a socket bound to the address, on which `socket.listen` is still to be called; port 0 takes a free one.

    Args:
        address: the address; a link-local one needs its zone.
        v6only: whether ``[::]`` leaves out IPv4, which it takes by default, whatever the system's own default is. Other
            IPv6 addresses are always of one family.

    Raises:
        OSError: the address cannot be listened on; the message names it.
    """
    try:
        return _bound(address, v6only=v6only or not address.ip.is_unspecified)
    except OSError as error:
        number = error.errno or errno.ENODEV  # no number: there is no such interface
        hint = f" ({HINTS[number]})" if number in HINTS else ""
        raise OSError(number, f"cannot listen on {address}: {os.strerror(number)}{hint}") from error


def needs_v6only(address: NetAddress, others: Sequence[NetAddress]) -> bool:
    """Return whether ``[::]`` has to leave IPv4 to another listener, which has the same port."""
    return bool(address.port) and any(other.ip.version == 4 and other.port == address.port for other in others)


def _bound(address: NetAddress, *, v6only: bool) -> socket.socket:
    ip = address.ip
    opened = socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6)
    try:
        if os.name == "posix":  # on Windows it lets two programs take the same port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ip.version == 4:
            opened.bind((str(ip), address.port))
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
            opened.bind((str(ip).partition("%")[0], address.port, 0, _interface(ip.scope_id)))
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _interface(zone: str | None) -> int:
    """Return the number of a zone's interface; 0 for none. A zone may be that number already (RFC 4007 11.2)."""
    if zone is None:
        return 0
    return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
