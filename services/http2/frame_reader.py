"""Received bytes to frames (RFC 9113 4.1 and 4.2). The payload of DATA is passed on as it arrives.

A message of gRPC spans frames anyhow, so there is no reason to collect a frame of DATA before its bytes are used. All
other frames are collected; whether one may be that large is judged by its header, before the rest of it has come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_SIZE,
    FRAME_NAMES,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    UINT31,
    WINDOW_UPDATE,
    parse_frame_header,
)
from ziggurat.services.http2.settings import MAX_SETTINGS
from ziggurat.services.http2.stream import Stream

__all__ = ["FrameReader"]

SIZES: Final = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
"""Types of frames whose payload has one size only. RFC 9113 6.3 lets a PRIORITY of another size live on as an error of
its stream, which 5.4.1 lets us treat as one of the connection."""

LARGE: Final = 4096
"""Bytes of a frame of DATA that is mostly one of many: a small one is, if another one of its stream came before."""


class FrameReader(ABC):
    """Cuts what a connection receives into frames.

    Args:
        max_frame_size: of a payload, in bytes.
        max_block_size: of a header block in all its frames, in bytes.
        expect_preface: whether the peer is a client, whose first bytes are the preface (RFC 9113 3.4).

    Attributes:
        failed: whether nothing more is read.
    """

    def __init__(self, max_frame_size: int, max_block_size: int, *, expect_preface: bool) -> None:
        self.failed = False
        self.max_frame_size = max_frame_size
        self._max_block_size = max_block_size
        self._max_section_size = min(max_frame_size, max_block_size)  # of one in a single frame
        self._tail: bytearray = bytearray()  # a frame that is not whole
        self._wanted = FRAME_HEADER_SIZE  # bytes of it that are needed to go on
        self._preface = PREFACE if expect_preface else b""
        self._settled = False  # whether the peer's first frame, SETTINGS, has come
        self._block: bytearray = bytearray()
        self._block_stream = 0  # whose header block is not whole; 0 if none
        self._rest: int = 0  # bytes of a DATA frame that are still to come
        self._rest_stream: Stream | None = None
        self._rest_ends = False

    def _split(self, data: bytes) -> None:
        """Take what arrived."""
        size, position = len(data), 0
        if self._rest:
            position = self._take_rest(data)
        elif self._preface or self._tail:
            data, position = self._behind_tail(data)
            size = len(data)
            if position == size:
                return
        self._wanted = FRAME_HEADER_SIZE
        previous = 0  # whose DATA came before
        while size - position >= FRAME_HEADER_SIZE and not self.failed:
            high, low, kind, flags, stream_id = parse_frame_header(data, position)
            length = high << 8 | low
            stream_id &= UINT31
            start = position + FRAME_HEADER_SIZE
            position = start + length
            plain = self._settled and not self._block_stream
            if kind == HEADERS and plain and flags | END_STREAM == END_HEADERS | END_STREAM:
                if length <= self._max_section_size and position <= size:
                    self._section(stream_id, data[start:position], flags & END_STREAM != 0, None)
                    continue
            elif kind == DATA and plain and not flags & PADDED:
                if length > self.max_frame_size:
                    raise _too_large(kind, length)
                ends = flags & END_STREAM != 0
                if (length >= LARGE or (stream_id == previous and length)) and not ends and position <= size:
                    position = self._run(stream_id, data, start, length)
                    continue
                previous = stream_id
                stream = self._data_begins(stream_id, length, ends)
                if position > size:
                    self._rest, self._rest_stream, self._rest_ends = position - size, stream, ends
                    self._pass_on(stream, data, start, size, False)
                    return
                if ends or not length or stream is None:
                    self._pass_on(stream, data, start, position, ends)
                else:  # as `_pass_on` does, for a call less in each frame
                    stream.on_data(data, start, position)
                continue
            self._judge(kind, flags, stream_id, length)
            if position > size:
                position = start - FRAME_HEADER_SIZE
                self._wanted = FRAME_HEADER_SIZE + length
                break
            self._frame(kind, flags, stream_id, data[start:position])
        if position < size:
            self._tail += data[position:] if position else data

    def _run(self, stream_id: int, data: bytes, start: int, length: int) -> int:
        """Pass on a frame of DATA, and all that follow with the same header, judged as one. Return where they end."""
        header, stride = data[start - FRAME_HEADER_SIZE : start], length + FRAME_HEADER_SIZE
        end, last = start + length, len(data) - stride
        while end <= last and data.startswith(header, end):
            end += stride
        count = (end - start) // stride + 1
        stream = self._data_begins(stream_id, length * count, False)
        taken = 0 if stream is None else stream.on_data_run(data, start, length, stride, count)
        if taken < count:
            self._pass_on(None, data, 0, length * (count - taken), False)
        return end

    def _behind_tail(self, data: bytes) -> tuple[bytes, int]:
        """Return the rest of what came before and ``data``, and where a frame begins in it; nothing if too little."""
        self._tail += data
        if len(self._tail) < self._wanted and not self._preface:
            return b"", 0
        data, self._tail = bytes(self._tail), bytearray()
        if not self._preface:
            return data, 0
        start = self._take_preface(data)
        return (data, start) if start else (b"", 0)

    def _take_rest(self, data: bytes) -> int:
        """Pass on what comes of a DATA frame that was not whole; return how much that is."""
        size = min(self._rest, len(data))
        self._rest -= size
        stream = self._rest_stream
        if not self._rest:
            self._rest_stream = None
        self._pass_on(stream, data, 0, size, not self._rest and self._rest_ends)
        return size

    def _take_preface(self, data: bytes) -> int:
        """Return how long the preface is; 0 if it is not whole."""
        preface = self._preface
        if not data.startswith(preface[: len(data)]):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "the client's preface is wrong: is this HTTP/2?")
        if len(data) < len(preface):
            self._tail += data
            return 0
        self._preface = b""
        return len(preface)

    def _judge(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Refuse a frame by its header, if it is wrong at this place or has the wrong size."""
        if not self._settled:
            if kind != SETTINGS or flags & 1 or stream_id:
                raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
        if length > self.max_frame_size:
            raise _too_large(kind, length)
        if self._block_stream and (kind != CONTINUATION or stream_id != self._block_stream):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "another frame interrupts a header block")
        if kind in SIZES:
            if length != SIZES[kind]:
                raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"{FRAME_NAMES[kind]} of {length} bytes")
        elif kind == SETTINGS:
            if length % 6 or (flags & 1 and length):
                raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {length} bytes")
            if length > MAX_SETTINGS * 6:
                raise RemoteProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"more than {MAX_SETTINGS} settings at once")
        elif kind == GOAWAY and length < 8:
            raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {length} bytes")
        elif kind in (HEADERS, CONTINUATION) and len(self._block) + length > self._max_block_size:
            raise RemoteProtocolError(
                ErrorCode.ENHANCE_YOUR_CALM, f"a header block of more than {self._max_block_size} bytes"
            )
        elif kind == PUSH_PROMISE:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which is switched off")

    @abstractmethod
    def _data_begins(self, stream_id: int, length: int, ends: bool) -> Stream | None:
        """The header of a DATA frame has come. Return whom its payload is for; ``None`` to throw it away."""

    @abstractmethod
    def _pass_on(self, stream: Stream | None, data: bytes, start: int, end: int, ends: bool) -> None:
        """A part of a payload has come; ``ends`` with the last part of the last frame of a stream."""

    @abstractmethod
    def _section(self, stream_id: int, block: bytes, ends: bool, fault: str | None) -> None:
        """A header section has come, whole.

        Args:
            stream_id: of its stream; not 0 if there is a ``fault``.
            block: the section, as HPACK has it.
            ends: whether its frame ends the stream.
            fault: what is wrong with its frame; ``None`` for a good one.
        """

    @abstractmethod
    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """A frame other than plain DATA and plain HEADERS has come, whole."""


def _too_large(kind: int, length: int) -> RemoteProtocolError:
    return RemoteProtocolError(
        ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes (type {kind}) is beyond SETTINGS_MAX_FRAME_SIZE"
    )
