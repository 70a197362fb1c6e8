"""A socket that a listener has accepted, as one of our streams."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import sniffio
from anyio.abc import ByteStream, SocketAttribute, SocketStream, UNIXSocketStream

from ziggurat.services.stream import WrappedStream
from ziggurat.services.transport_stream import StreamProtocol, TransportStream

__all__ = ["accepted_stream", "client_name"]


async def accepted_stream(accepted: socket.socket) -> ByteStream:
    """Return a stream on a connected, non-blocking socket; it is closed if that fails.

    It is a `TransportStream` on asyncio, and a `WrappedStream` over anyio's socket stream on trio.

    Raises:
        OSError: the connection was lost.
    """
    try:
        if accepted.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does it only if the socket knows that it is TCP's, which an accepted one may not.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sniffio.current_async_library() == "asyncio":
            loop = asyncio.get_running_loop()
            return TransportStream(*await loop.connect_accepted_socket(StreamProtocol, accepted))
        if accepted.family in (socket.AF_INET, socket.AF_INET6):
            return WrappedStream(await SocketStream.from_socket(accepted))
        return WrappedStream(await UNIXSocketStream.from_socket(accepted))
    except BaseException as error:
        accepted.close()
        if isinstance(error, ValueError):  # anyio: it is not connected any more
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error
        raise


def client_name(stream: ByteStream) -> str:
    """Return the client's address and port; ``unix`` if it has none, ``unknown`` if it has already left."""
    try:
        address = stream.extra(SocketAttribute.remote_address, None)
    except OSError:
        address = None
    if not isinstance(address, tuple):
        return "unix" if isinstance(address, str) else "unknown"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
