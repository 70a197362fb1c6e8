"""The connection to one peer: passes received messages to the flows' routes, and sends messages in order.

A message with a ``response_id`` goes to the route with that id, any other to the route that subscribed to its type. A
message without a route, or whose route is full, closes the connection without a Reject, as in kaspad.

Limits of a connection: `ROUTE_CAPACITY`, `MAX_QUEUED_BYTES`, `SEND_QUEUE_MESSAGES`, `SEND_QUEUE_BYTES`, `SEND_TIMEOUT`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack

import anyio
from anyio.lowlevel import checkpoint

from ziggurat.layers.events import write_event
from ziggurat.node.address import PeerAddress
from ziggurat.node.peer.info import Direction, PeerInfo
from ziggurat.node.peer.route import Flow, FlowError, PeerClosed, Route, RouteFull, WhenFull
from ziggurat.node.peer.routes import Routes
from ziggurat.node.peer.send_queue import SendQueue
from ziggurat.node.peer.task_group import TaskGroup
from ziggurat.node.peer.turns import Turns
from ziggurat.node.wire import ConversionError, KaspadMessage, MessageStream, RejectMessage, StreamLost
from ziggurat.services.errors import one_line
from ziggurat.services.ledger import Ledger
from ziggurat.services.signal import Signal

__all__ = ["Flow", "Router"]

ROUTE_CAPACITY = 256
"""Messages per route, as in kaspad: a flow that is this far behind will not catch up."""

MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""Bytes of memory that the messages in all routes of a connection take together. One alone may take more."""

READS_PER_YIELD = 32
"""Messages after which the reader lets other tasks run, so that a burst does not fill a queue that is being read."""

DRAIN_TIMEOUT = 1.0
"""Seconds for flows to process messages, above all a Reject, that arrived before the peer closed the connection."""

FLUSH_TIMEOUT = 1.0
"""Seconds for sending the queued messages when the connection is closed."""

SEND_TIMEOUT = 120.0
"""Seconds in which the peer must read a message; kaspad's limit for a response."""

STALL_CHECK_INTERVAL = 30.0
"""Seconds between checks that the peer reads what we send."""


class Router:
    """One connection after its handshake. `run` reads and writes it; flows use the other methods.

    Args:
        stream: the peer's stream. The router closes it.
        info: the peer's record.
        ledger: the record of the dial; ``None`` for an inbound peer.
        turns: the turns that all connections on the event loop share; ``None`` for turns of its own.
        on_close: called once with the router and the reason, when the connection is being closed and before the queued
            messages are sent.

    Attributes:
        info: the peer's record, with its last ping.
        ledger: the record of the dial; ``None`` for an inbound peer.
        reason: why the connection was closed; ``None`` while it is open.
        closed: set when the stream is closed and all tasks have ended.
    """

    def __init__(
        self,
        stream: MessageStream,
        info: PeerInfo,
        *,
        ledger: Ledger | None = None,
        turns: Turns | None = None,
        on_close: Callable[[Router, str], None] | None = None,
    ) -> None:
        self.info = info
        self.ledger = ledger
        self.reason: str | None = None
        self.closed = Signal()
        self._on_close = on_close
        self._stream = stream
        self._turns = turns or Turns()
        self._routes = Routes(self._turns)
        self._outgoing = SendQueue()
        self._closing = Signal()
        self._tasks: TaskGroup | None = None
        self._unstarted: list[Flow] = []
        stream.expect(self._routes.wants)

    @property
    def address(self) -> PeerAddress:
        """The address that was dialled, or that an inbound peer came from."""
        return self.info.address

    @property
    def direction(self) -> Direction:
        """Which side dialled."""
        return self.info.direction

    # -- for flows

    def subscribe(
        self,
        *types: str,
        answers: Collection[str] | None = None,
        capacity: int = ROUTE_CAPACITY,
        when_full: WhenFull = "close",
    ) -> Route:
        """Return a route that receives messages of these types, and responses to the route's id.

        Args:
            *types: names of payloads in the schema, e.g. ``ping``; without any, the route receives only responses.
            answers: names of the payloads that responses to the route's id may have. Of a response of another type,
                unless it is small, only the type is received. ``None`` means ``types``, or any without those.
            capacity: the maximum number of queued messages.
            when_full: what happens to further messages: ``close`` closes the connection, ``drop`` drops them.

        Raises:
            ValueError: a type is unknown, or another flow has subscribed to it.
        """
        route = self._routes.add(types, answers, capacity, when_full)
        if self.reason is not None:
            route.close(self.reason)
        return route

    def unsubscribe(self, route: Route) -> list[KaspadMessage]:
        """Remove a route and return the messages queued in it. Other flows can subscribe to its types again."""
        self._routes.remove(route)
        return route.drain()

    def is_subscribed(self, name: str) -> bool:
        """Return whether a flow has subscribed to this type."""
        return name in self._routes

    async def send(self, message: KaspadMessage) -> None:
        """Queue a message to be sent; wait while the send queue is full.

        Raises:
            PeerClosed: the connection is closed.
        """
        await self._turns.take()
        if self.reason is not None or not await self._outgoing.put(message):
            raise PeerClosed(self.reason or "closed")

    def post(self, message: KaspadMessage) -> bool:
        """Queue a message without waiting; return ``False`` if the queue is full or the connection is closed."""
        return self.reason is None and self._outgoing.put_nowait(message)

    async def answer(self, request: KaspadMessage, reply: KaspadMessage) -> None:
        """Send ``reply`` as the response to ``request``.

        Raises:
            PeerClosed: the connection is closed.
        """
        reply.response_id = request.request_id
        await self.send(reply)

    async def take_turn(self) -> None:
        """Let others use the event loop, if they wait for it; a flow calls it now and then in a long computation.

        `Route.receive` and `send` do so, too.
        """
        await self._turns.take()

    def record_ping(self, seconds: float) -> None:
        """Store the round trip time of the last ping."""
        self.info = dataclasses.replace(self.info, ping=seconds)

    def start_flow(self, flow: Flow) -> None:
        """Run a flow in a task of the connection, once `run` is called."""
        if self._tasks is None:
            self._unstarted.append(flow)
        else:
            self._tasks.start(self._run_flow(flow))

    # -- life

    def close(self, reason: str, *, reject: str | None = None) -> None:
        """Start closing the connection, without waiting. Only the first call has an effect.

        Args:
            reason: the reason for our log and for events.
            reject: the text of a Reject to send first; ``None`` sends none.
        """
        if self.reason is not None:
            return
        self.reason = one_line(reason)
        if reject is not None:
            self._outgoing.force_put(KaspadMessage(reject=RejectMessage(reason=reject)))
        self._outgoing.close()
        for route in self._routes:
            route.close(self.reason)
        self._closing.set()
        if self._on_close is not None:
            self._on_close(self, self.reason)

    async def run(self) -> None:
        """Read, write and run the flows until the connection is closed. Call once; cancelling closes the connection."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            async with TaskGroup() as tasks:
                self._tasks = tasks
                tasks.start(self._read())
                tasks.start(self._write())
                for flow in self._unstarted:
                    tasks.start(self._run_flow(flow))
                await self._wait_until_closed()
                with anyio.move_on_after(FLUSH_TIMEOUT):
                    await self._outgoing.wait_sent()
                tasks.cancel()

    async def _end(self) -> None:
        self.close("we are stopping")
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
        for route in self._routes:
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
                if not self._deliver(message, self._stream.cost):
                    return
                if count % READS_PER_YIELD == 0:
                    await checkpoint()
                await self._turns.take()
        except StreamLost as error:
            reason = str(error)
        # Queued messages may hold a better reason, such as a Reject.
        with anyio.move_on_after(DRAIN_TIMEOUT):
            await self._routes.wait_empty()
        self.close(reason)

    def _deliver(self, message: KaspadMessage, cost: int) -> bool:
        payload = message.WhichOneof("payload")
        route = self._routes.find(payload or "", message.response_id)
        if payload is None or route is None:
            self.close(f"unexpected message: {payload or 'no known payload'}")
            return False
        fits = not self._routes.messages or self._routes.cost + cost <= MAX_QUEUED_BYTES
        try:
            route.put(message, cost) if fits else route.refuse()
        except RouteFull:
            self.close(f"too many {'messages' if fits else 'bytes'} at once: {payload}")
            return False
        return True

    async def _write(self) -> None:
        try:
            async for message in self._outgoing:
                await self._turns.take()
                await self._stream.send(message)
        except StreamLost as error:
            # The peer may have sent a Reject before it left: give the reader time to find it.
            self._outgoing.fail()
            with anyio.move_on_after(DRAIN_TIMEOUT):
                await self._closing.wait()
            self.close(str(error))

    async def _run_flow(self, flow: Flow) -> None:
        """Run a flow. Its errors close this connection only."""
        try:
            await flow.run()
        except PeerClosed:
            pass
        except (FlowError, ConversionError) as error:
            self.close(f"we rejected the peer: {error}", reject=str(error))
        except Exception as error:
            # A bug in a flow, perhaps a user's, is not the peer's fault: send no Reject.
            write_event(None, "warning", "flow.failed", peer=str(self.address), error=one_line(repr(error)))
            self.close(f"a flow failed: {type(error).__name__}")

    def __repr__(self) -> str:
        return f"Router({self.direction} {self.address}{', closed' if self.reason is not None else ''})"
