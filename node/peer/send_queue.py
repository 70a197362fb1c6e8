"""The queue of messages to send to one peer, bounded in messages and in bytes."""

from __future__ import annotations

from collections import deque

import anyio

from ziggurat.node.wire import MESSAGE_COST, KaspadMessage
from ziggurat.services.signal import Signal

__all__ = ["SEND_QUEUE_BYTES", "SEND_QUEUE_MESSAGES", "SendQueue"]

SEND_QUEUE_MESSAGES = 1024
"""Messages. When the queue is full, flows wait, and broadcasts to this peer are dropped."""

SEND_QUEUE_BYTES = 16 * 1024 * 1024
"""Bytes of memory, not counting the first message."""

OBJECTS = 8
"""Bytes in memory for a byte on the wire, at most, in the messages that we send: an address takes 80 and 10."""


class SendQueue:
    """A queue for many senders. The task that writes to the stream iterates over it."""

    def __init__(self) -> None:
        self._queue: deque[tuple[KaspadMessage, int]] = deque()
        self._size = 0
        self._filled = Signal()
        self._room = Signal()
        self._empty = Signal()
        self._closed = False
        self._failed = False
        self._sending_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether senders have to wait."""
        return len(self._queue) >= SEND_QUEUE_MESSAGES or self._size > SEND_QUEUE_BYTES

    async def put(self, message: KaspadMessage) -> bool:
        """Add a message, waiting for room; return ``False`` if the queue was closed meanwhile."""
        while self.full and not self._closed:
            self._room.clear()
            await self._room.wait()
        return self.put_nowait(message)

    def put_nowait(self, message: KaspadMessage) -> bool:
        """Add a message if there is room; return whether it was added."""
        if self._closed or self.full:
            return False
        self.force_put(message)
        return True

    def force_put(self, message: KaspadMessage) -> None:
        """Add a message even if the queue is full or closed."""
        # Skipped while the queue is empty: ByteSize() is slow.
        size = MESSAGE_COST + OBJECTS * message.ByteSize() if self._queue else 0
        self._queue.append((message, size))
        self._size += size
        self._filled.set()

    def close(self) -> None:
        """Accept no more messages. Those already queued are still sent."""
        self._closed = True
        self._filled.set()
        self._room.set()

    def fail(self) -> None:
        """Discard all messages and close the queue: the stream is lost."""
        self._failed = True
        self._queue.clear()
        self._size = 0
        self.close()
        self._empty.set()

    async def wait_sent(self) -> None:
        """Wait until the queue is closed and every message was sent or discarded."""
        await self._empty.wait()

    def is_stalled(self, timeout: float) -> bool:
        """Return whether a message has been in the process of being sent for ``timeout`` seconds."""
        return self._sending_since is not None and anyio.current_time() - self._sending_since >= timeout

    def __aiter__(self) -> SendQueue:
        return self

    async def __anext__(self) -> KaspadMessage:
        """Return the next message. The call also marks the previous one as sent."""
        self._sending_since = None
        while not self._queue:
            if self._closed:
                self._empty.set()
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        message, size = self._queue.popleft()
        self._size -= size
        self._room.set()
        self._sending_since = anyio.current_time()
        return message
