"""httpcore's network backend over a connector, for its connection pools.

The client does TLS itself, by the backend's ``start_tls``: its own context, ALPN and ``sni_hostname`` apply, so the
stack must not have a ``tls`` layer for the target. A TLS layer for a proxy is unaffected.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import Iterable

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from ziggurat.layers.clients.secure import secure
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectTimeout, ProxyError
from ziggurat.services.limit import Limit
from ziggurat.services.service import Connector
from ziggurat.services.stream import DialAttribute
from ziggurat.services.tls import TlsStream
from ziggurat.services.transport_stream import TransportStream
from ziggurat.services.uri import Uri

try:
    import httpcore
except ImportError as error:
    raise ImportError("httpcore is not installed: pip install 'ziggurat[httpx]'") from error

__all__ = ["HttpcoreBackend"]


class HttpcoreBackend(httpcore.AsyncNetworkBackend):
    """Opens the connections of an ``httpcore.AsyncConnectionPool``; on asyncio and trio.

    A dial that fails raises ``httpcore.ProxyError`` for a `ProxyError`, ``httpcore.ConnectTimeout`` for a
    `ConnectTimeout`, and ``httpcore.ConnectError`` for any other error; ours is the cause. The text is the same.

    Args:
        connector: dials ``tcp://host:port``, with the name unresolved, or ``unix:path``.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Dial ``host``; ``timeout`` covers the whole stack, in seconds.

        Raises:
            ValueError: a local address or socket options are set, which are the stack's to set.
        """
        if local_address is not None or socket_options is not None:
            raise ValueError("local_address and socket_options are settings of the stack: TcpConnector and its layers")
        try:
            uri = Uri("tcp", host, port)
        except ValueError as error:
            raise httpcore.ConnectError(str(error)) from error
        return await self._dial(uri, timeout)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Dial ``unix:path``, as `connect_tcp`."""
        if socket_options is not None:
            raise ValueError("socket_options are settings of the stack")
        return await self._dial(Uri("unix", path=path), timeout)

    async def sleep(self, seconds: float) -> None:
        """Sleep between the attempts of the pool's own retries."""
        await anyio.sleep(seconds)

    async def _dial(self, uri: Uri, timeout: float | None) -> httpcore.AsyncNetworkStream:
        limit = None if timeout is None else max(timeout, sys.float_info.min)
        try:
            with dial(uri) as current, Limit(limit, "connect timeout"):
                return _Stream(current.established(await self._connector(uri)))
        except ProxyError as error:
            raise httpcore.ProxyError(str(error)) from error
        except ConnectTimeout as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    def __repr__(self) -> str:
        return f"HttpcoreBackend({self._connector!r})"


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            with anyio.fail_after(timeout):
                return await self._stream.receive(max_bytes)
        except EndOfStream:
            return b""
        except TimeoutError as error:
            raise httpcore.ReadTimeout(f"nothing came within {timeout:g} s") from error
        except (BrokenResourceError, ClosedResourceError) as error:
            raise httpcore.ReadError(_reason(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            with anyio.fail_after(timeout):
                await self._stream.send(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(f"the peer did not take the data within {timeout:g} s") from error
        except (BrokenResourceError, ClosedResourceError) as error:
            raise httpcore.WriteError(_reason(error)) from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout):
                return _Stream(await secure(self._stream, ssl_context, server_hostname or ""))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no TLS handshake within {timeout:g} s") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    def get_extra_info(self, info: str) -> object:
        """Return httpcore's own values, and the dial's record as ``ledger``."""
        get = self._stream.extra
        match info:
            case "ssl_object":
                return get(TLSAttribute.ssl_object, None)
            case "client_addr":
                return get(SocketAttribute.local_address, None)
            case "server_addr":
                return get(SocketAttribute.remote_address, None)
            case "socket":
                return get(SocketAttribute.raw_socket, None)
            case "ledger":
                return get(DialAttribute.ledger, None)
            case "is_readable":  # an idle connection that is readable has ended
                return self._is_readable()
            case _:
                return None

    def _is_readable(self) -> bool:
        stream = self._stream
        # Our streams read ahead, so that the end may be in their queue, and no longer in the socket.
        if (isinstance(stream, TransportStream) or isinstance(stream, TlsStream)) and stream.readable:  # noqa: SIM101
            return True
        sock = stream.extra(SocketAttribute.raw_socket, None)
        return sock is not None and _has_data(sock)


def _has_data(sock: socket.socket) -> bool:
    if (fd := sock.fileno()) < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([fd], [], [], 0)[0])
    poll = select.poll()  # select.select() takes no descriptor above 1023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error) or type(error).__name__
