"""A peer that behaves like kaspad 2.1.0, so far as its connections go: for demonstrations and for tests.

It was written from observation, apart from the node: its handshake is kaspad's tasks and timers, not our state table.
It is as strict: what nobody waits for, and what does not fit into its queues, closes the connection without a word.
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
"""Seconds: kaspad ends the stream, and leaves the connection to whoever made it."""

MAX_MESSAGE_SIZE = 256 * 1024 * 1024
"""Bytes, as kaspad has it."""


class KaspaPeer:
    """One kaspad. ``async with peer.run():``, and in there `listen`, `dial`, or both.

    Args:
        network: as in its Version.
        user_agent: as in its Version.
        protocol_version: as in its Version.
        id: 16 bytes; ``None`` makes them up.
        addresses: what it tells who asks, besides what it has been told.
        ping_interval: seconds.
        refused_user_agent: a regular expression: whoever calls itself so is refused, as by ``--ua-rule``.

    Attributes:
        addresses: what it knows.
        sessions: of all connections so far, also those that have ended.
        known: peers that are through the handshake.
        banned: IP addresses that are refused when they dial, as after a ban by RPC.
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
        """Run it for the length of an ``async with`` block; leaving closes its connections."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield self
            finally:
                for session in self.sessions:
                    session.close("it stops")
                with anyio.move_on_after(3, shield=True):
                    for session in self.sessions:
                        await session.closed.wait()
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def listen(self, listener: Listener | None = None) -> AsyncGenerator[NetAddress, None]:
        """Accept connections for the length of an ``async with`` block; ``None`` takes a free port on loopback."""
        limits = InboundLimits(per_address=None)
        server = PeerServer(
            listener or TcpListener(LOOPBACK),
            ConnectionCounter(limits, lambda: False),
            self._serve,
            proxied=False,
            max_message_size=MAX_MESSAGE_SIZE,
            compression="gzip",  # for clients that say they take it
            close_timeout=CLOSE_TIMEOUT,
        )
        try:
            yield await server.start()
        finally:
            for session in self.sessions:
                if session.inbound:
                    session.close("it stops listening")
            await server.aclose()

    async def dial(self, address: PeerAddress, leaf: Connector | None = None) -> KaspaSession:
        """Dial a node, as for an ``--addpeer``. Returns when the stream is open; the handshake follows."""
        # It compresses everything, and sends nothing before the response headers.
        stream = await ConnectionHandler(leaf=leaf, compression="gzip").connect(address)
        async with closing_with_reject(stream):
            await stream.open()
            return self._start_session(stream, address, inbound=False)

    async def announce(self, block: Block) -> None:
        """Serve a block from now on, and announce it to all peers that are through the handshake."""
        self.blocks[block.header.hash] = block
        for session in list(self.known.values()):
            with suppress(StreamLost):
                await session.announce(block.header.hash)

    def version(self) -> VersionMessage:
        """What it says of itself."""
        return VersionMessage(
            protocolVersion=self.protocol_version,
            timestamp=time.time_ns() // 1_000_000,
            id=self.id,
            userAgent=self.user_agent,
            network=self.network,
        )

    def learn(self, address: NetAddress) -> None:
        """Take up an address that a peer has told, unless it is loopback or none at all."""
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
        host = str(address.ip) if isinstance(address, NetAddress) else address.name
        session = KaspaSession(self, stream, host, inbound=inbound, handshake_over=handshake_over)
        self.sessions.append(session)
        self._tasks.start_soon(session.run)
        return session
