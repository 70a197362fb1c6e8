"""What the clients' tests dial: servers on loopback behind a real proxy."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import cache

import anyio
import anyio.lowlevel
import h2.config
import h2.connection
import h2.events
import h11
import trustme
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSListener

from ziggurat.layers import ServiceBuilder, UserPass
from ziggurat.layers.testing import LeakGuard, Socks5Server, no_leaks
from ziggurat.services import Connector, TcpConnector, Uri

HOST = "target.example"
"""A name that no resolver knows: only the proxy can reach it."""

AUTHORITY = trustme.CA()


class Corner:
    """A SOCKS5 proxy with a password, which maps `HOST` to loopback, and a stack that dials through it.

    Attributes:
        proxy: counts what it was asked for.
        connector: the stack.
    """

    def __init__(self, proxy: Socks5Server, uri: Uri) -> None:
        self.proxy = proxy
        self.uri = uri
        self.connector = self.stack()

    def stack(self, password: str = "s3cret") -> Connector:
        """Return a stack with that password for the proxy."""
        auth = UserPass("alice", password)
        return ServiceBuilder().socks5(self.uri, auth=auth).service(TcpConnector())

    @property
    def targets(self) -> list[str]:
        """What the proxy was asked for, without ports."""
        return [request.host for request in self.proxy.requests]


@asynccontextmanager
async def corner() -> AsyncGenerator[Corner, None]:
    """Run the proxy for the duration of a block."""

    async def reach(uri: Uri) -> ByteStream:
        return await anyio.connect_tcp("127.0.0.1" if uri.host == HOST else uri.host, uri.port)

    proxy = Socks5Server({"alice": "s3cret"}, connector=reach)
    async with proxy.serve() as uri:
        yield Corner(proxy, uri)


@cache
def server_context(*alpn: str) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for `HOST`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(HOST, "127.0.0.1").configure_cert(context)
    context.num_tickets = 0  # they would come at any time, and make an idle connection readable
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def client_context() -> ssl.SSLContext:
    """Return a client's TLS context that trusts `AUTHORITY` only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's authorities take 20 ms to load
    AUTHORITY.configure_trust(context)
    return context


@asynccontextmanager
async def serve(
    handler: Callable[[ByteStream], Awaitable[object]], context: ssl.SSLContext | None = None
) -> AsyncGenerator[int, None]:
    """Serve each connection on loopback with ``handler``, then close it; yield the port."""

    async def handle(stream: ByteStream) -> None:
        async with stream:
            try:
                await handler(stream)
            except (EndOfStream, BrokenResourceError):
                pass

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port: int = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        if context is None:
            tasks.start_soon(listener.serve, handle)
        else:
            tasks.start_soon(TLSListener(listener, context, standard_compatible=False).serve, handle)
        yield port
        tasks.cancel_scope.cancel()


async def echo(stream: ByteStream) -> None:
    """Send back what comes, until the peer's EOF."""
    async for data in stream:
        await stream.send(data)


class Web:
    """A server for HTTP/1.1, and for HTTP/2 if TLS selects it. Each response names the request's method and target.

    ``/slow`` is never answered. ``/bye`` is answered, and then the connection ends without notice.

    Attributes:
        connections: how many there were.
    """

    def __init__(self) -> None:
        self.connections = 0

    async def handle(self, stream: ByteStream) -> None:
        """Serve one connection."""
        self.connections += 1
        if stream.extra(TLSAttribute.alpn_protocol, None) == "h2":
            await self._http2(stream)
            return
        connection = h11.Connection(h11.SERVER)
        while True:
            request = await self._request(stream, connection)
            if request is None:
                return
            target = request.target.decode()
            if target == "/slow":
                await stream.receive()
                return
            body = f"{request.method.decode()} {target}".encode()
            head = h11.Response(status_code=200, headers=[("content-length", str(len(body)))])
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                await stream.send(connection.send(event) or b"")
            if target == "/bye" or connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    async def _request(self, stream: ByteStream, connection: h11.Connection) -> h11.Request | None:
        found: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                try:
                    connection.receive_data(await stream.receive())
                except EndOfStream:
                    connection.receive_data(b"")
            elif isinstance(event, h11.Request):
                found = event
            elif isinstance(event, h11.EndOfMessage):
                return found
            elif isinstance(event, h11.ConnectionClosed):
                return None

    async def _http2(self, stream: ByteStream) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        while True:
            await stream.send(connection.data_to_send())
            for event in connection.receive_data(await stream.receive()):
                if isinstance(event, h2.events.RequestReceived):
                    head = {str(name): str(value) for name, value in event.headers}
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    body = f"{head[':method']} {head[':path']}".encode()
                    connection.send_data(event.stream_id, body, end_stream=True)


def nothing_but(here: Corner, port: int) -> AbstractContextManager[LeakGuard]:
    """Raise where something is looked up, or connects to anything but the proxy, and the proxy to its target."""
    return no_leaks(allow=[f"127.0.0.1:{here.uri.port}", f"127.0.0.1:{port}"])


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition()`` is true; the event loop turns meanwhile."""
    with anyio.fail_after(30.0):  # only so that a failure names its line
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await anyio.sleep(0.001)


async def settle() -> None:
    """Let callbacks run that need no more than a few turns of the loop."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
