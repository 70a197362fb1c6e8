"""A meter with a queue in front of it, first come, first served."""

from __future__ import annotations

from typing import Protocol

import anyio
from anyio.lowlevel import current_token

__all__ = ["Gate", "Meter"]


TICK = 1e-6
"""Seconds. A timer may fire a little early, and a shorter wait might not advance the clock."""


class Meter(Protocol):
    """Counts what passes in a time."""

    @property
    def wait(self) -> float: ...
    @property
    def idle(self) -> bool: ...
    def take(self) -> bool: ...


class Gate:
    """Lets one caller at a time wait for the meter; the others wait behind it.

    A cancelled caller takes nothing, and the next one moves up. tower's rate limit has a single waker and forgets the
    others (tower #454).
    """

    __slots__ = ("_lock", "_meter", "_token", "waiting")

    def __init__(self, meter: Meter) -> None:
        self.waiting = 0
        self._meter = meter
        self._lock: anyio.Lock | None = None  # while somebody waits; it belongs to one event loop
        self._token: object = None

    @property
    def idle(self) -> bool:
        """Whether it is as new, so that it may be forgotten."""
        return not self.waiting and self._meter.idle

    @property
    def wait(self) -> float:
        """Seconds until the meter lets the next one through, which may be a waiter."""
        return self._meter.wait

    def enter_nowait(self) -> bool:
        """Pass, if nobody waits and the meter lets one through; return whether it did."""
        return not self.waiting and self._meter.take()

    async def enter(self) -> None:
        """Pass, behind those who came before.

        Raises:
            RuntimeError: somebody waits on another event loop.
        """
        if self._lock is None:
            self._lock, self._token = anyio.Lock(), current_token()
        elif self._token != current_token():
            raise RuntimeError("the rate limit is in use on another event loop")
        self.waiting += 1
        try:
            async with self._lock:
                while not self._meter.take():  # noqa: ASYNC110 - only time opens it
                    await anyio.sleep(max(self._meter.wait, TICK))
        finally:
            self.waiting -= 1
            if not self.waiting:
                self._lock = None
