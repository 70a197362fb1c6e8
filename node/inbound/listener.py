"""The source of inbound connections: a TCP port, or a substitute such as a port in memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

import anyio

from ziggurat.layers.accept import accept_connections
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

    Without free file descriptors it waits with accepting: ``listener.paused``, ``listener.resumed``.

    Args:
        address: the address; ``[::]`` accepts both families.
        backlog: connections that the kernel may complete before they are accepted.
        v6only: whether ``[::]`` leaves out IPv4.
    """

    def __init__(self, address: NetAddress, backlog: int = BACKLOG, *, v6only: bool = False) -> None:
        self._address = address
        self._backlog = backlog
        self._v6only = v6only
        self.shown = ""  # in events, instead of the address
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handing_over: set[asyncio.Task[None]] = set()

    def open(self) -> socket.socket:
        """Return the socket, bound; a subclass may open another kind.

        Raises:
            OSError: the address cannot be listened on.
        """
        return open_listening_socket(self._address, v6only=self._v6only)

    async def start(self, factory: Callable[[], asyncio.Protocol], /) -> NetAddress:
        def take(connection: socket.socket) -> None:
            task = asyncio.create_task(_hand_over(connection, factory))
            self._handing_over.add(task)
            task.add_done_callback(self._handing_over.discard)

        listening = self.open()
        try:
            listening.listen(self._backlog)
        except BaseException:
            listening.close()
            raise
        self._listening = listening
        port = listening.getsockname()[1] if listening.family in (socket.AF_INET, socket.AF_INET6) else 0
        address = NetAddress(self._address.ip, int(port))
        self._accepting = asyncio.create_task(accept_connections(listening, self.shown or str(address), take))
        return address

    async def aclose(self) -> None:
        if self._listening is None or self._accepting is None:
            return
        # First what needs no wait: the port is free even if the rest is cancelled.
        self._accepting.cancel()
        anyio.notify_closing(self._listening)
        self._listening.close()
        await asyncio.wait([self._accepting, *self._handing_over])

    def __repr__(self) -> str:
        return f"TcpListener({self._address})"


async def _hand_over(connection: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(factory, connection)
    except OSError:  # the connection was lost in the meantime
        connection.close()
