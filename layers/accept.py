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

__all__ = ["Room", "accept_connections"]

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


class Room:
    """How many connections may be open at once, for one accept loop.

    Args:
        total: the limit; ``None`` for no limit.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._taken = 0
        self._freed: anyio.Event | None = None

    @property
    def left(self) -> int:
        """How many more connections may be accepted now, at most `BATCH`."""
        return BATCH if self._total is None else min(BATCH, self._total - self._taken)

    def take(self) -> None:
        """Count a connection that was accepted."""
        self._taken += 1

    def give_back(self) -> None:
        """Count one that has ended."""
        self._taken -= 1
        if self._freed is not None:
            self._freed.set()

    async def wait(self) -> None:
        """Wait until there is room for one."""
        while not self.left:
            self._freed = anyio.Event()
            await self._freed.wait()

    def __str__(self) -> str:
        return f"all {self._total} connections are in use"


async def accept_connections(
    listening: socket.socket,
    name: str,
    take: Callable[[socket.socket], None],
    *,
    pause: float = PAUSE,
    room: Room | None = None,
) -> None:
    """Accept connections until cancelled.

    When no connection can be accepted, it tries again each ``pause`` seconds, and writes ``listener.paused``
    (``listen``, ``error``) once, and ``listener.resumed`` (``listen``, ``elapsed``) when all that waited are accepted.

    Args:
        listening: a listening socket, non-blocking. It stays open.
        name: the name of the socket in the log.
        take: is given each connection's socket, which is non-blocking, and owns it.
        pause: seconds between two attempts.
        room: how many may be open at once; others wait in the kernel's queue, which is logged as well. ``take`` and
            the end of a connection must change it. ``None`` for no limit.
    """
    room = room or Room(None)
    paused_at: float | None = None
    while True:
        # The socket is accepted after the wait and not by it: a cancellation could lose one that was just accepted.
        await anyio.wait_readable(listening)
        if not room.left:
            if paused_at is None:
                paused_at = _paused(name, str(room))
            await room.wait()
        error = _accept_some(listening, take, room)
        if error is None or error.errno in LOST_CONNECTION:
            continue
        if isinstance(error, BlockingIOError):  # none waits any more
            if paused_at is not None:
                elapsed = round(anyio.current_time() - paused_at, 3)
                write_event(None, "info", "listener.resumed", listen=name, elapsed=elapsed)
                paused_at = None
            continue
        if paused_at is None:
            paused_at = _paused(name, error.strerror or str(error))
        await anyio.sleep(pause)


def _paused(name: str, reason: str) -> float:
    """Write the event; return the time."""
    write_event(None, "warning", "listener.paused", listen=name, error=reason)
    return anyio.current_time()


def _accept_some(listening: socket.socket, take: Callable[[socket.socket], None], room: Room) -> OSError | None:
    """Accept as many connections as there is room for; return the error that ended it before."""
    try:
        for _ in range(room.left):
            connection, _ = listening.accept()
            connection.setblocking(False)
            take(connection)
    except OSError as error:
        return error
    return None
