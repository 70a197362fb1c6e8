"""The connection to one peer: received messages go to the flows' routes, sent ones leave in order.

A message with a ``response_id`` goes to the route with that id, any other to the route that subscribed to its type. A
message without a route closes the connection silently, as at kaspad; so does one whose route is full.

Bounds of one connection: `ROUTE_CAPACITY`, `MAX_QUEUED_BYTES`, `SEND_QUEUE_MESSAGES`, `SEND_QUEUE_BYTES`,
`SEND_TIMEOUT`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ziggurat.layers.events import write_event
from ziggurat.node.address import PeerAddress
from ziggurat.node.peer.info import Direction, PeerInfo
from ziggurat.node.peer.route import Flow, FlowError, PeerClosed, Route, RouteFull, WhenFull
from ziggurat.node.peer.send_queue import SendQueue
from ziggurat.node.wire import ConversionError, KaspadMessage, MessageStream, RejectMessage, StreamLost
from ziggurat.services.errors import one_line
from ziggurat.services.ledger import Ledger

__all__ = ["Flow", "Router"]

ROUTE_CAPACITY = 256
"""Messages, as at kaspad: a flow that is so far behind will not catch up."""

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""Bytes that wait in all routes of a connection, the first message of each aside: one message of the largest size."""

READS_PER_YIELD = 32
"""Messages after which the reader lets other tasks run, so that a flood does not fill a queue that is being emptied."""

DRAIN_TIMEOUT = 1.0
"""Seconds for flows to deal with what came before the peer's end: a Reject, above all."""

FLUSH_TIMEOUT = 1.0
"""Seconds for our last messages to go out."""

SEND_TIMEOUT = 120.0
"""Seconds within which the peer has to take a message: kaspad's limit for an answer."""

STALL_CHECK_INTERVAL = 30.0
"""Seconds between two looks at whether the peer takes what we send."""

_route_ids = itertools.count(1)


class Router:
    """One connection, from the handshake to its end. `run` carries it; everything else is for flows.

    Args:
        stream: its handshake is done. It belongs to the router from now on.
        info: the peer.
        ledger: the record of the dial; ``None`` for an inbound peer.
        on_close: called once with the router and the reason, as soon as it is closed and before our last messages are
            out.

    Attributes:
        info: the peer, with its last ping.
        ledger: see above.
        reason: why it was closed; ``None`` while it is open.
        closed: set when nothing is left of it.
    """

    def __init__(
        self,
        stream: MessageStream,
        info: PeerInfo,
        *,
        ledger: Ledger | None = None,
        on_close: Callable[[Router, str], None] | None = None,
    ) -> None:
        self.info = info
        self.ledger = ledger
        self.reason: str | None = None
        self.closed = anyio.Event()
        self._on_close = on_close
        self._stream = stream
        self._by_type: dict[str, Route] = {}
        self._by_id: dict[int, Route] = {}
        self._outgoing = SendQueue()
        self._closing = anyio.Event()
        self._idle = anyio.Event()
        self._queued_messages = self._queued_bytes = 0
        self._tasks: TaskGroup | None = None
        self._unstarted: list[Flow] = []
        stream.expect(lambda name, response_id: self._route(name, response_id) is not None)

    @property
    def address(self) -> PeerAddress:
        """Where the peer was dialled, or where it came from."""
        return self.info.address

    @property
    def direction(self) -> Direction:
        """Which side dialled."""
        return self.info.direction

    # -- for flows

    def subscribe(self, *types: str, capacity: int = ROUTE_CAPACITY, when_full: WhenFull = "close") -> Route:
        """Take messages of these types, and answers that carry the route's id.

        Args:
            *types: names of payloads as in the schema, e.g. ``ping``; none at all makes a route for answers by id.
            capacity: messages that may wait.
            when_full: ``close`` ends the connection with a peer that sends more, ``drop`` drops it.

        Raises:
            ValueError: there is no such type, or another flow has it.
        """
        for name in types:
            if name not in KaspadMessage.DESCRIPTOR.fields_by_name or name.endswith("_id"):
                raise ValueError(f"there is no message type {name!r}")
            if self.is_subscribed(name):
                raise ValueError(f"another flow has the message type {name!r}")
        route = Route(next(_route_ids) & 0xFFFFFFFF, frozenset(types), capacity, when_full, self._count_queued)
        self._by_id[route.id] = route
        for name in types:
            self._by_type[name] = route
        if self.reason is not None:
            route.close(self.reason)
        return route

    def unsubscribe(self, route: Route) -> list[KaspadMessage]:
        """Remove a route and return what waited in it. Other flows can subscribe to its types again."""
        self._by_id.pop(route.id, None)
        for name in route.types:
            if self._by_type.get(name) is route:
                del self._by_type[name]
        return route.drain()

    def is_subscribed(self, name: str) -> bool:
        """Whether a flow has this type."""
        return name in self._by_type

    async def send(self, message: KaspadMessage) -> None:
        """Send a message; wait while too much waits to be sent.

        Raises:
            PeerClosed: the connection is over.
        """
        if self.reason is not None or not await self._outgoing.put(message):
            raise PeerClosed(self.reason or "closed")

    def post(self, message: KaspadMessage) -> bool:
        """Send a message if there is room, at once; ``False`` when it was dropped."""
        return self.reason is None and self._outgoing.put_nowait(message)

    async def answer(self, request: KaspadMessage, reply: KaspadMessage) -> None:
        """Send ``reply`` to where ``request`` wants it.

        Raises:
            PeerClosed: the connection is over.
        """
        reply.response_id = request.request_id
        await self.send(reply)

    def record_ping(self, seconds: float) -> None:
        """Note the round trip of the last ping."""
        self.info = dataclasses.replace(self.info, ping=seconds)

    def start_flow(self, flow: Flow) -> None:
        """Let a flow talk, from now to the end of the connection."""
        if self._tasks is None:
            self._unstarted.append(flow)
        else:
            self._tasks.start_soon(self._run_flow, flow)

    # -- life

    def close(self, reason: str, *, reject: str | None = None) -> None:
        """Close the connection; only the first call has an effect, and it does not wait.

        Args:
            reason: for our log and our user.
            reject: the text of a Reject that the peer gets first; ``None`` leaves without a word.
        """
        if self.reason is not None:
            return
        self.reason = one_line(reason)
        if reject is not None:
            self._outgoing.force_put(KaspadMessage(reject=RejectMessage(reason=reject)))
        self._outgoing.close()
        for route in self._by_id.values():
            route.close(self.reason)
        self._closing.set()
        if self._on_close is not None:
            self._on_close(self, self.reason)

    async def run(self) -> None:
        """Carry the connection until it is closed; a cancellation closes it. To be run once, in a task of its own."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._read)
                tasks.start_soon(self._write)
                for flow in self._unstarted:
                    tasks.start_soon(self._run_flow, flow)
                await self._wait_until_closed()
                with anyio.move_on_after(FLUSH_TIMEOUT):
                    await self._outgoing.wait_sent()
                tasks.cancel_scope.cancel()

    async def _end(self) -> None:
        self.close("we are stopping")
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
        for route in self._by_id.values():
            route.drain()
        self.closed.set()

    async def _wait_until_closed(self) -> None:
        while not self._closing.is_set():
            with anyio.move_on_after(STALL_CHECK_INTERVAL):
                await self._closing.wait()
            if self._outgoing.is_stalled(SEND_TIMEOUT):
                self.close(f"the peer has not read for {SEND_TIMEOUT:g} s")

    async def _read(self) -> None:
        reason = "the peer ended the connection"
        try:
            for count in itertools.count(1):
                message = await self._stream.receive()
                if message is None:
                    break
                if not self._deliver(message):
                    return
                if count % READS_PER_YIELD == 0:
                    await checkpoint()
        except StreamLost as error:
            reason = str(error)
        # What came before the end may say more about it than the end does.
        with anyio.move_on_after(DRAIN_TIMEOUT):
            while self._queued_messages:
                self._idle = anyio.Event()
                await self._idle.wait()
        self.close(reason)

    def _deliver(self, message: KaspadMessage) -> bool:
        payload = message.WhichOneof("payload")
        route = self._route(payload or "", message.response_id)
        if payload is None or route is None:
            self.close(f"nobody waits for the message {payload or 'without a known payload'}")
            return False
        try:
            route.put(message)
        except RouteFull:
            self.close(f"too many messages at once: {payload}")
            return False
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self.close(f"too many bytes at once: {payload}")
            return False
        return True

    def _route(self, name: str, response_id: int) -> Route | None:
        return self._by_id.get(response_id) if response_id else self._by_type.get(name)

    async def _write(self) -> None:
        try:
            async for message in self._outgoing:
                await self._stream.send(message)
        except StreamLost as error:
            # The peer may have said why before it went: the reader will tell, or notice the end.
            self._outgoing.fail()
            with anyio.move_on_after(DRAIN_TIMEOUT):
                await self._closing.wait()
            self.close(str(error))

    async def _run_flow(self, flow: Flow) -> None:
        """Run a flow; what it raises ends this connection and no other."""
        try:
            await flow.run()
        except PeerClosed:
            pass
        except (FlowError, ConversionError) as error:
            self.close(f"we rejected the peer: {error}", reject=str(error))
        except Exception as error:
            # A defect of a flow, perhaps a user's: the peer is not told.
            write_event(None, "warning", "flow.failed", peer=str(self.address), error=one_line(repr(error)))
            self.close(f"a flow failed: {type(error).__name__}")

    def _count_queued(self, messages: int, size: int) -> None:
        self._queued_messages += messages
        self._queued_bytes += size
        if not self._queued_messages:
            self._idle.set()

    def __repr__(self) -> str:
        return f"Router({self.direction} {self.address}{', closed' if self.reason is not None else ''})"
