"""What has arrived on a stream: bytes until somebody reads them, then whole messages of gRPC.

A message is five bytes, a flag and the length, and its body; it has nothing to do with the frames that it comes in.
The length is judged when a reader asks for the message, before the reader waits for its body. What nobody asks for is
bounded by the stream's window, which is given back as messages are taken. A reader that waits for a message larger than
the window gets the window back as the bytes come.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from ziggurat.services.channel.pieces import NOTHING, VIEW, Pieces
from ziggurat.services.errors import copy_error

__all__ = ["PREFIX_SIZE", "Inbox"]

PREFIX_SIZE: Final = 5
_parse_prefix = Struct(">BL").unpack_from

BUSY: Final = "another task is receiving from this stream"


class Inbox(Pieces):
    """The receiving half of a stream of messages.

    Attributes:
        broken: why nothing more will come; ``None`` while something may, and after a good end. Whole messages that came
            before it are still returned.
    """

    __slots__ = ("_given_back", "_reader", "_unjudged", "_wanted", "broken", "discarding")

    def __init__(self) -> None:
        Pieces.__init__(self)  # super() would take as long as half of this
        self.broken: Exception | None = None
        self.discarding = False  # nobody will read what comes
        self._given_back = 0  # of the bytes that are there, those that the peer may send again already
        self._reader: asyncio.Future[None] | None = None  # who waits; done if that task was cancelled
        self._wanted = 0  # bytes that the reader waits for
        self._unjudged = -1  # length up to which an uncompressed message is good, which spares a call

    # -- from the core

    def on_data(self, data: bytes, start: int, end: int) -> None:
        """Keep what came; wake the reader when all it waits for is there."""
        size = end - start
        if self.discarding or self.broken is not None:
            self._give_back(size)
            return
        if self._size or size >= VIEW:
            self._append(data, start, end)
        else:  # as `_append` does
            self._chunk, self._begin, self._end = data[start:end], 0, size
        self._size = total = self._size + size
        if self._reader is not None and self._source is None:
            if total >= self._wanted:
                self._wake_reader()
            else:
                self._tell_reader()

    def on_data_run(self, data: bytes, start: int, length: int, stride: int, count: int) -> int:
        """As `on_data` for several parts; the reader hears of them once."""
        size = length * count
        if self.discarding or self.broken is not None:
            self._give_back(size)
            return count
        self._append_run(data, start, length, stride, count)
        self._size += size
        if self._reader is not None and self._source is None:
            self._tell_reader()
        return count

    def settle(self) -> None:
        """Copy our part of what was read, if it is a small one, and tell the reader of all of it at once."""
        Pieces.settle(self)
        if self._reader is not None:
            self._tell_reader()

    def _tell_reader(self) -> None:
        """Wake who waits, if all is there; else let as many bytes come again as have come."""
        if self._reader is None or self._reader.done():
            return
        if self._size >= self._wanted:
            self._wake_reader()
        else:
            self._give_held_back()

    def _give_held_back(self) -> None:
        held = self._size - self._given_back
        self._given_back = self._size
        self._give_back(held)

    def on_end(self) -> None:
        """The peer has sent everything."""
        self._wake_reader()

    # -- for the reader

    def _next(self) -> bytes | None:
        """Take the next message, inflated, or return ``None`` if it is not there.

        Raises:
            GRPCError: its prefix says that it may not pass, or it cannot be inflated. Nothing behind it can be read
                either.
        """
        if self._size < PREFIX_SIZE:
            self._wanted = PREFIX_SIZE
            return None
        if self._end - self._begin < PREFIX_SIZE:
            self._join()
        flag, length = _parse_prefix(self._chunk, self._begin)
        if (flag or length > self._unjudged) and (error := self._judge(flag, length)):
            self.spoil(error)
            raise copy_error(error)
        size = length + PREFIX_SIZE
        if self._size < size:
            self._wanted = size
            return None
        chunk, begin = self._chunk, self._begin
        if self._end - begin >= size:
            body = chunk[begin + PREFIX_SIZE : begin + size]
            if not isinstance(body, bytes):
                body = bytes(body)
            self._begin = begin + size
        else:
            body = self._take_pieces(size, PREFIX_SIZE)
        self._size -= size
        back = size - self._given_back
        self._given_back = 0 if back > 0 else -back
        if self._begin == self._end:
            if self._more:
                self._advance()
            else:
                self._chunk, self._begin, self._end = NOTHING, 0, 0
        if self._size * 4 < self._pinned:
            self._join()
        if back > 0:
            self._give_back(back)
        return self._inflate(body) if flag else body

    async def _wait(self) -> bool:
        """Wait for `_more_to_come`. Return whether there may be more; else the stream has ended."""
        reader = self._more_to_come()
        if reader is None:
            return False
        await reader
        return True

    def _more_to_come(self) -> asyncio.Future[None] | None:
        """Return what to wait for until that which `_next` has asked for may be there; ``None`` at the stream's end.

        Raises:
            RuntimeError: another task is reading.
            Exception: what broke the stream.
        """
        if self.broken is not None:
            self.discard()  # a part of a message is of no use
            raise copy_error(self.broken)
        if self.remote_ended:
            if self._size:
                self.spoil(_cut_off())
                raise _cut_off()
            return None
        if self._size != self._given_back:
            self._give_held_back()
        return self._new_reader()

    async def _wait_for_end(self) -> None:
        """Wait until the peer has sent everything, and leave it unread.

        Raises:
            RuntimeError: another task is reading.
            Exception: what broke the stream.
        """
        while not self.remote_ended:
            if self.broken is not None:
                raise copy_error(self.broken)
            self._wanted = 0  # no more than the window is kept
            await self._new_reader()

    def _new_reader(self) -> asyncio.Future[None]:
        if self._reader is not None and not self._reader.done():  # done: its task was cancelled
            raise RuntimeError(BUSY)
        reader: asyncio.Future[None] = asyncio.Future()  # of the running loop, without two calls to ask for it
        self._reader = reader
        return reader

    def break_off(self, error: Exception) -> None:
        """Nothing more will come, and ``error`` is why. A complete response stays as it is."""
        if self.broken is None and not self.remote_ended:
            self.broken = error
        self._wake_reader()

    def spoil(self, error: Exception) -> None:
        """What is there is of no use, and neither is what will come."""
        self.broken = error
        self.discard()
        self._refuse(error)

    def discard(self) -> None:
        """Let go of what has arrived, and of what will."""
        self.discarding = True
        if self._size:
            held = self._size - self._given_back
            self._given_back = 0
            self._clear()
            if held > 0:
                self._give_back(held)

    # -- what a subclass with a connection provides

    def _judge(self, flag: int, length: int) -> GRPCError | None:
        """Return what is wrong with a message that has such a prefix."""
        raise NotImplementedError

    def _inflate(self, body: bytes) -> bytes:
        """Return what a message has inside whose flag says that it is compressed."""
        raise NotImplementedError

    def _refuse(self, error: Exception) -> None:
        """What came may not pass: the stream is given up."""
        raise NotImplementedError

    def _give_back(self, size: int) -> None:
        """Let the peer send so many bytes again."""
        raise NotImplementedError

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None  # it waits no more, so nobody has to ask whether it is done
        if reader is not None and not reader.done():
            reader.set_result(None)


def _cut_off() -> GRPCError:
    return GRPCError(Status.INTERNAL, "the peer ended the stream inside a message")
