"""Connects clients of a listening socket to somewhere else, byte for byte, with threads and plain sockets.

Not the local forwarder (``layers/forward``): its listeners are of the caller's network namespace, and this one also has
to seem dead when what it stands for is.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable

__all__ = ["Relay"]

PIECE = 65536

BACKLOG = 128

TIMEOUT = 10.0
"""Seconds that a connect to the target may last at the end."""

RETRY = 0.2
"""Seconds between tries to reach a target that refused."""


class Relay:
    """A relay.

    Args:
        listener: a bound socket; the relay listens on it, and closes it at the end.
        connect: connects to the target; raises `OSError`.
        mirror: whether to stop listening while the target refuses, so that clients are refused, too.

    Attributes:
        connections: how many clients were connected to the target.
    """

    def __init__(self, listener: socket.socket, connect: Callable[[], socket.socket], *, mirror: bool) -> None:
        self.connections = 0
        self._listener = listener
        self._connect = connect
        self._mirror = mirror
        listener.setblocking(False)  # a client may be gone before it is accepted
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._handling = threading.Lock()
        if not mirror or self._is_alive():
            listener.listen(BACKLOG)
            self._deaf = False
        else:
            self._deaf = True
        self._thread = threading.Thread(target=self._serve, name="leakcheck-relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and cut all connections."""
        self._stopping.set()
        with self._lock:
            left = [self._listener, *self._open]
        for each in left:
            _shut(each, socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        self._listener.close()

    def _is_alive(self) -> bool:
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def settle(self) -> None:
        """Return when every client that has come so far is counted, though the program may have ended meanwhile."""
        while not self._deaf:
            with self._handling:
                if not _has_client(self._listener, 0):
                    return
            self._stopping.wait(0.001)  # so that the other thread gets the lock

    def _serve(self) -> None:
        while not self._stopping.is_set():
            if self._deaf:
                if self._stopping.wait(RETRY) or not self._is_alive():
                    continue
                self._listener.listen(BACKLOG)
                self._deaf = False
            if _has_client(self._listener, None):
                with self._handling:
                    self._handle()

    def _handle(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it was closed, or the client is gone
            return
        try:
            target = self._connect()
        except OSError:
            if self._mirror:
                self._deaf = True
                _shut(self._listener, socket.SHUT_RDWR)  # it stays bound, and refuses
            _reset(client)
            return
        self._join(client, target)

    def _join(self, client: socket.socket, target: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open |= {client, target}
        left = [2]
        for source, sink in ((client, target), (target, client)):
            threading.Thread(target=self._pump, args=(source, sink, left), name="leakcheck-pump", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, left: list[int]) -> None:
        broken = False
        try:
            while piece := source.recv(PIECE):
                sink.sendall(piece)
        except OSError:
            broken = True
        # The end of one direction is not the end of the other; a reset is that of both.
        if broken:
            for each in (source, sink):
                _shut(each, socket.SHUT_RDWR)
        else:
            _shut(sink, socket.SHUT_WR)
        with self._lock:
            left[0] -= 1
            if left[0]:
                return
            self._open -= {source, sink}
        source.close()
        sink.close()


def _has_client(listener: socket.socket, milliseconds: int | None) -> bool:
    poll = select.poll()  # select takes no descriptors from 1024 on
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(milliseconds))


def _shut(each: socket.socket, how: int) -> None:
    try:
        each.shutdown(how)
    except OSError:
        pass


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
