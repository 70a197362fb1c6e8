"""Send small writes immediately, or let the system coalesce them (Nagle's algorithm, RFC 896)."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.layers.socket_options import SocketOption, set_options
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool

__all__ = ["NoDelay", "NoDelayLayer"]


@dataclass(frozen=True, slots=True)
class NoDelayLayer:
    """Wraps a connector in `NoDelay`. `TcpConnector` turns no-delay on; this is for other leaves, or to turn it off.

    Args:
        enabled: whether small writes are sent immediately.
        require: fail the dial if the option cannot be set, e.g. on a stream without a TCP socket. Otherwise the problem
            is recorded in the ledger (``no_delay``, with a note) and logged (``no_delay.skipped``).

    Raises:
        TypeError: an argument is not a bool.
    """

    enabled: bool = True
    require: bool = False

    def __post_init__(self) -> None:
        check_bool("enabled", self.enabled)
        check_bool("require", self.require)

    def layer(self, inner: Connector, /) -> Connector:
        return NoDelay(self, inner)


@dataclass(frozen=True, slots=True)
class NoDelay:
    """Sets ``TCP_NODELAY`` on each stream and returns the stream itself."""

    config: NoDelayLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``.

        Raises:
            ConnectError: the option could not be set, and ``require`` is true; the stream is closed.
        """
        with dial(uri) as current:
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                option = SocketOption("TCP_NODELAY", socket.IPPROTO_TCP, socket.TCP_NODELAY, int(self.config.enabled))
                set_options(stream, [option], name="no_delay", ledger=current.ledger, require=self.config.require)
                return current.established(stream)
