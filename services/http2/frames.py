"""Frames as bytes (RFC 9113 4.1 and 6): their types, flags and header, and those that have a fixed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_HEADER_SIZE",
    "FRAME_NAMES",
    "GOAWAY",
    "HEADERS",
    "MAX_WINDOW",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "UINT31",
    "UINT32",
    "WINDOW_UPDATE",
    "frame",
    "frame_header",
    "goaway_frame",
    "headers_frames",
    "pack_frame_header",
    "parse_frame_header",
    "ping_frame",
    "rst_stream_frame",
    "settings_frame",
    "window_update_frame",
]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (RFC 9113 3.4)."""

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

FRAME_NAMES: Final = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"),
    *("PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
)
"""By type."""

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

FRAME_HEADER_SIZE: Final = 9

_HEADER = Struct(">HBBBL")
parse_frame_header: Final[Callable[[bytes, int], tuple[int, int, int, int, int]]] = _HEADER.unpack_from
"""``(data, offset)`` to the length in two parts, type, flags, and stream with its reserved bit."""
pack_frame_header = _HEADER.pack
"""The five parts of `parse_frame_header` to nine bytes; `frame_header` is the same with a length in one part."""
_SETTING = Struct(">HL")

UINT32 = Struct(">L")
UINT31: Final = 0x7FFFFFFF
"""The largest stream number, and the mask of the reserved bit beside it."""

MAX_WINDOW: Final = 0x7FFFFFFF
"""The largest flow-control window (RFC 9113 6.9.1)."""


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """Return the nine bytes before a payload of ``length`` bytes."""
    return pack_frame_header(length >> 8, length & 0xFF, kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return frame_header(len(payload), kind, flags, stream_id) + payload


def headers_frames(stream_id: int, block: bytes, end_stream: bool, max_frame_size: int) -> list[bytes]:
    """Return a header block as one HEADERS frame and the CONTINUATION frames that it needs (RFC 9113 4.3, 6.10)."""
    size = len(block)
    ending = END_STREAM if end_stream else 0
    if size <= max_frame_size:
        return [frame_header(size, HEADERS, END_HEADERS | ending, stream_id), block]
    frames = [frame(HEADERS, ending, stream_id, block[:max_frame_size])]
    for position in range(max_frame_size, size, max_frame_size):
        flags = END_HEADERS if position + max_frame_size >= size else 0
        frames.append(frame(CONTINUATION, flags, stream_id, block[position : position + max_frame_size]))
    return frames


def rst_stream_frame(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM (RFC 9113 6.4)."""
    return frame(RST_STREAM, 0, stream_id, UINT32.pack(code))


def settings_frame(settings: Sequence[tuple[int, int]] = (), *, ack: bool = False) -> bytes:
    """Return a SETTINGS (RFC 9113 6.5)."""
    return frame(SETTINGS, ACK if ack else 0, 0, b"".join(_SETTING.pack(*setting) for setting in settings))


def ping_frame(data: bytes, *, ack: bool = False) -> bytes:
    """Return a PING with its eight bytes (RFC 9113 6.7)."""
    return frame(PING, ACK if ack else 0, 0, data)


def goaway_frame(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY (RFC 9113 6.8)."""
    return frame(GOAWAY, 0, 0, UINT32.pack(last_stream_id) + UINT32.pack(code) + debug)


def window_update_frame(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE (RFC 9113 6.9); ``stream_id`` 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))
