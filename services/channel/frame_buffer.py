"""Inbound bytes to frames; the payload of a DATA frame is passed on as it arrives.

h2 collects a frame until it is whole and copies it three times on the way: into its buffer, out of it, and out of that.
A gRPC message spans frames anyhow, so here each piece of payload that arrives becomes a DATA frame of its own, with a
view of what was read rather than a copy where it is large. Flow control counts the same bytes, and only the last piece
can end the stream. It also means that no more than one read waits here, however large the peer's frames are. Everything
else is left to h2 (4.3 and later, whose buffer of incomplete frames this file has to look into).
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, cast

from h2.exceptions import DenialOfServiceError
from h2.frame_buffer import FrameBuffer as H2FrameBuffer
from hyperframe.frame import DataFrame, Frame

if TYPE_CHECKING:
    from h2._typing import Buffer

__all__ = ["FrameBuffer"]

HEADER = Struct(">HBBBL").unpack_from
"""Length in two parts, type, flags, stream (RFC 9113 4.1)."""
HEADER_SIZE = 9

VIEW_SIZE = 16384
"""Bytes of payload below which a copy costs less than to do without."""

MAX_SETTINGS = 64
"""Settings in one frame; there are seven that mean something (RFC 9113 6.5.2, RFC 8441)."""

MAX_HEADER_BLOCK = 65536
"""Bytes of a header block as it comes over the wire, in as many frames as it takes; once decoded, h2's limit for the
list is the same."""

HEADERS, SETTINGS, PUSH_PROMISE, CONTINUATION = 0x1, 0x4, 0x5, 0x9
"""Types of frames (RFC 9113 6)."""

END_STREAM, PADDED = 0x1, 0x8
"""Flags of a DATA frame (RFC 9113 6.1), whose type is 0."""


class FrameBuffer(H2FrameBuffer):
    """h2's, but for DATA frames without padding.

    Args:
        server: whether the peer is a client and so sends the preface.
    """

    def __init__(self, server: bool = False) -> None:
        super().__init__(server)
        self._ready: deque[Frame] = deque()
        self._missing = 0  # bytes of payload of the DATA frame under way
        self._stream_id = 0
        self._ends_stream = False

    def add_data(self, data: Buffer) -> None:
        """Take what arrived."""
        chunk = data if isinstance(data, bytes) else bytes(data)
        position, size = 0, len(chunk)
        # While h2 holds bytes, what follows them has to queue up behind.
        if not self._data and not self._preamble_len:
            while position < size:
                if not self._missing:
                    if not self._begins(chunk, position):
                        break
                    position += HEADER_SIZE
                step = min(self._missing, size - position)
                if step or not self._missing:
                    self._pass_on(_part(chunk, position, step))
                position += step
        if position < size:
            super().add_data(chunk[position:] if position else chunk)

    def __next__(self) -> Frame:
        if self._ready:
            return self._ready.popleft()
        try:
            return super().__next__()
        except StopIteration:
            # What h2 holds now is not whole. If it is DATA it is taken over, else all that follows would queue up, too.
            if not self._begins(self._data, 0):
                self._judge_length()
                raise
            payload = bytes(memoryview(self._data)[HEADER_SIZE:])
            self._data.clear()
            if not payload:
                raise
            self._pass_on(payload)
            return self._ready.popleft()

    def _begins(self, data: bytes | bytearray, position: int) -> bool:
        """Whether a DATA frame that is in order begins there; if so, its payload is what comes next."""
        if len(data) - position < HEADER_SIZE or self._headers_buffer:
            return False
        high, low, kind, flags, stream = HEADER(data, position)
        length, stream_id = high << 8 | low, stream & 0x7FFFFFFF
        if kind or flags & PADDED or not stream_id or length > self.max_frame_size:
            return False
        self._missing, self._stream_id, self._ends_stream = length, stream_id, bool(flags & END_STREAM)
        return True

    def _judge_length(self) -> None:
        """Refuse a frame that is too large by its header; h2 would first collect it, up to 16 MiB."""
        if len(self._data) >= HEADER_SIZE and not self._preamble_len:
            self._validate_frame_length(int.from_bytes(self._data[:3], "big"))

    def _validate_frame_length(self, length: int) -> None:
        """Refuse the frame that begins here if it is too large for its type, by its header."""
        super()._validate_frame_length(length)
        kind = self._data[3]
        if kind == SETTINGS and length > MAX_SETTINGS * 6:
            raise DenialOfServiceError(f"a SETTINGS frame has more than {MAX_SETTINGS} settings")
        if kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            before = sum(len(frame.data) for frame in self._headers_buffer)
            if before + length > MAX_HEADER_BLOCK:
                raise DenialOfServiceError(f"a header block has more than {MAX_HEADER_BLOCK} bytes")

    def _pass_on(self, payload: bytes | memoryview) -> None:
        self._missing -= len(payload)
        frame = DataFrame(self._stream_id, cast(bytes, payload))  # h2 looks at nothing but its length
        frame.body_len = len(payload)
        if self._ends_stream and not self._missing:
            frame.flags.add("END_STREAM")
        self._ready.append(frame)


def _part(chunk: bytes, start: int, size: int) -> bytes | memoryview:
    if size == len(chunk):
        return chunk
    # A view keeps the whole read in memory for as long as its own bytes wait to be read, so it must not be a small one.
    if size >= VIEW_SIZE and size * 4 >= len(chunk):
        return memoryview(chunk)[start : start + size]
    return chunk[start : start + size]
