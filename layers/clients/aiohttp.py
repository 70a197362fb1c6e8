"""aiohttp over a connector, by its connector's ``resolver=`` and ``socket_factory=``.

aiohttp looks a name up, makes a socket for the address, and connects it. Here the look-up is the dial, through the
whole stack and with the name unresolved; its answer is a ticket in the form of an address, for which the socket factory
hands out the socket of that dial. An error of the dial is thus the error of the request.

aiohttp does not look up a host that is an IP address. The factory dials it when it is asked for a socket, and must
answer before the dial has ended: the request then starts on one end of a socketpair, and a failed dial closes it.
aiohttp says "server disconnected", and the log (``ziggurat``) why.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from ziggurat.layers.clients.as_socket import as_socket
from ziggurat.layers.clients.attach import attach
from ziggurat.layers.clients.relay import relay_socket
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

try:
    from aiohttp.abc import AbstractResolver, ResolveResult
except ImportError as error:
    raise ImportError("aiohttp is not installed: pip install 'ziggurat[aiohttp]'") from error

__all__ = ["AiohttpDialer"]

TICKETS = {socket.AF_INET: "255.255.255.255", socket.AF_INET6: "ff00::"}
"""Addresses that no TCP connection can be made to (broadcast, multicast): a ticket is one with a number as port. Were
the socket factory left out, the request would fail, and not go around the stack."""

UNUSED = 10.0
"""Seconds after which a socket that nobody has asked for is closed: its request was cancelled meanwhile."""

LOG = logging.getLogger("ziggurat")


class AiohttpDialer(AbstractResolver):
    """What an ``aiohttp.TCPConnector`` needs to dial by a stack::

        dialer = AiohttpDialer(stack)
        connector = aiohttp.TCPConnector(
            resolver=dialer, socket_factory=dialer.make_socket, use_dns_cache=False
        )

    All three arguments are needed; without one of them requests fail, and none goes around the stack. ``family`` and
    ``local_addr`` are the stack's to set. TLS is aiohttp's and verifies the URL's host, so the stack must not have a
    ``tls`` layer for the target. `close` the dialer after the session.

    A failed dial is an ``aiohttp.ClientConnectorDNSError``, whose ``os_error`` is the `ConnectError`; a
    `ConnectTimeout` is an ``aiohttp.ConnectionTimeoutError``, with it as the cause.

    Args:
        connector: dials ``tcp://host:port``.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._sockets: dict[int, socket.socket] = {}
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Dial ``host``, and return a ticket for the connection; called by aiohttp.

        Raises:
            ConnectError: the dial failed.
        """
        try:
            uri = Uri("tcp", host, port)
            with dial(uri):
                sock = await as_socket(await self._connector(uri))
        except ConnectError as error:
            error.strerror = str(error)  # what aiohttp's own error shows
            raise
        except ValueError as error:
            raise OSError(None, str(error)) from error
        # The event loop looks at the socket's own family, so the ticket must be of the same.
        kind = socket.AF_INET6 if sock.family == socket.AF_INET6 else socket.AF_INET
        if family not in (socket.AF_UNSPEC, kind):
            sock.close()
            raise OSError(None, f"the stack has connected by {kind.name}: leave out aiohttp.TCPConnector's family=")
        ticket = self._keep(sock)
        return [ResolveResult(hostname=host, host=TICKETS[kind], port=ticket, family=kind, proto=0, flags=0)]

    def make_socket(self, address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """Return the socket of a ticket, or one whose dial goes on; the ``socket_factory`` of aiohttp's connector.

        Raises:
            OSError: the ticket was used before.
        """
        host, port = str(address[4][0]), int(str(address[4][1]))
        if host not in TICKETS.values():
            return self._dial_literal(Uri("tcp", host, port))
        sock = self._sockets.pop(port, None)
        if sock is None:
            raise OSError(None, "the connection was used before: aiohttp.TCPConnector needs use_dns_cache=False")
        return _connected(sock)

    async def close(self) -> None:
        """Close what nobody has asked for, and give up dials that are under way."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _keep(self, sock: socket.socket) -> int:
        while True:
            self._last = self._last % 65535 + 1
            if self._last not in self._sockets:
                break
        ticket = self._last
        self._sockets[ticket] = sock
        asyncio.get_running_loop().call_later(UNUSED, self._drop, ticket, sock)
        return ticket

    def _drop(self, ticket: int, sock: socket.socket) -> None:
        if self._sockets.get(ticket) is sock:
            del self._sockets[ticket]
            sock.close()

    def _dial_literal(self, uri: Uri) -> socket.socket:
        near, far = socket.socketpair()
        task = asyncio.get_running_loop().create_task(self._join(uri, far))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _connected(near)

    async def _join(self, uri: Uri, far: socket.socket) -> None:
        end = await relay_socket(far)
        try:
            with dial(uri):
                attach(await self._connector(uri), end)
        except BaseException as error:
            end.give_up()
            if not isinstance(error, ConnectError):
                raise
            LOG.warning("%s", error)

    def __repr__(self) -> str:
        return f"AiohttpDialer({self._connector!r})"


class _Connected(socket.socket):
    """A socket that is connected, for a library that connects the sockets that it is given."""

    def connect(self, address: object, /) -> None:
        """Do nothing."""


def _connected(sock: socket.socket) -> _Connected:
    same = _Connected(sock.family, sock.type, sock.proto, fileno=sock.detach())
    same.setblocking(False)
    return same
