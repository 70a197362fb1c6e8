"""Two connected byte streams in memory: bounded, with half-close, and with a record of how they were closed.

Chunk boundaries are kept: one ``send`` is at least one ``receive``. A real socket does not promise that, but it lets a
test see what was written in one piece, and decide how a reply arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream, Event
from anyio import get_cancelled_exc_class as cancelled_class
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.services.validation import check_count

__all__ = ["MemoryStream", "stream_pair"]


class _Pipe:
    """One direction."""

    def __init__(self, max_buffer: int) -> None:
        self.max_buffer = max_buffer
        self.chunks: deque[bytes] = deque()
        self.waiting = 0  # bytes in chunks
        self.ended = False  # the writer sent EOF
        self.abandoned = False  # the reader closed
        self.broken = False
        self.reading = False
        self.writing = False
        self._changed = Event()

    def change(self) -> None:
        self._changed.set()
        self._changed = Event()

    async def changed(self) -> None:
        await self._changed.wait()

    def put(self, data: bytes) -> None:
        self.chunks.append(data)
        self.waiting += len(data)
        self.change()

    def take(self, max_bytes: int) -> bytes:
        head = self.chunks.popleft()
        data, rest = head[:max_bytes], head[max_bytes:]
        if rest:
            self.chunks.appendleft(rest)
        self.waiting -= len(data)
        self.change()
        return data

    def drop(self) -> None:
        self.chunks.clear()
        self.waiting = 0
        self.change()


class MemoryStream(ByteStream):
    """One end of a pair; made by `stream_pair`.

    Attributes:
        closed: whether this end was closed.
        closed_by_force: whether ``aclose`` was cancelled, as `anyio.aclose_forcefully` does.
        ended: whether ``send_eof`` was called.
        attributes: the stream's typed attributes; a test may add to them.
    """

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self.closed = False
        self.closed_by_force = False
        self.ended = False
        self.attributes: dict[Any, Callable[[], Any]] = {}
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def readable(self) -> bool:
        """Whether `receive` would end at once, with data or with an error."""
        pipe = self._incoming
        return bool(pipe.chunks) or pipe.ended or pipe.broken or self.closed

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return the next chunk, or its first ``max_bytes`` bytes; wait if there is none.

        Raises:
            EndOfStream: the other end sent EOF or was closed, and everything was read.
            BrokenResourceError: the connection was reset.
            ClosedResourceError: this end is closed.
            BusyResourceError: another task is receiving.
        """
        check_count("max_bytes", max_bytes, unit="bytes", optional=False)
        pipe = self._incoming
        if pipe.reading:
            raise BusyResourceError("receiving from")
        pipe.reading = True
        try:
            await checkpoint()
            while True:
                if self.closed:
                    raise ClosedResourceError
                if pipe.broken:
                    raise BrokenResourceError
                if pipe.chunks:
                    return pipe.take(max_bytes)
                if pipe.ended:
                    raise EndOfStream
                await pipe.changed()
        finally:
            pipe.reading = False

    async def send(self, item: bytes) -> None:
        """Send all of ``item``; wait while the buffer is full.

        Raises:
            BrokenResourceError: the other end was closed, or the connection was reset.
            ClosedResourceError: this end is closed, or has sent EOF.
            BusyResourceError: another task is sending.
        """
        pipe = self._outgoing
        if pipe.writing:
            raise BusyResourceError("sending to")
        pipe.writing = True
        rest = bytes(item)
        try:
            await checkpoint()
            while True:
                if self.closed or self.ended:
                    raise ClosedResourceError
                if pipe.broken or pipe.abandoned:
                    raise BrokenResourceError
                space = pipe.max_buffer - pipe.waiting
                if rest and space > 0:
                    pipe.put(rest[:space])
                    rest = rest[space:]
                if not rest:
                    return
                await pipe.changed()
        finally:
            pipe.writing = False

    async def send_eof(self) -> None:
        """End this direction; the other stays open. A second call does nothing.

        Raises:
            ClosedResourceError: this end is closed.
        """
        await checkpoint()
        if self.closed:
            raise ClosedResourceError
        self.ended = self._outgoing.ended = True
        self._outgoing.change()

    async def aclose(self) -> None:
        """Close this end: the other reads what was sent, then EOF, and can no longer send."""
        if not self.closed:
            self.closed = True
            self._outgoing.ended = True
            self._outgoing.change()
            self._incoming.abandoned = True
            self._incoming.drop()
        try:
            await checkpoint()
        except cancelled_class():
            self.closed_by_force = True
            raise

    def reset(self) -> None:
        """Break the connection like a TCP reset: unread data is lost, and both ends raise BrokenResourceError."""
        for pipe in (self._incoming, self._outgoing):
            pipe.broken = True
            pipe.drop()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The typed attributes in `attributes`."""
        return self.attributes

    def __repr__(self) -> str:
        return f"MemoryStream({'closed' if self.closed else 'open'}, {self._incoming.waiting} bytes to read)"


def stream_pair(max_buffer: int = 65536) -> tuple[MemoryStream, MemoryStream]:
    """Make two connected streams.

    Args:
        max_buffer: unread bytes allowed in each direction; ``send`` waits beyond that.

    Raises:
        TypeError, ValueError: ``max_buffer`` is not a positive whole number.
    """
    check_count("max_buffer", max_buffer, unit="bytes", optional=False)
    left, right = _Pipe(max_buffer), _Pipe(max_buffer)
    return MemoryStream(left, right), MemoryStream(right, left)
