"""The source of inbound connections: a TCP port, or a substitute such as a port in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ziggurat.node.address import NetAddress
from ziggurat.node.inbound.sockets import open_listening_socket

__all__ = ["Listener", "TcpListener"]

BACKLOG = 1024
"""Connections that the kernel may complete before they are accepted. All peers redial a restarted node at once. The
kernel may cap the number (net.core.somaxconn, 4096 on current Linux)."""


class Listener(Protocol):
    """Accepts connections."""

    async def start(self, factory: Callable[[], asyncio.Protocol], /) -> NetAddress:
        """Start accepting connections, each with a new protocol from ``factory``, and return the address listened on.

        Raises:
            OSError: the address cannot be listened on.
        """
        ...

    async def aclose(self) -> None:
        """Stop accepting connections. Accepted ones stay open."""
        ...


class TcpListener:
    """A listener on a TCP address; port 0 takes a free port.

    Args:
        address: the address; ``[::]`` accepts both families.
        backlog: connections that the kernel may complete before they are accepted.
        v6only: whether ``[::]`` leaves out IPv4.
    """

    def __init__(self, address: NetAddress, backlog: int = BACKLOG, *, v6only: bool = False) -> None:
        self._address = address
        self._backlog = backlog
        self._v6only = v6only
        self._server: asyncio.Server | None = None

    async def start(self, factory: Callable[[], asyncio.Protocol], /) -> NetAddress:
        opened = open_listening_socket(self._address, v6only=self._v6only)
        port = int(opened.getsockname()[1])
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(factory, sock=opened, backlog=self._backlog)
        except BaseException:
            opened.close()
            raise
        return NetAddress(self._address.ip, port)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()  # no wait_closed(): since Python 3.12 it also waits for the connections

    def __repr__(self) -> str:
        return f"TcpListener({self._address})"
