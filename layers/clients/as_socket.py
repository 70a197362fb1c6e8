"""A socket for a dialled stream, for clients that take no protocol and no stream, but a connected socket.

It is the connection's own socket if that loses nothing. Otherwise it is one end of a socketpair, and the event loop
relays between the other end and the stream: for TLS and foreign streams, for bytes received behind a proxy's reply,
and for a stream whose end a layer waits for.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextvars import Context

from anyio.abc import ByteStream

from ziggurat.layers.clients.attach import attach, require_asyncio
from ziggurat.layers.clients.relay import relay_socket
from ziggurat.services.stream import closing_on_error
from ziggurat.services.transport_stream import TransportStream

__all__ = ["as_socket"]


async def as_socket(stream: ByteStream) -> socket.socket:
    """Return a connected, non-blocking socket that carries the bytes of ``stream``.

    The caller owns the socket, and closing it closes the connection. The stream must not be used afterwards. A
    half-close (``shutdown(SHUT_WR)``) passes, except into TLS, where it ends both directions. Blocking use in another
    thread (``setblocking(True)``) works; a relay stands still while the event loop does, and ends with it.

    ``getpeername()`` of the connection's own socket is the address that this machine has dialled, so a proxy's; that of
    a socketpair is empty.

    Args:
        stream: an open stream; it is closed on an error.

    Raises:
        ConnectError: the connection was lost as soon as it opened.
        BusyResourceError: a task is receiving or sending.
        RuntimeError: not on asyncio.
        OSError: no more file descriptors.
    """
    async with closing_on_error(stream):
        require_asyncio("as_socket")
        # On Windows a read may be under way in the system, and would take bytes that the new owner waits for.
        if type(stream) is TransportStream and not stream.watched and not stream.readable and sys.platform != "win32":
            return _detach(stream)
        near, far = socket.socketpair()
        near.setblocking(False)
        try:
            end = await relay_socket(far)
            try:
                attach(stream, end)
            except BaseException:
                end.give_up()
                raise
        except BaseException:
            near.close()
            raise
        return near


def _detach(stream: TransportStream) -> socket.socket:
    # Nothing has been read since the check: reading is the event loop's, which gets no turn in between.
    transport = Context().run(stream.hand_over, asyncio.Protocol())
    try:
        raw = transport.get_extra_info("socket")
        own = socket.fromfd(raw.fileno(), raw.family, raw.type, raw.proto)
    finally:
        transport.abort()  # closes its own file descriptor; without a shutdown, the connection lives on in ours
    own.setblocking(False)
    return own
