"""HTTP/2 PINGs that detect a peer that has silently gone (RFC 9113 6.7).

grpclib has PINGs, too, but sends at most two without data in between, 300 s apart. When it finds the peer dead, it
closes gracefully, which waits for unsent bytes that the peer will never read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["PingTimer"]


class PingTimer:
    """Sends a PING when nothing has arrived for an interval, and reports a peer that stays silent.

    Any byte counts as a sign of life, not only the ack, which may be stuck behind a large download on a slow line.

    Args:
        interval: silence before a PING, in seconds.
        timeout: silence after a PING before the peer counts as dead, in seconds.
        ping: sends a PING; returns ``False`` if none is needed (no call is running and idle PINGs are off).
        on_dead: called once, when the peer counts as dead.
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
        """Record that data has arrived."""
        self._last = self._loop.time()
        if not self._answered:
            # The next PING is due one interval from now, not when the ack would have been late.
            self._answered = True
            self._timer.cancel()
            self._timer = self._loop.call_at(self._last + self._interval, self._silent)

    def stop(self) -> None:
        """Send no more PINGs."""
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
