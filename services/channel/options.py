"""The settings of one HTTP/2 connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ziggurat.services.version import version

__all__ = ["HIGH_WATER", "ConnectionOptions", "default_user_agent"]

MIB = 1024 * 1024

HIGH_WATER = 65536
"""Bytes that may collect before they are written, so that the transport can say when it is too much."""

LEAST_WINDOW = 65_535
"""Bytes. No connection's window is smaller, since it is this before anything is said (RFC 9113 6.9.2)."""


def default_user_agent() -> str:
    """Return ``ziggurat/<version>``.

    grpclib's default also reveals the operating system and the Python version, which would identify a Tor user.
    """
    return f"ziggurat/{version()}"


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The settings of one HTTP/2 connection; `Endpoint` creates them and has checked the values.

    Attributes:
        stream_window: flow control window of one stream, in bytes.
        connection_window: flow control window of all streams together, in bytes.
        max_frame_size: maximum size of a received frame, in bytes (RFC 9113 6.5.2).
        max_message_size: maximum size of a received message, compressed and inflated, in bytes; ``None`` for no limit.
        max_header_list_size: maximum size of a received list of headers, in bytes (RFC 9113 10.5.1).
        max_unread: bytes of all streams that may lie unread before the peer has to stop.
        max_concurrent_streams: requests that a client may have open at a time, in the server's role.
        initial_message_size: maximum size of a received message until `Stream.lift_limits` is called, for peers that
            have to introduce themselves first. Until then the windows have the least size, too. ``None`` lets
            ``max_message_size`` and the windows above apply from the start.
        compression: compression of sent messages; ``None`` for none. Compressed messages are always received.
        linger: how long a close waits for unsent bytes before it aborts, in seconds.
        http2_keepalive_interval: time between PINGs, in seconds; ``None`` for no PINGs.
        http2_keepalive_timeout: PING ack timeout, in seconds.
        http2_keepalive_while_idle: whether to send PINGs while no call is running.
        user_agent: the whole value of the ``user-agent`` header.
    """

    stream_window: int = 4 * MIB
    connection_window: int = 4 * MIB
    max_frame_size: int = 256 * 1024
    max_message_size: int | None = 32 * MIB
    max_header_list_size: int = 64 * 1024
    max_unread: int = 64 * MIB
    max_concurrent_streams: int = 100
    initial_message_size: int | None = None
    compression: Literal["gzip"] | None = None
    linger: float = 2.0
    http2_keepalive_interval: float | None = None
    http2_keepalive_timeout: float = 20.0
    http2_keepalive_while_idle: bool = False
    user_agent: str = default_user_agent()

    @property
    def windows(self) -> tuple[int, int]:
        """The windows of a stream and of the connection with which a connection begins."""
        if self.initial_message_size is None:
            return self.stream_window, self.connection_window
        return min(LEAST_WINDOW, self.stream_window), min(LEAST_WINDOW, self.connection_window)
