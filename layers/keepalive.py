"""Detect a dead peer or proxy by TCP keepalive, and by TCP_USER_TIMEOUT for unacknowledged data."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.layers.place import Place, is_proxy
from ziggurat.layers.socket_options import SocketOption, set_options
from ziggurat.layers.tls import TlsLayer
from ziggurat.services.dial import dial
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool, check_count, check_seconds

__all__ = ["KeepAlive", "KeepAliveLayer"]

MAX_SECONDS = 32767
MAX_COUNT = 127
"""Linux's limits (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT in its tcp.h)."""

MAX_USER_TIMEOUT = 2147483
"""Seconds: the option is a C int of milliseconds."""


@dataclass(frozen=True, slots=True)
class KeepAliveLayer:
    """Wraps a connector in `KeepAlive`. The system counts whole seconds; fractions are rounded up.

    Probes belong to the TCP connection that the leaf makes, so with a proxy they reach the proxy and no further; use
    the endpoint's HTTP/2 pings for the far end of a tunnel.

    Args:
        idle: seconds of silence before the first probe, at most 32767.
        interval: seconds between probes; ``None`` for the system's default (75 on Linux).
        count: unanswered probes before the connection is lost; ``None`` for the system's default (9 on Linux).
        user_timeout: seconds that sent data may stay unacknowledged before the connection is lost
            (``TCP_USER_TIMEOUT``, RFC 5482; Linux, where it also overrides ``count``). ``None`` for off.
        require: fail the dial if an option cannot be set, e.g. on a stream without a TCP socket. Otherwise the problem
            is recorded in the ledger (``keepalive``, with a note) and logged (``keepalive.skipped``).

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

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        """Say from when on the connection is watched, if that is late."""
        late = [type(layer).__name__ for layer in place.below if isinstance(layer, TlsLayer) or is_proxy(layer)]
        if late:
            yield Remark(
                f"late: KeepAliveLayer stands above {' and '.join(late)}, so that a connection that dies during what "
                "they do is not noticed by keepalive; put it below"
            )

    def layer(self, inner: Connector, /) -> Connector:
        return KeepAlive(self, inner, keepalive_options(self, socket))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Sets the options on each stream and returns the stream itself."""

    config: KeepAliveLayer
    inner: Connector
    options: tuple[SocketOption, ...]

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            ConnectError: an option could not be set, and ``require`` is true; the stream is closed.
        """
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                set_options(stream, self.options, name="keepalive", ledger=current.ledger, require=self.config.require)
                return current.established(stream)


def keepalive_options(config: KeepAliveLayer, system: object) -> tuple[SocketOption, ...]:
    """Return the options for ``config``, with the numbers that ``system`` (the ``socket`` module) defines."""

    def tcp(value: int, name: str, *others: str) -> SocketOption:
        numbers = (getattr(system, each, None) for each in (name, *others))
        return SocketOption(name, socket.IPPROTO_TCP, next((n for n in numbers if n is not None), None), value)

    options: list[SocketOption] = []
    # macOS calls the idle time TCP_KEEPALIVE.
    options.append(tcp(math.ceil(config.idle), "TCP_KEEPIDLE", "TCP_KEEPALIVE"))
    if config.interval is not None:
        options.append(tcp(math.ceil(config.interval), "TCP_KEEPINTVL"))
    if config.count is not None:
        options.append(tcp(config.count, "TCP_KEEPCNT"))
    if config.user_timeout is not None:
        options.append(tcp(math.ceil(config.user_timeout * 1000), "TCP_USER_TIMEOUT"))
    # Last, so that no probe is sent with the system's default times.
    options.append(SocketOption("SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    return tuple(options)
