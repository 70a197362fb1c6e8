"""Turns on the event loop, which all peers of a node share.

A flow answers a message in microseconds or, where it sends a thousand addresses, in milliseconds; 250 messages may wait
for it, and there are a hundred peers. Whoever takes the next message asks for a turn first. In one cycle of the loop
turns are free until `CYCLE` is over. Who then asks has to wait, and one of those who wait gets a turn in each further
cycle, in the order in which they asked. So a cycle lasts about as long, however many ask, and what else there is to do
on the loop, such as a signal or a new peer, comes in between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Turns"]

CYCLE = 0.005
"""Seconds of one cycle of the event loop that turns may take, beside the last one that began in time."""


class Turns:
    """The turns of one event loop.

    Args:
        clock: the time in seconds, that of the machine and not the event loop's.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._over: float | None = None  # when this cycle's time is used up; None before the first turn in it
        self._holder: asyncio.Task[object] | None = None  # the task that has waited for this cycle's turn

    async def take(self) -> None:
        """Wait for a turn, which lasts until the task takes another one or waits for something else."""
        if self._over is None:
            self._begin_cycle()
        elif self._clock() >= self._over or (self._waiting and asyncio.current_task() is not self._holder):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
            self._holder = asyncio.current_task()
            self._over = self._clock() + CYCLE

    def _begin_cycle(self) -> None:
        self._over = self._clock() + CYCLE
        asyncio.get_running_loop().call_soon(self._end_cycle)

    def _end_cycle(self) -> None:
        self._over = self._holder = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its task was cancelled
                turn.set_result(None)
                self._begin_cycle()
                return
