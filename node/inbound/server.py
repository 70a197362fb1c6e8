"""The server for peers that dial us: one stream a connection, and no connection that nobody watches.

From accepted to request: `REQUEST_TIMEOUT`. From request to Ready: the handshake's limits. After the stream's end:
`CLOSE_TIMEOUT`. In between lies the life of a peer, which the router ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Literal, cast

import anyio
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Handler as ConnectionHandlers
from grpclib.server import Server, Stream
from h2.config import H2Configuration

from ziggurat.node.address import NetAddress
from ziggurat.node.handshake import TOO_MANY_PENDING
from ziggurat.node.inbound.limits import ConnectionCounter
from ziggurat.node.inbound.listener import Listener
from ziggurat.node.inbound.refusal_log import RefusalLog
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.peer import PROXIED
from ziggurat.node.wire import MESSAGE_STREAM, KaspadMessage, MessageCodec, StreamLost
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.protocol import ServerProtocol
from ziggurat.services.channel.server import CompressionMixin

__all__ = ["PeerServer", "Serve"]

REQUEST_TIMEOUT = 10.0
"""Seconds from a connection to its request for the stream: two round trips, also through Tor."""

MAX_REQUESTS = 8
"""Requests on one connection, where one is right. Each costs a task, and who goes on asking may go on for ever
(CVE-2023-44487, rapid reset)."""

CLOSE_TIMEOUT = 1.0
"""Seconds that a peer has to close its connection after its stream has ended. To close at once could reset it, and our
Reject, which is on its way, would be lost."""

DRAIN_TIMEOUT = 2.5
"""Seconds for all connections together when the listener closes."""

Serve = Callable[[InboundStream], None]
"""Takes an open stream, and does not wait; calls its `InboundStream.handshake_over` when that is so.

It must not do its work in the task of grpclib's handler: that is cancelled when the peer resets the stream, and a peer
that rejects us does so right behind its Reject."""


class PeerServer:
    """Accepts peers.

    Args:
        listener: where they come from.
        counter: how many.
        serve: what is done with each.
        proxied: whether they come through an onion service, so that their address is not theirs.
        max_message_size: bytes of the largest message that is received, inflated.
        compression: ``"gzip"`` compresses what is sent to those who take it, as kaspad does; we have no need to.
        close_timeout: seconds that a peer has to close its connection after its stream has ended.
    """

    def __init__(
        self,
        listener: Listener,
        counter: ConnectionCounter,
        serve: Serve,
        *,
        proxied: bool,
        max_message_size: int,
        compression: Literal["gzip"] | None = None,
        close_timeout: float = CLOSE_TIMEOUT,
    ) -> None:
        self.counter = counter
        self.close_timeout = close_timeout
        self.proxied = proxied
        self.serve = serve
        self.refusals = RefusalLog()
        self.connections: set[InboundProtocol] = set()
        self._listener = listener
        self._max_message_size = max_message_size
        self._compression: Literal["gzip"] | None = compression

    async def start(self) -> NetAddress:
        """Listen. Returns where.

        Raises:
            OSError: it cannot.
        """
        server = _GrpcServer(self, max_message_size=self._max_message_size, compression=self._compression)
        return await self._listener.start(server.new_connection)

    async def aclose(self) -> None:
        """Accept no more, and close every connection. The peers should have been told before: see `Router.close`."""
        await self._listener.aclose()
        try:
            with anyio.move_on_after(DRAIN_TIMEOUT):
                for connection in tuple(self.connections):
                    await connection.drain()
        finally:
            for connection in tuple(self.connections):
                connection.abort()
        while self.connections:
            await next(iter(self.connections)).lost.wait()


class InboundProtocol(ServerProtocol):
    """One inbound connection.

    Args:
        server: counts it.
        grpc: gives it grpclib's settings.
    """

    address: NetAddress
    host: str

    def __init__(self, server: PeerServer, grpc: _GrpcServer) -> None:
        self.server = server
        self.codec = MessageCodec()
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._stream_task: asyncio.Task[object] | None = None
        stream = Handler(self.message_stream, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)
        super().__init__(grpc.handlers_for({MESSAGE_STREAM: stream}, self.codec), *grpc.settings)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is, and whether there is room."""
        name = transport.get_extra_info("peername")
        try:
            self.address = NetAddress(ip_address(str(name[0]).partition("%")[0]), int(name[1]))
        except (TypeError, ValueError, IndexError):
            reason: str | None = f"it has no address ({name!r})"
        else:
            self.host = PROXIED if self.server.proxied else str(self.address.ip)
            reason = self.server.counter.add_connection(self.host)
        if reason is not None:
            self._refused = True
            self.server.refusals.write(getattr(self, "address", None), reason)
            cast(asyncio.Transport, transport).abort()
            return
        self.server.connections.add(self)
        super().connection_made(transport)
        self._close_after(REQUEST_TIMEOUT, f"it did not ask for {MESSAGE_STREAM} within {REQUEST_TIMEOUT:g} s")

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self.connection.streams_started > MAX_REQUESTS:
            self.fail("the peer sends request after request")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._refused:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.server.counter.remove_connection(self.host)
        self.server.connections.discard(self)
        if self._stream_task is None and self.failure is not None:
            reason = self.failure if self.settings_received else "it does not speak HTTP/2"
            self.server.refusals.write(self.address, reason, kind="http2")
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:
        return None if self._refused else super().eof_received()

    def pause_writing(self) -> None:
        if not self._refused:
            super().pause_writing()

    def resume_writing(self) -> None:
        if not self._refused:
            super().resume_writing()

    async def drain(self) -> None:
        """Wait until the stream has ended and its end is out, then close."""
        if self._stream_task is not None:
            await asyncio.wait([self._stream_task])
        await self.aclose()

    async def message_stream(self, stream: Stream[KaspadMessage, KaspadMessage]) -> None:
        """Serve the one stream of this connection."""
        if self._stream_task is not None:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "one stream a connection")
        self._stream_task = asyncio.current_task()
        assert self._stream_task is not None
        self._stream_task.add_done_callback(lambda _: self._close_after(self.server.close_timeout, None))
        if self._timer is not None:
            self._timer.cancel()
        counter = self.server.counter
        if not counter.add_handshake(self.host):
            self.server.refusals.write(self.address, TOO_MANY_PENDING)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, TOO_MANY_PENDING)
        inbound = InboundStream(stream, self.codec, self.address, partial(counter.remove_handshake, self.host))
        try:
            await inbound.open()
            self.server.serve(inbound)
            await inbound.wait_closed()
        except StreamLost:
            await stream.cancel()
        finally:
            inbound.handshake_over()

    def _close_after(self, seconds: float, reason: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.connection.closing:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out, reason)

    def _time_out(self, reason: str | None) -> None:
        if reason is None:
            self.close()
        else:
            self.server.refusals.write(self.address, reason)
            self.abort()


class _GrpcServer(CompressionMixin, Server):
    """grpclib's server, never started: it holds the settings, and a listener makes the connections."""

    def __init__(
        self, server: PeerServer, *, max_message_size: int | None, compression: Literal["gzip"] | None
    ) -> None:
        super().__init__([], max_message_size=max_message_size, compression=compression)
        self._peer_server = server

    def new_connection(self) -> InboundProtocol:
        return InboundProtocol(self._peer_server, self)

    def handlers_for(self, mapping: dict[str, Handler], codec: MessageCodec) -> ConnectionHandlers:
        return ConnectionHandlers(mapping, codec, None, self.__dispatch__)

    @property
    def settings(self) -> tuple[Configuration, H2Configuration, ConnectionOptions]:
        return self._config, self._h2_config, self._options
