"""The accept loop of a listening socket. Out of file descriptors it waits, and says so once.

asyncio's own servers repeat such an error without end: a traceback for each connection that waits, a hundred thousand
lines in seconds.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import anyio

from ziggurat.layers.events import write_event

__all__ = ["accept_connections"]

PAUSE = 1.0
"""Seconds between two attempts while the process or the system has no descriptors or no memory left."""

BATCH = 16
"""Connections to accept before other tasks run. A refused one keeps its descriptor for a few rounds of the loop."""

LOST_CONNECTION = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH"),
        *("EOPNOTSUPP", "ENETUNREACH"),
    )
    if hasattr(errno, name)
)
"""Errors of one connection rather than of the machine, as listed in accept(2)."""


async def accept_connections(
    listening: socket.socket, name: str, take: Callable[[socket.socket], None], *, pause: float = PAUSE
) -> None:
    """Accept connections until cancelled.

    When no connection can be accepted, it tries again each ``pause`` seconds, and writes ``listener.paused``
    (``listen``, ``error``) once, and ``listener.resumed`` (``listen``, ``elapsed``) when all that waited are accepted.

    Args:
        listening: a listening socket, non-blocking. It stays open.
        name: the name of the socket in the log.
        take: is given each connection's socket, which is non-blocking, and owns it.
        pause: seconds between two attempts.
    """
    paused_at: float | None = None
    while True:
        # The socket is accepted after the wait and not by it: a cancellation could lose one that was just accepted.
        await anyio.wait_readable(listening)
        error = _accept_some(listening, take)
        if error is None or error.errno in LOST_CONNECTION:
            continue
        if isinstance(error, BlockingIOError):  # none waits any more
            if paused_at is not None:
                elapsed = round(anyio.current_time() - paused_at, 3)
                write_event(None, "info", "listener.resumed", listen=name, elapsed=elapsed)
                paused_at = None
            continue
        if paused_at is None:
            paused_at = anyio.current_time()
            reason = error.strerror or str(error)
            write_event(None, "warning", "listener.paused", listen=name, error=reason)
        await anyio.sleep(pause)


def _accept_some(listening: socket.socket, take: Callable[[socket.socket], None]) -> OSError | None:
    """Accept up to `BATCH` connections; return the error that ended it before."""
    try:
        for _ in range(BATCH):
            connection, _ = listening.accept()
            connection.setblocking(False)
            take(connection)
    except OSError as error:
        return error
    return None
