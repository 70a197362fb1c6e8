"""Two asyncio transports joined back to back: half-close and backpressure pass, and both end together."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import cast

__all__ = ["RelayEnd", "relay_pair", "relay_socket"]


HERE = getattr(socket, "AF_UNIX", None)
"""The family of a socketpair, where the system tells a close from a half-close."""


class RelayEnd(asyncio.Protocol):
    """The protocol of one of two transports; made by `relay_pair`. It writes what it receives to the other one.

    What comes before the other transport is there is kept, and reading pauses.
    """

    def __init__(self) -> None:
        self.other: RelayEnd
        self._transport: asyncio.Transport | None = None
        self._kept = b""
        self._ended = False  # the peer has closed its direction
        self._choked = False  # the transport has paused writing
        self._lost = False

    def give_up(self) -> None:
        """End the other transport: this one will never come."""
        self._lost = True
        if self.other._transport is not None:
            self.other._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.other._lost:
            self._transport.abort()
        elif self.other._transport is None:
            self._transport.pause_reading()
        else:
            self.other._release()

    def data_received(self, data: bytes) -> None:
        if self.other._transport is None:
            self._kept += data
        else:
            self.other._transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.other._transport is not None:
            self.other._end()
        elif self._is_gone():
            return False
        return True  # keep our direction open

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self.other._transport is None or self.other._lost:
            return
        if exc is None:
            self.other._transport.close()  # what was received is still sent
        else:
            self.other._transport.abort()

    def pause_writing(self) -> None:
        self._choked = True
        if self.other._transport is not None:
            self.other._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        if self.other._transport is not None:
            self.other._transport.resume_reading()

    def _release(self) -> None:
        """Pass on what came while there was nobody to take it."""
        assert self._transport is not None
        assert self.other._transport is not None
        if self._kept:
            kept, self._kept = self._kept, b""
            self.other._transport.write(kept)
        if self._ended:
            self.other._end()
        elif not self.other._choked:
            self._transport.resume_reading()

    def _end(self) -> None:
        """End our direction, as the other peer has ended its own; close if nothing can come back."""
        ours, others = self._transport, self.other._transport
        assert ours is not None
        assert others is not None
        if self._ended or self.other._is_gone() or not ours.can_write_eof():
            ours.close()
            others.close()
        elif not ours.is_closing():
            ours.write_eof()

    def _is_gone(self) -> bool:
        """Whether the other end of a socketpair is closed: nobody reads there, so its EOF is no half-close."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None or sock.family is not HERE or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), 0)  # hang-ups are always reported
        return any(events & select.POLLHUP for _, events in poll.poll(0))


def relay_pair() -> tuple[RelayEnd, RelayEnd]:
    """Return two protocols, each for one transport."""
    left, right = RelayEnd(), RelayEnd()
    left.other, right.other = right, left
    return left, right


async def relay_socket(far: socket.socket) -> RelayEnd:
    """Relay for a connected socket, which is closed with the relay, and return the protocol for the other side.

    Raises:
        OSError: the socket is not connected; it is closed.
    """
    left, right = relay_pair()
    try:
        await asyncio.get_running_loop().create_connection(lambda: left, sock=far)
    except BaseException:
        far.close()
        raise
    return right
