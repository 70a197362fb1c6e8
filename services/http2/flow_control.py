"""The receiving window of a connection (RFC 9113 5.2 and 6.9): one slow reader must not stop the others.

The window of a stream is given back as its reader takes the bytes, so a slow reader slows down its own sender. Were
the connection's window given back the same way, what one stream leaves unread would be missing for all the others,
until nobody gets anything. So it is given back on arrival, as long as all that lies unread is no more than a bound.
"""

from __future__ import annotations

from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError

__all__ = ["ReceiveWindow"]


class ReceiveWindow:
    """What the peer may send on all streams together.

    Args:
        size: bytes that it may send ahead.
        max_unread: bytes that may lie unread; beyond them the window is given back on reading only. As all of the
            window may be on its way then, it is counted in, so this is a bound unless ``size`` is larger.

    Attributes:
        left: bytes that the peer may still send.
        unread: bytes that have come, or whose frame has begun, and that nobody has read.
    """

    __slots__ = ("_held", "_on_arrival", "_unreturned", "left", "unread")

    def __init__(self, size: int, max_unread: int) -> None:
        self.left = size
        self.unread = 0
        self._unreturned = 0
        self._held = 0  # bytes among those unread that are given back on reading only
        self._on_arrival = max(0, max_unread - size)

    def arrived(self, size: int) -> int:
        """Take ``size`` bytes of a frame. Return the increment to announce now, or 0.

        Raises:
            RemoteProtocolError: they are more than the window allows.
        """
        self.left -= size
        if self.left < 0:
            raise RemoteProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        before = self.unread
        self.unread = unread = before + size
        if unread <= self._on_arrival:
            if self._unreturned + size < self.left:  # as `_give_back` has it; this is what happens mostly
                self._unreturned += size
                return 0
            return self._give_back(size)
        free = max(0, self._on_arrival - before)
        self._held += size - free
        return self._give_back(free)  # even of nothing: what has collected before may be due

    def read(self, size: int) -> int:
        """Note that ``size`` bytes were read or thrown away. Return the increment to announce now, or 0."""
        self.unread = unread = self.unread - size
        if not self._held:
            return 0
        # After `widen`, more may lie unread than is held.
        held = min(self._held, max(0, unread - self._on_arrival))
        given, self._held = self._held - held, held
        return self._give_back(given) if given else 0

    def widen(self, size: int) -> None:
        """Let the peer send ``size`` bytes more ahead; the caller announces it."""
        self.left += size
        self._on_arrival = max(0, self._on_arrival - size)

    def _give_back(self, size: int) -> int:
        # Half a window at a time: an update for each frame would cost as much as the frames.
        self._unreturned = increment = self._unreturned + size
        if increment < self.left:
            return 0
        self._unreturned = 0
        self.left += increment
        return increment
