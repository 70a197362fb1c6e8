"""HTTP/2 PINGs that notice a peer which is gone without a word (RFC 9113 6.7).

grpclib has PINGs as well, but after two it waits for data, and it keeps 300 s between them. And where it finds the peer
dead it closes politely, which waits for the unsent bytes that the dead peer will never take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["PingTimer"]


class PingTimer:
    """Pings when nothing has arrived for an interval, and reports a peer that sends nothing in answer.

    Any byte counts as a sign of life, not only the answer: behind a large download on a slow line the answer is late.

    Args:
        interval: seconds of silence before a PING.
        timeout: seconds of silence after it.
        ping: sends one; returns ``False`` when there is no reason to (no call, and nobody wants PINGs while idle).
        on_dead: called once.
    """

    def __init__(
        self, interval: float, timeout: float, *, ping: Callable[[], bool], on_dead: Callable[[], None]
    ) -> None:
        self._interval = interval
        self._timeout = timeout
        self._ping = ping
        self._on_dead = on_dead
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._answered = True
        self._timer = self._loop.call_later(interval, self._silent)

    def heard(self) -> None:
        """Something has arrived."""
        self._last = self._loop.time()
        if not self._answered:
            # The next PING is due an interval from here, not when the answer would have been late.
            self._answered = True
            self._timer.cancel()
            self._timer = self._loop.call_at(self._last + self._interval, self._silent)

    def stop(self) -> None:
        """No more PINGs."""
        self._timer.cancel()

    def _silent(self) -> None:
        now = self._loop.time()
        if now < self._last + self._interval:
            self._timer = self._loop.call_at(self._last + self._interval, self._silent)
        elif self._ping():
            self._answered = False
            self._timer = self._loop.call_later(self._timeout, self._on_dead)
        else:
            self._timer = self._loop.call_later(self._interval, self._silent)
