"""httpx over a connector: its connection pool, HTTP/1.1 and HTTP/2, on our connections."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Generator
from contextlib import contextmanager
from typing import cast

from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector

try:
    import httpx
except ImportError as error:
    raise ImportError("httpx is not installed: pip install 'ziggurat[httpx]'") from error

import httpcore

from ziggurat.layers.clients.httpcore import HttpcoreBackend

__all__ = ["HttpxTransport"]

KINDS: dict[type[BaseException], type[httpx.TransportError]] = {
    httpcore.TimeoutException: httpx.TimeoutException,
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.NetworkError: httpx.NetworkError,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.ProtocolError: httpx.ProtocolError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
}


class HttpxTransport(httpx.AsyncBaseTransport):
    """A transport for ``httpx.AsyncClient(transport=...)``, on asyncio and trio.

    httpx ignores the proxy variables of the environment for a client that has a transport.

    The client's timeouts apply; its ``connect`` covers the whole stack, TLS with the target aside, and is 5 seconds
    unless it is set, which is short for Tor. Errors are httpx's: ``ProxyError`` for a `ProxyError`, ``ConnectTimeout``
    for a limit of the client's or the stack's, ``ConnectError`` for any other failed dial. The ``__cause__`` of each is
    the `ConnectError`, with its ledger. A dial that worked has its ledger in
    ``response.extensions["network_stream"].get_extra_info("ledger")``.

    Args:
        connector: dials; without a ``tls`` layer for the target, since TLS is the client's.
        verify: ``True`` for httpx's own context; ``False`` for one that verifies nothing; or a context, on which
            httpcore sets the ALPN protocols.
        http1: whether HTTP/1.1 may be used.
        http2: whether HTTP/2 may be used: over TLS if the server selects it, without TLS if ``http1`` is off.
        limits: of the connection pool; ``None`` for httpx's defaults.
        retries: further attempts of a dial that failed, with a short backoff.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        verify: ssl.SSLContext | bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: httpx.Limits | None = None,
        retries: int = 0,
    ) -> None:
        limits = limits or httpx.Limits(max_connections=100, max_keepalive_connections=20)
        self._backend = HttpcoreBackend(connector)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            http1=http1,
            http2=http2,
            retries=retries,
            network_backend=self._backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response; called by the client."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        wanted = httpcore.Request(
            method=request.method,
            url=url,
            headers=request.headers.raw,
            content=cast(AsyncIterable[bytes], request.stream),
            extensions=request.extensions,
        )
        with _httpx_errors():
            response = await self._pool.handle_async_request(wanted)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=cast(dict[str, object], response.extensions),  # pyright: ignore[reportUnknownMemberType]
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def __repr__(self) -> str:
        return f"HttpxTransport({self._backend!r})"


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for part in cast(AsyncIterable[bytes], self._response.stream):
                yield part

    async def aclose(self) -> None:
        with _httpx_errors():
            await self._response.aclose()


@contextmanager
def _httpx_errors() -> Generator[None, None, None]:
    try:
        yield
    except Exception as error:
        kind = next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), None)
        if kind is None:
            raise
        # The pool raises it "from None", which clears the cause; the context stays.
        ours = isinstance(error.__context__, ConnectError)
        raise kind(str(error)) from (error.__context__ if ours else error)
