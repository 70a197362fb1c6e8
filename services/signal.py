"""An event for tasks of one event loop, without the memory of one: asyncio's has a queue of 700 bytes."""

from __future__ import annotations

import asyncio

__all__ = ["Signal"]


class Signal:
    """Is set once, and wakes all who wait; `clear` makes it as new."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        return self._set

    def set(self) -> None:
        """Wake all who wait. Who comes later does not wait."""
        self._set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Let those who come from now on wait."""
        self._set = False

    async def wait(self) -> None:
        """Wait for `set`; return at once if it was called."""
        if self._set:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
