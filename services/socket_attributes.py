"""anyio's typed attributes of a socket, read from an asyncio transport."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from anyio.abc import SocketAttribute

__all__ = ["socket_attributes"]


def socket_attributes(transport: asyncio.Transport) -> dict[Any, Callable[[], Any]]:
    """Return the `SocketAttribute` values of a transport; none if it has no socket."""
    get = transport.get_extra_info
    raw: Any = get("socket")
    if raw is None:
        return {}
    attributes: dict[Any, Callable[[], Any]] = {
        SocketAttribute.family: lambda: raw.family,
        SocketAttribute.raw_socket: lambda: raw,
        SocketAttribute.local_address: lambda: _plain_address(get("sockname")),
        SocketAttribute.remote_address: lambda: _plain_address(get("peername")),
    }
    if raw.family in (socket.AF_INET, socket.AF_INET6):
        attributes[SocketAttribute.local_port] = lambda: get("sockname")[1]
        attributes[SocketAttribute.remote_port] = lambda: get("peername")[1]
    return attributes


def _plain_address(address: Any) -> Any:
    # As anyio does it: (host, port) for IPv6 too, with the scope id in the host.
    # None for a connection that was lost before its transport was made. An abstract unix name is bytes.
    if address is None or isinstance(address, (str, bytes)) or len(address) != 4:
        return address
    host, port, _, scope = address
    return (f"{host.partition('%')[0]}%{scope}" if scope else host, port)
