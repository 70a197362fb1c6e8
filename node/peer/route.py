"""One flow's queue of received messages.

Queues are bounded, as in kaspad. When a queue is full, the router either closes the connection (the peer sends faster
than it reads our replies) or drops the message (inventories, since more will follow).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import anyio

from ziggurat.node.handshake import timeout_expired
from ziggurat.node.peer.turns import Turns
from ziggurat.node.wire import KaspadMessage

__all__ = ["Flow", "FlowError", "PeerClosed", "Route", "RouteFull", "WhenFull"]

WhenFull: TypeAlias = Literal["close", "drop"]


class PeerClosed(Exception):
    """The connection to the peer is closed; ``str`` says why. Flows let it propagate."""


class FlowError(Exception):
    """The peer broke a rule. ``str`` is the text of the Reject that is sent before the connection is closed."""


class RouteFull(Exception):
    """A message that must not be dropped arrived at a full queue."""


class Flow(Protocol):
    """One protocol task for one peer. It subscribes to message types when created, and exchanges messages in `run`."""

    async def run(self) -> None:
        """Exchange messages with the peer. Returning leaves the connection open and the routes subscribed.

        Raises:
            FlowError: the peer broke a rule; it gets a Reject, and the connection is closed.
            PeerClosed: the connection is closed.
        """
        ...


class Route:
    """A flow's queue of messages, from `Router.subscribe`. ``async for message in route`` ends with the connection.

    Attributes:
        id: the ``request_id`` to put into a request so that its response arrives here, whatever its type.
        types: the names of the payloads that arrive here.
        answers: the names of the payloads that responses may have; ``None`` for any.
        dropped: the number of messages dropped because the queue was full.
    """

    __slots__ = (
        "_capacity",
        "_closed",
        "_on_queued",
        "_queue",
        "_turns",
        "_waiter",
        "_when_full",
        "answers",
        "dropped",
        "id",
        "types",
    )

    def __init__(
        self,
        id: int,
        types: frozenset[str],
        capacity: int,
        when_full: WhenFull,
        on_queued: Callable[[int, int], None],
        turns: Turns,
        answers: frozenset[str] | None = None,
    ) -> None:
        self.id = id
        self.types = types
        self.answers = answers
        self.dropped = 0
        self._capacity = capacity
        self._when_full: WhenFull = when_full
        self._on_queued = on_queued  # called with the change in queued messages and bytes of memory
        self._turns = turns
        self._queue: list[tuple[KaspadMessage, int]] = []  # most are empty for good, and an empty deque takes 700 bytes
        self._waiter: asyncio.Future[None] | None = None
        self._closed: str | None = None

    def put(self, message: KaspadMessage, cost: int) -> None:
        """Add a message that takes ``cost`` bytes of memory.

        Raises:
            RouteFull: the queue is full, and the message must not be dropped.
        """
        if len(self._queue) >= self._capacity:
            self.refuse()
            return
        self._queue.append((message, cost))
        self._on_queued(1, cost)
        self._wake()

    def refuse(self) -> None:
        """Drop a message.

        Raises:
            RouteFull: the message must not be dropped.
        """
        if self._when_full == "close":
            raise RouteFull
        self.dropped += 1

    def close(self, reason: str) -> None:
        """Accept no more messages. Those already queued can still be received."""
        if self._closed is None:
            self._closed = reason
        self._wake()

    def drain(self) -> list[KaspadMessage]:
        """Remove and return all queued messages."""
        messages: list[KaspadMessage] = []
        while self._queue:
            message, cost = self._queue.pop(0)
            self._on_queued(-1, -cost)
            messages.append(message)
        return messages

    async def receive(self, timeout: float | None = None) -> KaspadMessage:
        """Return the next message.

        Args:
            timeout: the time limit in seconds; ``None`` waits as long as the connection lasts.

        Raises:
            PeerClosed: the connection is closed, and every message was received.
            FlowError: no message arrived within ``timeout``; the text is kaspad's.
        """
        while True:
            if not self._queue:
                if timeout is None:  # which may be for hours: without a scope that would take memory
                    await self._wait()
                else:
                    await self._wait_within(timeout)
                if not self._queue:
                    raise PeerClosed(self._closed or "closed")
            await self._turns.take()
            if self._queue:  # else they were discarded in the meantime
                break
        message, cost = self._queue.pop(0)
        self._on_queued(-1, -cost)
        return message

    def __aiter__(self) -> Route:
        return self

    async def __anext__(self) -> KaspadMessage:
        try:
            return await self.receive()
        except PeerClosed:
            raise StopAsyncIteration from None

    async def _wait_within(self, timeout: float) -> None:
        with anyio.move_on_after(timeout) as scope:
            await self._wait()
        if scope.cancelled_caught and not self._queue and self._closed is None:
            raise FlowError(timeout_expired(timeout))

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("another task is receiving from this route")
        while not self._queue and self._closed is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __repr__(self) -> str:
        return f"Route({self.id}, {', '.join(sorted(self.types)) or 'by id only'}, {len(self._queue)} waiting)"
