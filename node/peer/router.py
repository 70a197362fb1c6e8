"""One connection: what comes is dealt out to flows, what flows send goes out in order, and it is closed once.

A message with a ``response_id`` goes to the route of that number, any other to the route that took its type. One for
which there is no route closes the connection without a word, as kaspad does it; so does one that finds its route full.

Bounds, for each connection: `ROUTE_CAPACITY` messages a route, `MAX_HELD` bytes in all routes together (beside one
message each), `SEND_QUEUE_MESSAGES` messages and `SEND_QUEUE_BYTES` to be sent, and a peer that takes nothing for
`SEND_TIMEOUT` seconds is closed.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ziggurat.layers.events import write_event
from ziggurat.node.peer.info import Direction, PeerAddress, PeerInfo
from ziggurat.node.peer.route import Flow, FlowError, PeerClosed, Route, RouteFull, WhenFull
from ziggurat.node.peer.send_queue import SendQueue
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, RejectMessage
from ziggurat.node.wire.stream import MessageStream, StreamLost
from ziggurat.services.errors import one_line
from ziggurat.services.ledger import Ledger

__all__ = ["Flow", "Router"]

ROUTE_CAPACITY = 256
"""Messages, as at kaspad: a flow that is so far behind will not catch up."""

MAX_HELD = 32 * 1024 * 1024
"""Bytes that wait in all routes of a connection, the first message of each aside: one message of the largest size."""

READS_PER_YIELD = 32
"""Messages after which the reader lets others run, so that a flood does not fill a queue that is being emptied."""

DRAIN_TIMEOUT = 1.0
"""Seconds for flows to deal with what came before the peer's end: a Reject, above all."""

FLUSH_TIMEOUT = 1.0
"""Seconds for our last messages to go out."""

SEND_TIMEOUT = 120.0
"""Seconds in which one message has to be is_subscribed: kaspad's patience with an answer."""

STALL_CHECK_INTERVAL = 30.0
"""Seconds between two looks at whether the peer takes what we send."""

_route_ids = itertools.count(1)


class Router:
    """One connection, from the open stream to its end. `run` carries it; everything else is for flows.

    Args:
        stream: belongs to the router from now on.
        address: where the peer was dialled, or where it came from.
        direction: who dialled.
        via: the proxy in between; ``None`` when there is none.

    Attributes:
        info: who the peer is; ``None`` before the handshake is done.
        ping: seconds of the last round trip; ``None`` before there was one.
        reason: why it was closed; ``None`` while it was not.
        closed: set when nothing is left of it.
        on_close: called once, when it is closed, with the reason; at once, before our last messages are out.
        ledger: the record of the dial; ``None`` for an inbound peer.
    """

    def __init__(
        self, stream: MessageStream, address: PeerAddress, direction: Direction, via: str | None = None
    ) -> None:
        self.address = address
        self.direction: Direction = direction
        self.via = via
        self.info: PeerInfo | None = None
        self.ping: float | None = None
        self.reason: str | None = None
        self.closed = anyio.Event()
        self.on_close: Callable[[str], None] | None = None
        self.ledger: Ledger | None = None
        self._stream = stream
        self._by_type: dict[str, Route] = {}
        self._by_id: dict[int, Route] = {}
        self._outgoing = SendQueue()
        self._closing = anyio.Event()
        self._idle = anyio.Event()
        self._waiting = self._held = 0
        self._tasks: TaskGroup | None = None
        self._pending: list[Flow] = []
        stream.expect(lambda name, response_id: self._route(name, response_id) is not None)

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
        route = Route(next(_route_ids) & 0xFFFFFFFF, frozenset(types), capacity, when_full, self._hold)
        self._by_id[route.id] = route
        for name in types:
            self._by_type[name] = route
        if self.reason is not None:
            route.close(self.reason)
        return route

    def unsubscribe(self, route: Route) -> list[KaspadMessage]:
        """Give a route up, as if it had never been; return what waited in it. Its types can be is_subscribed again."""
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

    def launch(self, flow: Flow) -> None:
        """Let a flow talk, from now to the end of the connection."""
        if self._tasks is None:
            self._pending.append(flow)
        else:
            self._tasks.start_soon(self._talk, flow)

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
            self._outgoing.put_last(KaspadMessage(reject=RejectMessage(reason=reject)))
        self._outgoing.close()
        for route in self._by_id.values():
            route.close(self.reason)
        self._closing.set()
        if self.on_close is not None:
            self.on_close(self.reason)

    async def run(self) -> None:
        """Carry the connection until it is closed; a cancellation closes it. To be run once, in a task of its own."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._read)
                tasks.start_soon(self._write)
                for flow in self._pending:
                    tasks.start_soon(self._talk, flow)
                await self._watch()
                with anyio.move_on_after(FLUSH_TIMEOUT):
                    await self._outgoing.sent()
                tasks.cancel_scope.cancel()

    async def _end(self) -> None:
        self.close("we are stopping")
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
        for route in self._by_id.values():
            route.drain()
        self.closed.set()

    async def _watch(self) -> None:
        while not self._closing.is_set():
            with anyio.move_on_after(STALL_CHECK_INTERVAL):
                await self._closing.wait()
            if self._outgoing.stalled(SEND_TIMEOUT):
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
            while self._waiting:
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
        if self._held > MAX_HELD:
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

    async def _talk(self, flow: Flow) -> None:
        await contain(flow.run, self)

    def _hold(self, messages: int, size: int) -> None:
        self._waiting += messages
        self._held += size
        if not self._waiting:
            self._idle.set()

    def __repr__(self) -> str:
        return f"Router({self.direction} {self.address}{', closed' if self.reason is not None else ''})"


async def contain(talk: Callable[[], Awaitable[None]], router: Router) -> None:
    """Run a flow; what it raises ends this connection and no other."""
    try:
        await talk()
    except PeerClosed:
        pass
    except (FlowError, ConversionError) as error:
        router.close(f"we rejected the peer: {error}", reject=str(error))
    except Exception as error:
        # A defect of a flow, perhaps a user's: the peer is told nothing of it.
        write_event(None, "warning", "flow.failed", peer=str(router.address), error=one_line(repr(error)))
        router.close(f"a flow failed: {type(error).__name__}")
