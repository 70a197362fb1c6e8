"""Error codes (RFC 9113 7), and the two exceptions: the peer broke the protocol, or our own caller did."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ErrorCode", "LocalProtocolError", "RemoteProtocolError", "error_name"]


class ErrorCode(IntEnum):
    """The reason in a RST_STREAM or GOAWAY frame."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


NAMES = {code.value: code.name for code in ErrorCode}


def error_name(code: int) -> str:
    """Return the name of an error code; its number if it has none, since a peer may send any (RFC 9113 7)."""
    return NAMES.get(code) or f"error code {code:#x}"


class RemoteProtocolError(Exception):
    """The peer broke the protocol in a way that ends the connection (RFC 9113 5.4.1).

    Attributes:
        code: what our GOAWAY says.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class LocalProtocolError(Exception):
    """Our own caller asked for something that the protocol does not allow; nothing was sent."""
