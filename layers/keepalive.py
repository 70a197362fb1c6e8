"""Notice a dead peer or proxy: TCP keepalive, and TCP_USER_TIMEOUT for data that nobody acknowledges."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.layers.socket_options import SocketOption, set_options
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool, check_count, check_seconds

__all__ = ["KeepAlive", "KeepAliveLayer"]

MAX_SECONDS = 32767
MAX_COUNT = 127
"""What Linux takes (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT in its tcp.h)."""

MAX_USER_TIMEOUT = 2147483
"""Seconds: it is set in milliseconds, as a C int."""


@dataclass(frozen=True, slots=True)
class KeepAliveLayer:
    """Wraps a connector in `KeepAlive`. The system counts in whole seconds: fractions are rounded up.

    These are packets of the TCP connection that the leaf made, so with a proxy they reach the proxy and no further;
    for the far end of a tunnel there are the endpoint's HTTP/2 pings.

    Args:
        idle: seconds of silence before the first probe, at most 32767.
        interval: seconds between probes; ``None`` leaves it to the system (75 on Linux).
        count: unanswered probes after which the connection is lost; ``None`` leaves it to the system (9 on Linux).
        user_timeout: seconds that sent data may stay unacknowledged before the connection is lost
            (``TCP_USER_TIMEOUT``, RFC 5482; Linux). On Linux it also takes ``count``'s place. ``None`` for off.
        require: fail the dial when an option cannot be set, e.g. on a stream without a TCP socket. Otherwise that is
            said in the ledger (``keepalive``, with a note) and in the log (``keepalive.skipped``).

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    idle: float
    interval: float | None = None
    count: int | None = None
    user_timeout: float | None = None
    require: bool = False

    def __post_init__(self) -> None:
        check_seconds("idle", self.idle, maximum=MAX_SECONDS, optional=False)
        check_seconds("interval", self.interval, maximum=MAX_SECONDS)
        check_count("count", self.count, maximum=MAX_COUNT)
        check_seconds("user_timeout", self.user_timeout, maximum=MAX_USER_TIMEOUT)
        check_bool("require", self.require)

    def layer(self, inner: Connector, /) -> Connector:
        return KeepAlive(self, inner, keepalive_options(self, socket))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Sets the options on each stream and hands on that stream itself."""

    config: KeepAliveLayer
    inner: Connector
    options: tuple[SocketOption, ...]

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            ConnectError: ``require``, and an option could not be set; the stream is closed.
        """
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                set_options(stream, self.options, name="keepalive", ledger=current.ledger, require=self.config.require)
                return current.established(stream)


def keepalive_options(config: KeepAliveLayer, system: object) -> tuple[SocketOption, ...]:
    """What to set for ``config``, with the numbers that ``system`` (the ``socket`` module) has for it."""

    def tcp(value: int, name: str, *others: str) -> SocketOption:
        numbers = (getattr(system, each, None) for each in (name, *others))
        return SocketOption(name, socket.IPPROTO_TCP, next((n for n in numbers if n is not None), None), value)

    options: list[SocketOption] = []
    # macOS has the idle time under another name.
    options.append(tcp(math.ceil(config.idle), "TCP_KEEPIDLE", "TCP_KEEPALIVE"))
    if config.interval is not None:
        options.append(tcp(math.ceil(config.interval), "TCP_KEEPINTVL"))
    if config.count is not None:
        options.append(tcp(config.count, "TCP_KEEPCNT"))
    if config.user_timeout is not None:
        options.append(tcp(math.ceil(config.user_timeout * 1000), "TCP_USER_TIMEOUT"))
    # Last: no probe leaves with the system's own times.
    options.append(SocketOption("SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    return tuple(options)
