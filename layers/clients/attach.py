"""Give a dialled stream to an asyncio protocol: handed over where that loses nothing, otherwise pumped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVar

import sniffio
from anyio import BrokenResourceError, ClosedResourceError
from anyio.abc import ByteStream

from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.stream_transport import StreamTransport
from ziggurat.services.tls import TlsStream
from ziggurat.services.transport_stream import TransportStream
from ziggurat.services.uri import Uri

__all__ = ["attach", "connect_protocol", "require_asyncio"]

P = TypeVar("P", bound=asyncio.Protocol)


async def connect_protocol(connector: Connector, uri: Uri, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    """Dial ``uri`` and run a protocol on the connection, as ``loop.create_connection`` does.

    A `TransportStream` or a `TlsStream` of ours is handed over, bytes received behind a proxy's reply included, and
    then costs nothing more. Any other stream is pumped by two tasks, and so is one of ours while a layer waits for its
    end (a limit on open streams does), which a foreign protocol would not report.

    The transport owns the connection; ``transport.close()`` or ``abort()`` ends it.

    Args:
        connector: dials.
        uri: the target.
        factory: makes the protocol, once the connection is open.

    Raises:
        ConnectError: the dial failed; ``factory`` was not called.
        RuntimeError: not on asyncio.
        Exception: ``factory`` or ``connection_made`` raised it; the connection is closed.
    """
    require_asyncio("connect_protocol")
    with dial(uri):
        stream = await connector(uri)
        async with closing_on_error(stream):
            protocol = factory()
            return attach(stream, protocol), protocol


def attach(stream: ByteStream, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Run ``protocol`` on an open stream, which it owns from now on, and return its transport.

    Raises:
        ConnectError: the connection was lost as soon as it opened.
    """
    # By the exact type: a subclass may change what is sent, and a wrapper forwards the attributes of what it wraps.
    if (type(stream) is TransportStream or type(stream) is TlsStream) and not stream.watched:
        try:
            # In a fresh context: the transport keeps it for as long as it reads, with all that the dial has put there.
            return Context().run(stream.hand_over, protocol)
        except (BrokenResourceError, ClosedResourceError) as error:
            raise ConnectError("the connection was lost as soon as it opened") from error
    return StreamTransport(stream, protocol)


def require_asyncio(name: str) -> None:
    """Raise a ``RuntimeError`` that says so, unless this runs on asyncio."""
    if (library := sniffio.current_async_library()) != "asyncio":
        raise RuntimeError(f"{name} needs asyncio, whose protocols and sockets it serves; this is {library}")
