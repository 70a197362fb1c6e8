"""Dial TCP or a unix socket, as the Uri says."""

from __future__ import annotations

from dataclasses import dataclass, field

from anyio.abc import ByteStream

from ziggurat.services.tcp import TcpConnector
from ziggurat.services.unix import UnixConnector
from ziggurat.services.uri import Uri

__all__ = ["SocketConnector"]


@dataclass(frozen=True, slots=True)
class SocketConnector:
    """The leaf that opens a unix socket for ``unix:/path`` and ``unix-abstract:name``, and else a TCP connection.

    Args:
        tcp: the connector for TCP.
        unix: the connector for unix sockets.
    """

    tcp: TcpConnector = field(default_factory=TcpConnector)
    unix: UnixConnector = field(default_factory=UnixConnector)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a connection to ``uri``; raises what the chosen leaf raises."""
        return await (self.unix(uri) if uri.is_unix else self.tcp(uri))
