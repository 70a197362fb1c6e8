"""An event loop whose connections a stack dials, for clients that take ``loop=`` and no socket: asyncpg.

It passes everything on to the running loop, aside from the three methods that reach a network. No library is imported.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar, cast

from ziggurat.layers.clients.attach import attach, connect_protocol
from ziggurat.layers.clients.secure import secure
from ziggurat.layers.clients.start_tls import start_tls
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri

__all__ = ["connector_loop"]

P = TypeVar("P", bound=asyncio.Protocol)


def connector_loop(connector: Connector) -> asyncio.AbstractEventLoop:
    """Return the running event loop, except that ``create_connection`` and ``create_unix_connection`` dial by a stack.

    For ``asyncpg.connect(host=..., loop=connector_loop(connector))`` and ``asyncpg.create_pool``. asyncpg asks the
    server for TLS inside the connection and starts it by itself, so the stack must not have a ``tls`` layer for the
    target. The name that it verifies is the one it was asked for, which goes to the proxy unresolved.

    Connections that asyncpg makes later, to cancel a query, go the same way.

    Args:
        connector: dials ``tcp://host:port`` or ``unix:path``.

    Raises:
        RuntimeError: no asyncio loop is running.
    """
    return cast(asyncio.AbstractEventLoop, _ConnectorLoop(connector, asyncio.get_running_loop()))


class _ConnectorLoop:
    def __init__(self, connector: Connector, loop: asyncio.AbstractEventLoop) -> None:
        self._connector = connector
        self._loop = loop

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        host: str,
        port: int,
        *,
        ssl: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """Dial ``tcp://host:port``; see `connect_protocol`. With ``ssl`` TLS comes first, and verifies ``host``."""
        uri = Uri("tcp", host, port)
        if not ssl:
            return await connect_protocol(self._connector, uri, protocol_factory)
        return await self._create_secured(protocol_factory, uri, _context(ssl), server_hostname or host)

    async def create_unix_connection(self, protocol_factory: Callable[[], P], path: str) -> tuple[asyncio.Transport, P]:
        """Dial ``unix:path``; see `connect_protocol`."""
        return await connect_protocol(self._connector, Uri("unix", path=path), protocol_factory)

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        sslcontext: ssl.SSLContext,
        *,
        server_hostname: str,
    ) -> asyncio.Transport:
        """Do the TLS handshake on a transport that this loop has made."""
        return await start_tls(transport, protocol, sslcontext, server_hostname)

    async def _create_secured(
        self, factory: Callable[[], P], uri: Uri, context: ssl.SSLContext, name: str
    ) -> tuple[asyncio.Transport, P]:
        with dial(uri):
            stream = await secure(await self._connector(uri), context, name)
            async with closing_on_error(stream):
                protocol = factory()
                return attach(stream, protocol), protocol

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    def __repr__(self) -> str:
        return f"<{self._loop!r}, dialling by {self._connector!r}>"


def _context(given: ssl.SSLContext | bool) -> ssl.SSLContext:
    return ssl.create_default_context() if isinstance(given, bool) else given
