"""What has arrived on one stream: whole messages, judged as soon as their length prefix is there.

grpclib looks at a message when the caller reads it; by then the peer may have sent 4 GiB of it. Here the five bytes in
front of each message are read on arrival, and a message that may not pass is not kept. Messages that came before it
stay readable. Flow control is given back as the reader takes the bytes, so a slow reader slows down the peer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from ziggurat.services.channel.compression import too_large
from ziggurat.services.errors import copy_error

__all__ = ["MessageBuffer"]

PREFIX = 5  # the compressed flag, and four bytes of length

SMALL = 256
"""Bytes below which a piece is put to those before it: of its own it would take more memory than it has bytes, and a
peer may send a message of 32 MiB in frames of two bytes."""

COLLECTED = 16384
"""Bytes that are collected so in one piece."""


class MessageBuffer:
    """Takes the place of grpclib's ``Buffer`` in a stream.

    Args:
        ack: gives flow-controlled bytes back to the peer.
        limit: the largest message in bytes, as it comes over the wire; ``None`` means any.
        initial_limit: the same for messages that are read before `lift_limit` is called; ``None`` means ``limit``.
        judge: called with flag and length of a message that is compressed or too long; returns what is wrong with it.
        refuse: called with that, once; from then on everything that arrives is dropped.
    """

    def __init__(
        self,
        ack: Callable[[int], None],
        limit: int | None,
        judge: Callable[[int, int], GRPCError | None],
        refuse: Callable[[GRPCError], None],
        initial_limit: int | None = None,
    ) -> None:
        self._ack = ack
        self._limit = 0xFFFFFFFF if limit is None else limit
        self.limit = limit if initial_limit is None else min(initial_limit, self._limit)
        self._lifted = limit
        self._judge = judge
        self._refuse = refuse
        self._chunks: deque[bytes | bytearray] = deque()
        self._acks: deque[int] = deque()  # what each chunk costs the peer's window; 0 when given back
        self._offset = 0  # of the first chunk
        self._size = 0
        self._prefix = b""  # of the message that is arriving, as far as it is there
        self._missing = 0  # bytes of that message's body
        self._heads: deque[tuple[int, int]] = deque()  # flag and length of the messages in _chunks
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False
        self.error: Exception | None = None

    def add(self, data: bytes, ack_size: int) -> None:
        """Take the payload of one DATA frame, which cost the peer ``ack_size`` bytes of its window."""
        if self.error is not None:
            self._ack(ack_size)
            return
        good = self._scan(data)
        if good < len(data):
            data = data[:good]
        # When the reader waits for more than this, the peer may send on at once, and the reader need not be woken.
        reading_on = self._wanted > self._size + len(data) and self.error is None
        if reading_on or not data:
            self._ack(ack_size)
            ack_size = 0
        if data:
            self._keep(data, ack_size)
        if not reading_on:
            self._wake()

    def eof(self) -> None:
        """The peer has sent everything."""
        self.ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Nothing more will come. Whole messages stay readable, then ``error`` is raised."""
        if self.error is None:
            self.error = error
        if not self._heads or (len(self._heads) == 1 and self._missing):
            self.discard()
        self._wake()

    def discard(self) -> None:
        """Let go of what has arrived: nobody will read it."""
        if self.error is None:
            self.error = StreamTerminatedError("what arrives on this stream is not read any more")
        self._heads.clear()
        self._chunks.clear()
        self._acks = deque([sum(self._acks)])
        self._size = self._offset = 0

    def spoil(self, error: Exception) -> None:
        """A message that was read turned out bad, and so is everything behind it."""
        self.error = error
        self._heads.clear()

    def unacked_size(self) -> int:
        """Return, once, how much of the peer's window is held by what was never read."""
        size = sum(self._acks)
        self._acks = deque([0] * len(self._acks))
        return size

    def lift_limit(self) -> None:
        """Let messages have the full size, from the next one that is read on."""
        self.limit = self._lifted

    async def message(self) -> tuple[int, bytes] | None:
        """Return the next message with its flag, or ``None`` at the end. A cancelled wait takes nothing away."""
        while not self._heads:
            if self.error is not None:
                raise copy_error(self.error)
            if self.ended:
                if self._prefix:
                    raise self._cut_off()
                return None
            await self._wait(PREFIX)
        flag, length = self._heads[0]
        if self.limit is not None and length > self.limit:  # judged late: it may be lifted meanwhile
            error = too_large(length, self.limit)
            self.spoil(error)
            self._refuse(error)
            raise copy_error(error)
        while self._size < PREFIX + length:
            if self.error is not None:
                self.discard()  # the rest will not come
                raise copy_error(self.error)
            if self.ended:
                raise self._cut_off()
            await self._wait(PREFIX + length)
        self._heads.popleft()
        self._take(PREFIX)
        return flag, self._take(length)

    def _keep(self, data: bytes, ack_size: int) -> None:
        chunks = self._chunks
        self._size += len(data)
        if chunks and len(data) < SMALL and len(last := chunks[-1]) < COLLECTED:
            if not isinstance(last, bytearray):
                chunks[-1] = last = bytearray(last)
            last += data
            self._acks[-1] += ack_size
            return
        chunks.append(data)
        self._acks.append(ack_size)

    def _scan(self, data: bytes) -> int:
        """Walk over the messages in ``data``; return how much of it is to be kept."""
        position, end = 0, len(data)
        while position < end:
            if self._missing:
                step = min(self._missing, end - position)
                self._missing -= step
                position += step
                continue
            start = position
            if not self._prefix and end - position >= PREFIX:
                prefix = data[position : position + PREFIX]
                position += PREFIX
            else:
                step = min(PREFIX - len(self._prefix), end - position)
                self._prefix = prefix = self._prefix + data[position : position + step]
                position += step
                if len(prefix) < PREFIX:
                    break
                self._prefix = b""
            flag, length = prefix[0], int.from_bytes(prefix[1:], "big")
            if (flag or length > self._limit) and (error := self._judge(flag, length)) is not None:
                self.error = error
                self._refuse(error)
                return start
            self._heads.append((flag, length))
            self._missing = length
        return end

    def _take(self, size: int) -> bytes:
        """Remove ``size`` bytes, which are there, and give back the window of each chunk that is touched."""
        chunks, acks, offset = self._chunks, self._acks, self._offset
        parts: list[memoryview] = []
        missing, freed = size, 0
        whole: bytes | bytearray = b""
        while missing:
            chunk = chunks[0]
            freed, acks[0] = freed + acks[0], 0
            left = len(chunk) - offset
            if left > missing:
                parts.append(memoryview(chunk)[offset : offset + missing])
                offset += missing
                break
            whole = chunk
            parts.append(memoryview(chunk)[offset:] if offset else memoryview(chunk))
            missing -= left
            offset = 0
            chunks.popleft()
            acks.popleft()
        self._offset = offset
        self._size -= size
        if freed:
            self._ack(freed)
        return bytes(whole) if len(parts) == 1 and len(whole) == size else b"".join(parts)

    async def _wait(self, size: int) -> None:
        if self._waiter is not None:
            raise RuntimeError("another task is receiving from this stream")
        if held := self.unacked_size():
            self._ack(held)
        self._wanted = size
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._wanted = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @staticmethod
    def _cut_off() -> GRPCError:
        return GRPCError(Status.INTERNAL, "the peer ended the stream inside a message")
