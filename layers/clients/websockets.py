"""websockets over a connector: each connection, each reconnect too, on a socket of its own.

websockets takes a connected socket (``sock=``), which serves for one connection. Its own ``async for`` loop would use
the same socket again, so this module has the loop, and dials for each turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from types import TracebackType
from urllib.parse import urlsplit

import anyio

from ziggurat.layers.clients.as_socket import as_socket
from ziggurat.layers.clients.secure import refuse_second_tls
from ziggurat.services.backoff import Backoff
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.limit import Limit
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

try:
    from websockets.asyncio.client import ClientConnection, connect
except ImportError as error:
    raise ImportError("websockets is not installed: pip install 'ziggurat[websockets]'") from error

__all__ = ["WebsocketConnect"]

PORTS = {"ws": 80, "wss": 443}
"""RFC 6455 3."""


class WebsocketConnect:
    """Opens websocket connections, used as ``websockets.connect`` is, on asyncio.

    ``await`` it for a connection, which the caller closes; use ``async with`` for one that is closed; or ``async for``
    for one after the other: a failed dial is repeated after a delay, until it fails for good.

    TLS of a ``wss://`` URI is done by websockets and verifies the URI's host, so the stack must not have a ``tls``
    layer for the target. The environment's proxy variables are not read. A redirect is not followed, since websockets
    does not follow one on a given socket: it raises a ``ValueError``.

    Args:
        connector: dials ``tcp://host:port``, with the name unresolved.
        uri: ``ws://`` or ``wss://``.
        connect: websockets' own, or with options: ``functools.partial(connect, ping_interval=30)``.
        open_timeout: seconds for the stack, TLS and the opening handshake together; ``None`` for no limit. It replaces
            websockets' own.
        backoff: the delay between the failed turns of ``async for``.

    Raises:
        ValueError: ``uri`` is not a websocket's.
    """

    def __init__(
        self,
        connector: Connector,
        uri: str,
        *,
        connect: Callable[..., connect] = connect,
        open_timeout: float | None = 10.0,
        backoff: Backoff = Backoff(),  # noqa: B008 -- frozen
    ) -> None:
        check_seconds("open_timeout", open_timeout)
        self.uri = uri
        self._target = _target(uri)
        self._secure = urlsplit(uri).scheme == "wss"
        self._connector = connector
        self._connect = connect
        self._open_timeout = open_timeout
        self._backoff = backoff
        self._connection: ClientConnection | None = None

    async def open(self) -> ClientConnection:
        """Dial, do the opening handshake, and return the connection, as ``await`` does.

        Raises:
            ConnectError: the dial failed; an ``OSError``, as websockets' documentation has it.
            InvalidHandshake: websockets' own, of the opening handshake.
            TimeoutError: ``open_timeout`` ran out; within the dial it is a `ConnectTimeout`.
        """
        with dial(self._target) as current, Limit(self._open_timeout, "open_timeout") as limit:
            stream = current.established(await self._connector(self._target))
            async with closing_on_error(stream):
                if self._secure:
                    refuse_second_tls(stream, self._target.host)
                sock = await as_socket(stream)
            left = limit.left
        try:
            return await self._connect(self.uri, sock=sock, proxy=None, open_timeout=left)
        except BaseException:
            sock.close()
            raise

    def __await__(self) -> Generator[object, None, ClientConnection]:
        return self.open().__await__()

    async def __aenter__(self) -> ClientConnection:
        if self._connection is not None:
            raise RuntimeError("this WebsocketConnect is in use: make one for each connection")
        self._connection = await self.open()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        await connection.__aexit__(kind, error, trace)

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        """Yield a connection, close it, and dial again, for ever.

        Raises:
            ConnectError: a dial failed that is not transient: a wrong password of the proxy would be wrong next time.
            Exception: what websockets' ``process_exception`` takes for fatal.
        """
        failures = 0
        while True:
            try:
                async with self as connection:
                    failures = 0
                    yield connection
            except Exception as error:
                fatal = self._fatal(error)
                if fatal is error:
                    raise
                if fatal is not None:
                    raise fatal from error
                failures += 1
                await anyio.sleep(self._backoff.delay(failures))

    def _fatal(self, error: Exception) -> Exception | None:
        if isinstance(error, ConnectError) and not error.transient:
            return error
        return self._connect(self.uri).process_exception(error)

    def __repr__(self) -> str:
        return f"WebsocketConnect({self._target!r}, {self._connector!r})"


def _target(uri: str) -> Uri:
    parts = urlsplit(uri)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"bad websocket URI: {uri.rpartition('@')[2]!r} (write ws://host or wss://host)")
    return Uri("tcp", parts.hostname, parts.port or PORTS[parts.scheme])
