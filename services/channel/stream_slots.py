"""The streams that a peer lets us have open at a time, first come, first served (RFC 9113 5.1.2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["StreamSlots"]


class StreamSlots:
    """Whose turn it is to open a stream.

    A slot that becomes free wakes one caller, however many wait. Between its being woken and its opening the stream the
    slot is kept for it.

    Args:
        free: returns how many streams may be opened now.

    Attributes:
        granted: slots that are kept for those who were woken.
        waiters: those who wait, first come first; ``None`` as long as nobody ever has.
    """

    __slots__ = ("_free", "granted", "waiters")

    def __init__(self, free: Callable[[], int]) -> None:
        self._free = free
        self.granted = 0
        self.waiters: deque[asyncio.Future[None]] | None = None  # an empty deque takes 760 bytes

    @property
    def free(self) -> bool:
        """Whether a stream may be opened at once, by somebody who has not waited."""
        waiters = self.waiters
        while waiters and waiters[0].done():  # they gave up
            waiters.popleft()
        return not waiters and self._free() > self.granted

    async def wait(self) -> None:
        """Wait for a slot, and return with it granted: call `used` next, without another ``await``."""
        waiter = asyncio.get_running_loop().create_future()
        if self.waiters is None:
            self.waiters = deque()
        self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.used()
                self.wake()  # it was this one's turn: now it is the next one's
            raise

    def used(self) -> None:
        """The granted slot was used, or was given up."""
        self.granted -= 1

    def wake(self) -> None:
        """There may be room: let in as many as there is room for."""
        waiters = self.waiters
        while waiters and self._free() > self.granted:
            waiter = waiters.popleft()
            if not waiter.done():
                self.granted += 1
                waiter.set_result(None)

    def wake_all(self) -> None:
        """The connection takes no new stream: let everyone see."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                self.granted += 1
                waiter.set_result(None)
