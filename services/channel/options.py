"""The settings of one HTTP/2 connection, as an endpoint hands them to the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ziggurat.services.version import version

__all__ = ["ConnectionOptions", "default_user_agent"]

MIB = 1024 * 1024


def default_user_agent() -> str:
    """``ziggurat/<version>`` and no more.

    grpclib's own goes on to tell the operating system and Python's version, which over Tor is nobody's business.
    """
    return f"ziggurat/{version()}"


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What one HTTP/2 connection is made with. An endpoint makes it, and has checked the values.

    Attributes:
        stream_window: bytes that the peer may send on one stream before the reader has taken them.
        connection_window: the same for all streams together.
        max_frame_size: bytes; the largest frame that the peer may send (RFC 9113 6.5.2).
        max_message_size: bytes; the largest message that is received, compressed and inflated. ``None``: no limit.
        compression: how to compress what is sent; ``None``: not at all. Receiving needs no setting.
        linger: seconds that a close waits for unsent bytes before it aborts.
        stock_h2: use h2 as it is, without our shortcut for DATA frames.
        http2_keepalive_interval: seconds between two PINGs; ``None``: no PINGs.
        http2_keepalive_timeout: seconds that the peer has to answer one.
        http2_keepalive_while_idle: whether to PING while there is no call.
        user_agent: the whole value of the request header.
    """

    stream_window: int = 4 * MIB
    connection_window: int = 4 * MIB
    max_frame_size: int = 256 * 1024
    max_message_size: int | None = 32 * MIB
    compression: Literal["gzip"] | None = None
    linger: float = 2.0
    stock_h2: bool = False
    http2_keepalive_interval: float | None = None
    http2_keepalive_timeout: float = 20.0
    http2_keepalive_while_idle: bool = False
    user_agent: str = default_user_agent()
