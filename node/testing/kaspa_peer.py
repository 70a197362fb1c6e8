"""A peer whose connections behave like kaspad 2.1.0's, for demos and tests.

It was written from observation and shares no logic with the node: its handshake uses kaspad's tasks and timers, not our
state table. It is as strict as kaspad: an unexpected message or a full queue closes the connection without a Reject.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import TaskGroup

from ziggurat.node.address import NetAddress, PeerAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake import closing_with_reject
from ziggurat.node.inbound import ConnectionCounter, InboundLimits, InboundStream, Listener, PeerServer, TcpListener
from ziggurat.node.testing.kaspa_session import KaspaSession
from ziggurat.node.wire import Block, MessageStream, StreamLost, VersionMessage
from ziggurat.services.service import Connector

__all__ = ["KaspaPeer"]

LOOPBACK = NetAddress.parse("127.0.0.1:0")

CLOSE_TIMEOUT = 3600.0
"""Seconds: kaspad ends only the stream, and leaves closing the connection to the dialer."""

MAX_MESSAGE_SIZE = 256 * 1024 * 1024
"""Bytes, as in kaspad."""


class KaspaPeer:
    """An embedded kaspad. Enter ``async with peer.run():``, and within it `listen`, `dial`, or both.

    Args:
        network: the network in its Version.
        user_agent: the user agent in its Version.
        protocol_version: the protocol version in its Version.
        id: the id in its Version, 16 bytes; ``None`` takes a random one.
        addresses: the addresses that it knows at the start, and sends to peers on request.
        ping_interval: seconds between pings.
        refused_user_agent: a regular expression for user agents to refuse, as with ``--ua-rule``.

    Attributes:
        addresses: the addresses that it knows.
        sessions: the sessions of all connections so far, ended ones included.
        known: the sessions whose handshake is done, by id and host.
        banned: the IP addresses that it refuses inbound connections from, as after a ban by RPC.
        blocks: the blocks that it serves, by hash. The last one is announced to each new peer.
    """

    def __init__(
        self,
        network: str = "kaspa-devnet",
        *,
        user_agent: str = "/kaspad:2.1.0/kaspad:2.1.0/",
        protocol_version: int = 11,
        id: bytes | None = None,
        addresses: Sequence[NetAddress] = (),
        ping_interval: float = 120.0,
        refused_user_agent: str | None = None,
    ) -> None:
        self.network = network
        self.user_agent = user_agent
        self.protocol_version = protocol_version
        self.id = uuid.uuid4().bytes if id is None else id
        self.addresses = list(addresses)
        self.ping_interval = ping_interval
        self.refused_user_agent = refused_user_agent
        self.sessions: list[KaspaSession] = []
        self.known: dict[tuple[bytes, str], KaspaSession] = {}
        self.banned: set[str] = set()
        self.blocks: dict[bytes, Block] = {}
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[KaspaPeer, None]:
        """Run the peer for the length of an ``async with`` block; leaving it closes all connections."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield self
            finally:
                for session in self.sessions:
                    session.close("the peer is stopping")
                with anyio.move_on_after(3, shield=True):
                    for session in self.sessions:
                        await session.closed.wait()
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def listen(self, listener: Listener | None = None) -> AsyncGenerator[NetAddress, None]:
        """Accept connections for the length of an ``async with`` block; by default on a free port on loopback."""
        limits = InboundLimits(per_address=None)
        server = PeerServer(
            listener or TcpListener(LOOPBACK),
            ConnectionCounter(limits, lambda: False),
            self._serve,
            max_message_size=MAX_MESSAGE_SIZE,
            compression="gzip",  # for clients that accept it
            close_timeout=CLOSE_TIMEOUT,
        )
        try:
            address = await server.start()
            assert address is not None  # it has a listener
            yield address
        finally:
            for session in self.sessions:
                if session.inbound:
                    session.close("the peer stopped listening")
            await server.aclose()

    async def dial(self, address: PeerAddress, leaf: Connector | None = None) -> KaspaSession:
        """Dial a node, as for ``--addpeer``. Returns when the stream is open; the handshake follows."""
        # Like kaspad, compress everything and send nothing before the response headers.
        stream = await ConnectionHandler(leaf=leaf, compression="gzip").connect(address)
        async with closing_with_reject(stream):
            await stream.open()
            return self._start_session(stream, address, inbound=False)

    async def announce(self, block: Block) -> None:
        """Serve a block from now on, and announce it to all peers whose handshake is done."""
        self.blocks[block.header.hash] = block
        for session in list(self.known.values()):
            with suppress(StreamLost):
                await session.announce(block.header.hash)

    def version(self) -> VersionMessage:
        """Return the Version that it sends."""
        return VersionMessage(
            protocolVersion=self.protocol_version,
            timestamp=time.time_ns() // 1_000_000,
            id=self.id,
            userAgent=self.user_agent,
            network=self.network,
        )

    def learn(self, address: NetAddress) -> None:
        """Add an address from a peer, unless it is loopback or unspecified."""
        if address not in self.addresses and not (address.ip.is_loopback or address.ip.is_unspecified):
            self.addresses.append(address)

    def _serve(self, stream: InboundStream) -> None:
        self._start_session(stream, stream.address, inbound=True, handshake_over=stream.handshake_over)

    def _start_session(
        self,
        stream: MessageStream,
        address: PeerAddress,
        *,
        inbound: bool,
        handshake_over: Callable[[], None] | None = None,
    ) -> KaspaSession:
        if self._tasks is None:
            raise RuntimeError("the peer is not running")
        host = address.host
        session = KaspaSession(self, stream, host, inbound=inbound, handshake_over=handshake_over)
        self.sessions.append(session)
        self._tasks.start_soon(session.run)
        return session
