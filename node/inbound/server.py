"""The server for inbound peers: one stream per connection, and a time limit in each of its states.

`REQUEST_TIMEOUT` runs from the accept to the request for the message stream, the handshake's limits from the request to
Ready, `CLOSE_TIMEOUT` from the end of the stream. In between, the router decides when the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Literal, cast

import anyio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from ziggurat.node.address import AddressNetwork, NetAddress
from ziggurat.node.handshake import HANDSHAKE_MESSAGE_SIZE, TOO_MANY_PENDING
from ziggurat.node.inbound.bans import BanList
from ziggurat.node.inbound.limits import ConnectionCounter
from ziggurat.node.inbound.listener import Listener
from ziggurat.node.inbound.refusal_log import RefusalLog
from ziggurat.node.inbound.request import Call, RequestHandler
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.ip_network import IpNetwork
from ziggurat.node.peer import PROXIED
from ziggurat.node.wire import MESSAGE_STREAM, MessageCodec, StreamLost
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.server_pings import PingRules
from ziggurat.services.channel.server_protocol import ServerProtocol
from ziggurat.services.http2 import HeaderSection, Stream

__all__ = ["PeerServer", "Serve"]

REQUEST_TIMEOUT = 10.0
"""Seconds from the accept to the request for the stream: enough for two round trips through Tor."""

MAX_REQUESTS = 8
"""Requests on one connection; a peer needs one. Each costs a task (CVE-2023-44487, rapid reset)."""

CLOSE_TIMEOUT = 1.0
"""Seconds for the peer to close the connection after its stream has ended. Closing it right away could reset it and
lose our Reject, which is still on its way."""

DRAIN_TIMEOUT = 2.5
"""Seconds for all connections to end when the server closes."""

Serve = Callable[[InboundStream], None]
"""Takes over an open stream without blocking, and calls `InboundStream.handshake_over` after the handshake.

The work must not run in the task of grpclib's handler: it is cancelled when the peer resets the stream, as kaspad does
right after its Reject."""


class PeerServer:
    """The server for inbound peers.

    Args:
        listener: the source of connections; ``None`` takes none but those of ``onion_listener``.
        counter: the limits on connections and handshakes.
        serve: the callback that takes over each stream.
        onion_listener: where Tor hands over the connections of our onion service; ``None`` without one.
        proxies: the networks that peers come from through a proxy, a gateway or an onion service, so that their
            addresses are not their own.
        proxied_network: the network that peers from there count as; ``None`` is the family of the proxy's address.
        bans: the addresses whose connections are closed unread; ``None`` for none.
        max_message_size: the largest message accepted, in bytes after decompression.
        compression: ``"gzip"`` compresses messages to peers that accept it, as kaspad does; ``None`` compresses none.
        close_timeout: seconds for the peer to close the connection after its stream has ended.
    """

    def __init__(
        self,
        listener: Listener | None,
        counter: ConnectionCounter,
        serve: Serve,
        *,
        onion_listener: Listener | None = None,
        proxies: Sequence[IpNetwork] = (),
        proxied_network: AddressNetwork | None = None,
        bans: BanList | None = None,
        max_message_size: int,
        compression: Literal["gzip"] | None = None,
        close_timeout: float = CLOSE_TIMEOUT,
    ) -> None:
        self.counter = counter
        self.close_timeout = close_timeout
        self.proxies = tuple(proxies)
        self.proxied_network = proxied_network
        self.bans = BanList() if bans is None else bans
        self.serve = serve
        self.refusals = RefusalLog()
        self.connections: set[InboundProtocol] = set()
        self._listener = listener
        self._onion_listener = onion_listener
        self.options = ConnectionOptions(
            max_message_size=max_message_size, initial_message_size=HANDSHAKE_MESSAGE_SIZE, compression=compression
        )

    async def start(self) -> NetAddress | None:
        """Start listening, and return the address listened on, if there is one beside that for Tor.

        Raises:
            OSError: an address cannot be listened on; none is then.
        """
        address = None if self._listener is None else await self._listener.start(lambda: InboundProtocol(self))
        if self._onion_listener is not None:
            try:
                await self._onion_listener.start(lambda: InboundProtocol(self, onion=True))
            except BaseException:
                if self._listener is not None:
                    await self._listener.aclose()
                raise
        return address

    async def aclose(self) -> None:
        """Stop accepting, and close every connection. The routers should have been closed first: see `Router.close`."""
        for listener in (self._listener, self._onion_listener):
            if listener is not None:
                await listener.aclose()
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
        server: the server that it belongs to.
        onion: whether it came in by our onion service.
    """

    address: NetAddress
    proxied: bool
    host: str

    def __init__(self, server: PeerServer, *, onion: bool = False) -> None:
        self.server = server
        self.onion = onion
        self.codec = MessageCodec()
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._stream_task: asyncio.Task[object] | None = None
        handler = RequestHandler(
            self.message_stream, self.codec, self._refuse_request, gzip=server.options.compression == "gzip"
        )
        super().__init__(handler, server.options, PingRules())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Abort the connection if it is banned, or there is no room; else wait `REQUEST_TIMEOUT` for the request."""
        name = transport.get_extra_info("peername")
        if self.onion and not name:  # on a unix socket, where nobody has an address
            name = ("127.0.0.1", 0)
        kind: str | None = None
        try:
            self.address = NetAddress(ip_address(str(name[0]).partition("%")[0]), int(name[1]))
        except (TypeError, ValueError, IndexError):
            reason: str | None = f"the connection has no peer address ({name!r})"
        else:
            self.proxied = self.onion or any(self.address.ip in network for network in self.server.proxies)
            self.host = PROXIED if self.proxied else str(self.address.ip)
            ban = None if self.proxied else self.server.bans.of_address(self.address)
            if ban is not None:
                reason, kind = f"{ban} is banned", "banned"
            else:
                reason = self.server.counter.add_connection(self.host)
        if reason is not None:
            self._refused = True
            self.server.refusals.write(getattr(self, "address", None), reason, kind=kind)
            cast(asyncio.Transport, transport).abort()
            self.core.detach()
            return
        self.server.connections.add(self)
        super().connection_made(transport)
        self._close_after(REQUEST_TIMEOUT, f"no request for {MESSAGE_STREAM} within {REQUEST_TIMEOUT:g} s")

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def on_request(self, section: HeaderSection) -> Stream | None:
        if self.streams_started >= MAX_REQUESTS:
            self.fail_soon(f"the peer sent more than {MAX_REQUESTS} requests on one connection")
            return None
        return super().on_request(section)

    def on_malformed_request(self, reason: str) -> None:
        self.fail_soon(reason)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._refused:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.server.counter.remove_connection(self.host)
        self.server.connections.discard(self)
        if self._stream_task is None and self.failure is not None:
            reason = self.failure if self.settings_received else "the peer does not speak HTTP/2"
            self.server.refusals.write(self.address, reason, kind="http2")
        super().connection_lost(exc)

    async def drain(self) -> None:
        """Wait for the stream to end, then close the connection once all is sent."""
        if self._stream_task is not None:
            await asyncio.wait([self._stream_task])
        await self.aclose()

    async def message_stream(self, stream: Call) -> None:
        """Serve the only stream of this connection."""
        if self._stream_task is not None:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "only one stream per connection")
        self._stream_task = asyncio.current_task()
        assert self._stream_task is not None
        self._stream_task.add_done_callback(lambda _: self._close_after(self.server.close_timeout, None))
        if self._timer is not None:
            self._timer.cancel()
        counter = self.server.counter
        if not counter.add_handshake(self.host):
            self.server.refusals.write(self.address, TOO_MANY_PENDING)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, TOO_MANY_PENDING)
        release = partial(counter.remove_handshake, self.host)
        inbound = InboundStream(
            stream, self.codec, self.address, release, proxied=self.proxied, onion=self.onion, network=self._network
        )
        try:
            await inbound.open()
            self.server.serve(inbound)
            await inbound.wait_closed()
        except StreamLost:
            await stream.cancel()
        finally:
            inbound.handshake_over()

    @property
    def _network(self) -> AddressNetwork | None:
        """The network that the peer comes from; ``None`` if its address tells it."""
        if self.onion:
            return AddressNetwork.ONION
        return self.server.proxied_network if self.proxied else None

    def _refuse_request(self, reason: str) -> None:
        self.server.refusals.write(self.address, reason, kind="request")
        if self._stream_task is None:
            self._close_after(self.server.close_timeout, None)

    def _close_after(self, seconds: float, reason: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.closing:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out, reason)

    def _time_out(self, reason: str | None) -> None:
        if reason is None:
            self.close()
        else:
            self.server.refusals.write(self.address, reason)
            self.abort()
