"""What waits to be sent to one peer: bounded in messages and in bytes."""

from __future__ import annotations

from collections import deque

import anyio

from ziggurat.node.wire import KaspadMessage

__all__ = ["SEND_QUEUE_BYTES", "SEND_QUEUE_MESSAGES", "SendQueue"]

SEND_QUEUE_MESSAGES = 1024
"""Messages. A flow waits beyond them; what is broadcast is dropped for this peer."""

SEND_QUEUE_BYTES = 16 * 1024 * 1024
"""Bytes, beside the message that is being sent."""


class SendQueue:
    """A queue with many senders and one writer, who iterates over it."""

    def __init__(self) -> None:
        self._queue: deque[tuple[KaspadMessage, int]] = deque()
        self._size = 0
        self._filled = anyio.Event()
        self._room = anyio.Event()
        self._empty = anyio.Event()
        self._closed = False
        self._failed = False
        self._sending_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether a sender has to wait."""
        return len(self._queue) >= SEND_QUEUE_MESSAGES or self._size > SEND_QUEUE_BYTES

    async def put(self, message: KaspadMessage) -> bool:
        """Add a message, once there is room; ``False`` when the connection was closed meanwhile."""
        while self.full and not self._closed:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()
        return self.put_nowait(message)

    def put_nowait(self, message: KaspadMessage) -> bool:
        """Add a message if there is room."""
        if self._closed or self.full:
            return False
        self.force_put(message)
        return True

    def force_put(self, message: KaspadMessage) -> None:
        """Add a message, room or not."""
        size = message.ByteSize() if self._queue else 0  # measured only where something piles up
        self._queue.append((message, size))
        self._size += size
        self._filled.set()

    def close(self) -> None:
        """Take nothing more. What is there is still sent."""
        self._closed = True
        self._filled.set()
        self._room.set()

    def fail(self) -> None:
        """Nothing will be sent any more."""
        self._failed = True
        self._queue.clear()
        self._size = 0
        self.close()
        self._empty.set()

    async def wait_sent(self) -> None:
        """After `close`: wait until everything is out."""
        await self._empty.wait()

    def is_stalled(self, timeout: float) -> bool:
        """Whether one message has been on its way for ``patience`` seconds."""
        return self._sending_since is not None and anyio.current_time() - self._sending_since >= timeout

    def __aiter__(self) -> SendQueue:
        return self

    async def __anext__(self) -> KaspadMessage:
        """Return the next message; to ask again says that it is out."""
        self._sending_since = None
        while not self._queue:
            if self._closed:
                self._empty.set()
                raise StopAsyncIteration
            self._filled = anyio.Event()
            await self._filled.wait()
        message, size = self._queue.popleft()
        self._size -= size
        self._room.set()
        self._sending_since = anyio.current_time()
        return message
