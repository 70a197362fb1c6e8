"""Where inbound connections come from: a TCP port, or whatever a test or a fleet puts in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ziggurat.node.address import NetAddress

__all__ = ["Listener", "TcpListener"]

BACKLOG = 1024
"""Connections that the system completes before we have looked at them. A restarted node is dialled by all who knew it;
the system may cut it (net.core.somaxconn, 4096 on current Linux)."""


class Listener(Protocol):
    """Accepts connections."""

    async def start(self, factory: Callable[[], asyncio.Protocol], /) -> NetAddress:
        """Give each connection a protocol of its own, from now on. Returns where it listens.

        Raises:
            OSError: it cannot listen there.
        """
        ...

    async def aclose(self) -> None:
        """Accept no more. Connections that were accepted stay open."""
        ...


class TcpListener:
    """Listens on a TCP address; port 0 takes a free one."""

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
            self._server.close()  # not wait_closed(): since Python 3.12 that waits for the connections, too

    def __repr__(self) -> str:
        return f"TcpListener({self._address})"
