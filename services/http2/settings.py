"""Settings of both ends (RFC 9113 6.5): what we announce, and what the peer has announced."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.frames import MAX_WINDOW

__all__ = [
    "DEFAULT_FRAME_SIZE",
    "DEFAULT_TABLE_SIZE",
    "DEFAULT_WINDOW",
    "ENABLE_PUSH",
    "HEADER_TABLE_SIZE",
    "INITIAL_WINDOW_SIZE",
    "MAX_CONCURRENT_STREAMS",
    "MAX_FRAME_SIZE",
    "MAX_HEADER_LIST_SIZE",
    "MAX_SETTINGS",
    "LocalSettings",
    "parse_settings",
]

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_TABLE_SIZE: Final = 4096
DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_SIZE: Final = 16_384
LARGEST_FRAME_SIZE: Final = (1 << 24) - 1

MAX_SETTINGS: Final = 64
"""Settings taken in one frame. There are seven that mean something (RFC 9113 6.5.2, RFC 8441)."""

_SETTING = Struct(">HL")


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What we announce. It holds from the first byte on: none of it is less than what a peer may assume before.

    Attributes:
        stream_window: bytes that the peer may send ahead on each stream.
        connection_window: bytes that the peer may send ahead on all streams together; at least 65,535.
        max_frame_size: bytes of payload in a received frame, 16,384 to 16,777,215.
        max_header_list_size: size of a received list of headers as in RFC 9113 10.5.1: names, values, and 32 for each.
        max_concurrent_streams: requests that a client may have open here; ``None`` announces none, for a client's role.
        max_unread: bytes received that nobody has read, beyond which the connection's window is given back only on
            reading, so that the peer has to stop.
    """

    stream_window: int = DEFAULT_WINDOW
    connection_window: int = DEFAULT_WINDOW
    max_frame_size: int = DEFAULT_FRAME_SIZE
    max_header_list_size: int = 65_536
    max_concurrent_streams: int | None = None
    max_unread: int = 64 * 1024 * 1024

    def announced(self, *, client: bool) -> list[tuple[int, int]]:
        """Return what the SETTINGS frame says, and nothing that is the default anyway (RFC 9113 6.5.2)."""
        settings = [
            (INITIAL_WINDOW_SIZE, self.stream_window),
            (MAX_FRAME_SIZE, self.max_frame_size),
            (MAX_HEADER_LIST_SIZE, self.max_header_list_size),
        ]
        if client:
            settings.insert(0, (ENABLE_PUSH, 0))
        if self.max_concurrent_streams is not None:
            settings.append((MAX_CONCURRENT_STREAMS, self.max_concurrent_streams))
        return settings


def parse_settings(payload: bytes, *, from_server: bool) -> list[tuple[int, int]]:
    """Return the settings in a frame in their order, unknown ones included, which are to be ignored.

    Raises:
        RemoteProtocolError: a value is out of range (RFC 9113 6.5.2).
    """
    settings = list(_SETTING.iter_unpack(payload))
    for code, value in settings:
        if code == ENABLE_PUSH and (value > 1 or (value and from_server)):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH is {value}")
        if code == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise RemoteProtocolError(ErrorCode.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE is {value}")
        if code == MAX_FRAME_SIZE and not DEFAULT_FRAME_SIZE <= value <= LARGEST_FRAME_SIZE:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE is {value}")
    return settings
