"""Close a connection so that its peer can tell it from an orderly end.

A relay passes an end on as an end. Whatever else stops it, a broken connection, a limit, or the end of the forwarder,
must not look like one: a client without a length in its protocol would take half a reply for a whole one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

import anyio
from anyio import BrokenResourceError, BusyResourceError, CancelScope, ClosedResourceError
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.services.transport_stream import TransportStream

__all__ = ["abort", "reset"]

NO_LINGER = struct.pack("ii", 1, 0)
"""``SO_LINGER`` on, with zero seconds: closing the socket then resets the connection (RFC 9293 3.10.4, ABORT)."""


async def reset(stream: ByteStream) -> None:
    """Close a stream with a TCP reset, or by force where there is no socket of ours. Never raises, and never waits.

    Nothing else may be using the stream.
    """
    with CancelScope(shield=True):
        if type(stream) is TransportStream:
            # Its own aclose() ends our direction first, which the peer would see.
            try:
                abort(stream.hand_over(_Unread(stream)))
            except (BrokenResourceError, BusyResourceError, ClosedResourceError):
                pass  # lost or closed
        else:
            _do_not_linger(stream.extra(SocketAttribute.raw_socket, None))
        try:
            await anyio.aclose_forcefully(stream)
        except Exception:
            pass  # nothing more can be done


def abort(transport: asyncio.Transport) -> None:
    """Abort a transport with a TCP reset where it has a socket."""
    _do_not_linger(transport.get_extra_info("socket"))
    transport.abort()


def _do_not_linger(raw: object) -> None:
    if raw is not None:
        try:
            cast(socket.socket, raw).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        except OSError:
            pass  # closed


class _Unread(asyncio.Protocol):
    """Drops what comes until the transport is gone."""

    def __init__(self, stream: TransportStream) -> None:
        self._stream = stream

    def eof_received(self) -> bool:
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.report_close()
