"""The bytes of a stream that nobody has read yet, as the pieces that they came in.

A large message comes in dozens of frames, several of them in each read from the network. Each piece is a view of what
was read, so a message is copied once, when it is put together.
"""

from __future__ import annotations

from typing import Final

from ziggurat.services.http2 import Stream

__all__ = ["Pieces"]

SMALL: Final = 256
"""Bytes below which a piece is put to those before it: of its own it would take more memory than it has bytes, and a
peer may send a message of 32 MiB in frames of two bytes."""

COLLECTED: Final = 16_384
"""Bytes that are collected so in one piece."""

VIEW: Final = 4096
"""Bytes from which on a view of what was read is kept rather than a copy."""

NOTHING: Final = b""


class Pieces(Stream):
    """A stream that keeps what arrives."""

    __slots__ = ("_begin", "_borrowed", "_chunk", "_end", "_more", "_pinned", "_size", "_source")

    def __init__(self) -> None:
        Stream.__init__(self)  # super() would take as long as half of this
        self._chunk: bytes | bytearray | memoryview = NOTHING  # unread from _begin to _end
        self._begin = self._end = 0
        self._more: list[bytes | bytearray | memoryview] = []  # behind it
        self._size = 0  # bytes in all of them
        self._source: bytes | None = None  # what is being taken apart, while we have views of it
        self._borrowed = 0  # bytes in these views, those in _chunk left out
        self._pinned = 0  # bytes of the largest read that a view may keep

    def _append(self, data: bytes, start: int, end: int) -> None:
        """Keep ``data[start:end]`` behind the rest, but for counting it."""
        size = end - start
        if size >= VIEW:
            self._borrow(data)
            if self._size:
                self._borrowed += size
                self._more.append(memoryview(data)[start:end])
            else:
                self._chunk, self._begin, self._end = data, start, end
        elif not self._size:
            self._chunk, self._begin, self._end = data[start:end], 0, size
        elif size >= SMALL:
            self._more.append(data[start:end])
        else:
            more = self._more
            last = more[-1] if more else None
            if not isinstance(last, bytearray) or len(last) >= COLLECTED:
                last = bytearray()
                more.append(last)
            last += memoryview(data)[start:end]

    def _append_run(self, data: bytes, start: int, length: int, stride: int, count: int) -> None:
        """Keep ``count`` pieces of ``length`` bytes, each ``stride`` bytes behind the one before, but for counting."""
        if length < VIEW:
            for begin in range(start, start + count * stride, stride):
                self._append(data, begin, begin + length)
                self._size += length
            self._size -= count * length
            return
        self._borrow(data)
        stop = start + count * stride
        if not self._size:
            self._chunk, self._begin, self._end = data, start, start + length
            start += stride
            count -= 1
        self._borrowed += count * length
        view = memoryview(data)
        self._more += [view[begin : begin + length] for begin in range(start, stop, stride)]

    def _borrow(self, data: bytes) -> None:
        if self._source is not data:
            self._source, self._borrowed = data, 0
            self._pinned = max(self._pinned, len(data))
            self._settle_later()

    def settle(self) -> None:
        """What was read has been taken apart: copy our part of it, if it is a small one.

        A view keeps all that was read. A peer may put a little for each of a thousand streams into each read, so
        without this they would keep far more memory than the bytes that are counted.
        """
        read, borrowed = self._source, self._borrowed
        self._source, self._borrowed = None, 0
        if read is None:
            return
        if first := self._chunk is read:
            borrowed += self._end - self._begin
        if borrowed * 4 >= len(read):
            return
        if first:
            self._chunk, self._begin, self._end = read[self._begin : self._end], 0, self._end - self._begin
        more = self._more
        for index in range(len(more) - 1, -1, -1):
            piece = more[index]
            if isinstance(piece, memoryview):
                if piece.obj is not read:
                    break
                more[index] = bytes(piece)

    def _settle_later(self) -> None:
        """Have `settle` called when the bytes that are being read have been taken apart."""
        raise NotImplementedError

    def _clear(self) -> None:
        self._chunk, self._begin, self._end, self._size = NOTHING, 0, 0, 0
        self._more = []

    def _join(self) -> None:
        """Put all into one piece: a prefix is cut in two, or little is left of a large read."""
        self._pinned = 0
        self._chunk = b"".join((memoryview(self._chunk)[self._begin : self._end], *self._more))
        self._begin, self._end = 0, len(self._chunk)
        self._more = []

    def _take_pieces(self, size: int, skip: int) -> bytes:
        """Remove ``size`` bytes that lie in several pieces. Return them but for the first ``skip``."""
        more = self._more
        parts: list[bytes | bytearray | memoryview] = [memoryview(self._chunk)[self._begin + skip : self._end]]
        # The edge is looked for from the nearer end: behind a large message little else has come.
        if size * 2 > self._size:
            count, over = len(more), self._size - size
            while count and over >= len(more[count - 1]):
                count -= 1
                over -= len(more[count])
            missing = len(more[count - 1]) - over if over else 0
            count -= 1 if over else 0
        else:
            count, missing = 0, size - (self._end - self._begin)
            while missing and missing >= len(more[count]):
                missing -= len(more[count])
                count += 1
        parts += more[:count]
        if missing:
            rest = more[count]
            parts.append(memoryview(rest)[:missing])
            self._chunk, self._begin, self._end = rest, missing, len(rest)
            count += 1
        else:
            self._chunk, self._begin, self._end = NOTHING, 0, 0
        del more[:count]
        return b"".join(parts)

    def _advance(self) -> None:
        """The first piece is read: go on with the next."""
        more = self._more
        count, size = 1, len(more[0])
        while count < len(more) and size < COLLECTED:
            size += len(more[count])
            count += 1
        # Small ones together: to take a list apart from its front, one by one, is slow.
        self._chunk = more[0] if count == 1 else b"".join(more[:count])
        self._begin, self._end = 0, size
        del more[:count]
