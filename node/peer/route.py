"""One flow's queue of received messages.

Queues are bounded, as at kaspad: one that is full either costs the connection (the peer sends faster than it reads our
answers) or drops what comes (inventories: there will be others).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import anyio

from ziggurat.node.handshake import timeout_expired
from ziggurat.node.wire import KaspadMessage

__all__ = ["Flow", "FlowError", "PeerClosed", "Route", "RouteFull", "WhenFull"]

WhenFull: TypeAlias = Literal["close", "drop"]


class PeerClosed(Exception):
    """The connection to the peer is over; ``str`` says why. A flow lets it pass."""


class FlowError(Exception):
    """The peer broke a rule. ``str`` is the text of the Reject that it gets before the connection is closed."""


class RouteFull(Exception):
    """A message came for a queue that is full, and must not be dropped."""


class Flow(Protocol):
    """One conversation with one peer: it subscribes when it is made, and talks when it runs."""

    async def run(self) -> None:
        """Talk. To return ends the flow; its routes are closed.

        Raises:
            FlowError: the peer broke a rule; it is told so, and the connection is closed.
            PeerClosed: the connection is over.
        """
        ...


class Route:
    """What a flow reads; made by `Router.subscribe`. ``async for message in route`` ends with the connection.

    Attributes:
        id: what a request carries as ``request_id``, so that its answer comes here whatever its type.
        types: names of payloads that come here.
        dropped: how many messages found the queue full.
    """

    __slots__ = (
        "_capacity",
        "_closed",
        "_on_queued",
        "_queue",
        "_waiter",
        "_when_full",
        "dropped",
        "id",
        "types",
    )

    def __init__(
        self, id: int, types: frozenset[str], capacity: int, when_full: WhenFull, on_queued: Callable[[int, int], None]
    ) -> None:
        self.id = id
        self.types = types
        self.dropped = 0
        self._capacity = capacity
        self._when_full: WhenFull = when_full
        self._on_queued = on_queued  # told how many messages and bytes more, or fewer, wait here
        self._queue: deque[tuple[KaspadMessage, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed: str | None = None

    def put(self, message: KaspadMessage) -> None:
        """Add a message.

        Raises:
            RouteFull: the queue is full, and what comes must not be dropped.
        """
        if len(self._queue) >= self._capacity:
            if self._when_full == "close":
                raise RouteFull
            self.dropped += 1
            return
        # A flow that keeps up has an empty queue: only what piles up is measured, which costs as much as writing it.
        size = message.ByteSize() if self._queue else 0
        self._queue.append((message, size))
        self._on_queued(1, size)
        self._wake()

    def close(self, reason: str) -> None:
        """Let nothing more come. What is there can still be received."""
        if self._closed is None:
            self._closed = reason
        self._wake()

    def drain(self) -> list[KaspadMessage]:
        """Take out what is there."""
        messages: list[KaspadMessage] = []
        while self._queue:
            message, size = self._queue.popleft()
            self._on_queued(-1, -size)
            messages.append(message)
        return messages

    async def receive(self, timeout: float | None = None) -> KaspadMessage:
        """Return the next message.

        Args:
            timeout: seconds; ``None`` waits as long as the connection lasts.

        Raises:
            PeerClosed: the connection is over, and everything was received.
            FlowError: nothing came within ``timeout``; the text is kaspad's for it.
        """
        if not self._queue:
            with anyio.move_on_after(timeout) as scope:
                await self._wait()
            if scope.cancelled_caught and not self._queue and self._closed is None and timeout is not None:
                raise FlowError(timeout_expired(timeout))
            if not self._queue:
                raise PeerClosed(self._closed or "closed")
        message, size = self._queue.popleft()
        self._on_queued(-1, -size)
        return message

    def __aiter__(self) -> Route:
        return self

    async def __anext__(self) -> KaspadMessage:
        try:
            return await self.receive()
        except PeerClosed:
            raise StopAsyncIteration from None

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
