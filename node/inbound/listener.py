"""The source of inbound connections: a TCP port, or a substitute such as a port in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ziggurat.node.address import NetAddress

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
    """A listener on a TCP address; port 0 takes a free port."""

    def __init__(self, address: NetAddress, backlog: int = BACKLOG) -> None:
        self._address = address
        self._backlog = backlog
        self._server: asyncio.Server | None = None

    async def start(self, factory: Callable[[], asyncio.Protocol], /) -> NetAddress:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            factory, str(self._address.ip), self._address.port, backlog=self._backlog
        )
        return NetAddress(self._address.ip, int(self._server.sockets[0].getsockname()[1]))

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()  # no wait_closed(): since Python 3.12 it also waits for the connections

    def __repr__(self) -> str:
        return f"TcpListener({self._address})"
