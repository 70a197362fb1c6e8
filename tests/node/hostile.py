"""A node built from settings, a good peer that stays connected, and a hostile one, on a network in memory.

The hostile peer dials the node, or is dialled by it: the same attack runs in both directions.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import structlog
from anyio.abc import TaskGroup
from grpclib.exceptions import StreamTerminatedError

from tests.node.nodes import NETWORK, PORT, at, dial_and_run, send_raw
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import MAX_MESSAGE_SIZE, ConnectionHandler
from ziggurat.node.handshake.handshake import OUTBOUND_LIMITS, Handshake
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.inbound.server import PeerServer
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.peer.router import MAX_QUEUED_BYTES
from ziggurat.node.peer.send_queue import SEND_QUEUE_BYTES
from ziggurat.node.testing import KaspaPeer, KaspaSession, MemoryNetwork
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.codec import LIMITS
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import StreamLost
from ziggurat.services import ConnectError
from ziggurat.services.channel.message_stream import MessageStream

Direction = Literal["inbound", "outbound"]

NODE, GOOD, BAD, NEW = "10.0.0.1", "10.0.0.2", "10.6.6.6", "10.0.0.3"
VERACK, READY = KaspadMessage(verack=p2p.VerackMessage()), KaspadMessage(ready=p2p.ReadyMessage())

MIB = 1024 * 1024

IN_WORK = LIMITS["requestTransactions"].size + 64 * LIMITS["requestTransactions"].entries
"""Bytes of the largest message that a flow can have in work, decoded."""

PEER_BOUND = 3 * MAX_MESSAGE_SIZE + MAX_QUEUED_BYTES + SEND_QUEUE_BYTES + IN_WORK
"""Bytes that one peer can make a node hold: a message, compressed, inflated and while it is put together, messages that
wait for flows, the send queue, and a message in work. 96 MiB by default, for messages of the largest size only."""

HANDSHAKE_BOUND = 4 * MIB
"""Bytes that one may cost who has not completed the handshake, including the attacker's own end in the process."""

FLOOD_BOUND = 24 * MIB
"""Bytes that a flood of small messages may cost, including the attacker's own queues in the same process."""

HELD_BOUND = 48 * MIB
"""Bytes of the events that one idle subscriber leaves unread."""

STORM_BOUND = 96 * MIB
"""Bytes of three hundred concurrent dialers, including their own ends in the same process."""

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Growth of the resident set, in bytes. It includes protobuf's memory, which Python's own counters miss."""

    grown = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure the block's peak memory; always 0 where there is no /proc."""
    measured = Peak()
    if not CLEAR_REFS.exists():
        yield measured
        return
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.mallopt(M_MMAP_THRESHOLD, 128 * 1024)  # or it grows, and large blocks that were freed may stay in the heap
        libc.malloc_trim(0)  # or memory that an earlier test has freed would be taken again, unmeasured
    CLEAR_REFS.write_text("5")  # resets the high-water mark
    before = _kilobytes("VmRSS")
    yield measured
    measured.grown = 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@contextmanager
def lost() -> Iterator[None]:
    """Turn grpclib's error for an ended stream into `StreamLost`."""
    try:
        yield
    except StreamTerminatedError as error:
        raise StreamLost(str(error)) from error


def version(*, network: str = NETWORK, id: bytes | None = None, protocol_version: int = 11) -> KaspadMessage:
    """Make a Version message with the given fields, valid or not."""
    message = Handshake(NodeIdentity(NETWORK).version(), OUTBOUND_LIMITS).begin(0.0)[0]
    message.version.network = network
    message.version.protocolVersion = protocol_version
    if id is not None:
        message.version.id = id
    return message


class HostilePeer:
    """The hostile peer's end of one connection."""

    def __init__(self, stream: OutboundStream | InboundStream, node_id: bytes, good_id: bytes) -> None:
        self.stream = stream
        self.node_id = node_id
        self.good_id = good_id
        self.heard: list[str] = []
        self.asked = 0  # the id of the node's request for addresses
        self.call: MessageStream = stream._call if isinstance(stream, OutboundStream) else stream._stream
        stream.lift_limits()

    async def send(self, *messages: KaspadMessage) -> None:
        for message in messages:
            await self.stream.send(message)

    async def complete_handshake(self) -> None:
        """Complete a proper handshake."""
        await self.send(version(), VERACK, READY)
        await anyio.sleep(1)

    async def send_raw(self, data: bytes, *, end: bool = False) -> None:
        """Send raw bytes on the stream."""
        with lost():
            await send_raw(self.call, data, end=end)

    async def ping_frames(self, count: int) -> None:
        """Send HTTP/2 PING frames, as fast as the node takes them."""
        protocol = self.call.protocol
        with lost():
            for _ in range(count):
                protocol.core.ping(b"01234567")
            protocol.flush()
            while not protocol.writable and self.call.stopped is None:
                await self.call._wait_for_room(for_window=False)

    def stop_reading(self) -> None:
        """Stop reading from the socket."""
        self.transport.pause_reading()

    def start_reading(self) -> None:
        self.transport.resume_reading()

    @property
    def transport(self) -> asyncio.Transport:
        transport = self.call.protocol._transport
        assert transport is not None
        return transport

    async def listen(self) -> None:
        """Read until the stream ends or is lost."""
        try:
            while (message := await self.stream.receive()) is not None:
                name = message.WhichOneof("payload") or ""
                if name == "requestAddresses":
                    self.asked = message.request_id
                self.heard.append(message.reject.reason if name == "reject" else name)
        except StreamLost:
            pass


Attack = Callable[[HostilePeer], Awaitable[None]]


class World:
    """The node, the good peer and the node's log.

    Attributes:
        service: the node.
        events: the node's log events.
        bad: the hostile peer, once it is connected.
    """

    def __init__(self, events: list[dict[str, Any]], tasks: TaskGroup) -> None:
        self.network = MemoryNetwork(32 * 1024)  # small, so that a peer that does not read is soon noticed
        self.events = events
        self.bad: HostilePeer | None = None
        self.kaspad = KaspaPeer(ping_interval=10.0)
        self.book = AddressManager(rng=random.Random(5))
        host = self.network.host(NODE)
        settings = Settings(appdir=Path("/unused"), network=DEVNET, outpeers=0)
        self.service = P2pService(
            settings, self.book, handler=ConnectionHandler(leaf=host), listener=host.listener(PORT)
        )
        self.good: KaspaSession
        self._tasks = tasks

    @property
    def adaptor(self) -> Any:
        return self.service.adaptor

    async def attack(self, direction: Direction, attack: Attack, *, reads: bool = True) -> None:
        """Connect the hostile peer, and return when its attack is done or its connection has ended.

        Args:
            direction: the direction as the node sees it.
            attack: the attack. Afterwards the connection stays open until the node or the end of the test closes it.
            reads: whether the peer reads what the node sends.
        """
        done = anyio.Event()

        async def serve(stream: OutboundStream | InboundStream) -> None:
            self.bad = HostilePeer(stream, self.adaptor.identity.id, self.kaspad.id)
            async with anyio.create_task_group() as tasks:
                if reads:
                    tasks.start_soon(self.bad.listen)
                try:
                    await attack(self.bad)
                except StreamLost:
                    pass
                done.set()
            if not reads:
                await anyio.sleep_forever()

        if direction == "inbound":
            self._tasks.start_soon(self._dial, serve, done)
        else:
            await self._wait_for_a_dial(serve)
        with anyio.fail_after(1000):
            await done.wait()

    async def _dial(self, serve: Callable[[OutboundStream], Awaitable[None]], done: anyio.Event) -> None:
        try:
            await dial_and_run(ConnectionHandler(leaf=self.network.host(BAD), compression="gzip"), at(NODE), serve)
        except ConnectError:
            done.set()

    async def _wait_for_a_dial(self, serve: Callable[[InboundStream], Awaitable[None]]) -> None:
        def accepted(stream: InboundStream) -> None:
            self._tasks.start_soon(run, stream)

        async def run(stream: InboundStream) -> None:
            try:
                await serve(stream)
            finally:
                stream.handshake_over()
                stream.finish()

        listener = PeerServer(
            self.network.host(BAD).listener(PORT),
            ConnectionCounter(InboundLimits(), lambda: False),
            accepted,
            max_message_size=MAX_MESSAGE_SIZE,
            compression="gzip",
        )
        await listener.start()
        self.service.manager.add_request(at(BAD), permanent=False)

    @property
    def bad_is_connected(self) -> bool:
        return any(str(peer.address.ip) == BAD for peer in self.adaptor.peers())

    @property
    def _has_bad(self) -> bool:
        connected = any(str(router.address.ip) == BAD for router in self.adaptor._routers)
        return connected or bool(self.adaptor._handshakes)

    async def wait_dropped(self) -> float:
        """Wait until the node has dropped the hostile peer, and return how many seconds that took."""
        started = anyio.current_time()
        with anyio.fail_after(600):
            while self._has_bad:  # noqa: ASYNC110
                await anyio.sleep(0.1)  # virtual time
        took = anyio.current_time() - started
        await anyio.sleep(3)  # closing a dialled stream, and then logging it, take up to two
        return took

    def logged_reasons(self, event: str) -> list[str]:
        """Return the logged reasons of this event for the hostile peer."""
        return [
            str(line["reason"]) for line in self.events if line["event"] == event and str(line["peer"]).startswith(BAD)
        ]

    async def check_still_connected(self) -> None:
        """Check that the node keeps the hostile peer, which has broken no rule."""
        await anyio.sleep(5)
        assert self.bad_is_connected, self.logged_reasons("peer.disconnected")

    async def check_undisturbed(self) -> None:
        """Check that the good peer is connected, that pings pass both ways, and that a new peer can connect."""
        answered = self.good.pongs
        await anyio.sleep(125)  # the node pings every two minutes
        assert not self.good.closed.is_set(), self.good.reason
        assert self.good.pongs >= answered + 12
        [mine] = [peer for peer in self.adaptor.peers() if str(peer.address.ip) == GOOD]
        assert mine.ping is not None
        another = KaspaPeer()
        async with another.run():
            session = await another.dial(at(NODE), self.network.host(NEW))
            with anyio.fail_after(5):
                await session.ready.wait()
        assert not [line for line in self.events if line["event"] in ("flow.failed", "dial.crashed")]


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Run the node and the good peer for the length of the block."""
    with structlog.testing.capture_logs() as events:
        async with anyio.create_task_group() as tasks:
            running = World(events, tasks)  # type: ignore[arg-type]
            async with running.kaspad.run(), running.service:
                tasks.start_soon(running.service.run)
                running.good = await running.kaspad.dial(at(NODE), running.network.host(GOOD))
                await running.good.ready.wait()
                yield running
                tasks.cancel_scope.cancel()
