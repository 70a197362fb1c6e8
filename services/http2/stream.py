"""One stream: its state (RFC 9113 5.1), its windows (5.2), and what whoever uses it is told."""

from __future__ import annotations

from enum import Enum, auto

from ziggurat.services.http2.header_section import HeaderSection

__all__ = ["Stream", "StreamState"]


class StreamState(Enum):
    """The states of RFC 9113 5.1, without the two of server push, which is switched off."""

    IDLE = auto()
    OPEN = auto()
    HALF_CLOSED_LOCAL = auto()
    HALF_CLOSED_REMOTE = auto()
    CLOSED = auto()


class Stream:
    """The base of whatever uses a stream. The connection keeps its state here, and calls the methods called ``on_..``.

    They run while the connection reads: they may send, reset this stream or any other, but must not raise.

    Attributes:
        stream_id: its number; 0 while it has none.
        send_window: bytes of DATA that the peer lets us send here; negative after the peer has made its windows
            smaller (RFC 9113 6.9.2).
        receive_window: bytes that the peer may still send here.
        unreturned: bytes that were read here, and not yet given back to the peer.
        missing: bytes of the announced content-length that have not come; ``None`` where none was announced.
        headers_received: whether the request's or the (final) response's headers have come.
        local_ended: whether we have sent END_STREAM.
        remote_ended: whether the peer has.
        closed: whether nothing more can be sent or received.
    """

    __slots__ = (
        "closed",
        "headers_received",
        "local_ended",
        "missing",
        "receive_window",
        "remote_ended",
        "send_window",
        "stream_id",
        "unreturned",
    )

    def __init__(self) -> None:
        self.stream_id = 0
        self.send_window = self.receive_window = self.unreturned = 0
        self.missing: int | None = None
        self.headers_received = self.local_ended = self.remote_ended = self.closed = False

    def _renew(self) -> None:
        """Be as new: a stream that was not opened, on any connection."""
        Stream.__init__(self)

    @property
    def state(self) -> StreamState:
        """The state of RFC 9113 5.1."""
        if self.closed:
            return StreamState.CLOSED
        if not self.stream_id:
            return StreamState.IDLE
        if self.local_ended:
            return StreamState.HALF_CLOSED_LOCAL
        return StreamState.HALF_CLOSED_REMOTE if self.remote_ended else StreamState.OPEN

    def on_headers(self, section: HeaderSection, ends: bool) -> None:
        """The request or response has come, or its trailers; 1xx responses are passed over.

        Args:
            section: a good one.
            ends: whether it ends the stream. `on_end` follows.
        """

    def on_data(self, data: bytes, start: int, end: int) -> None:
        """A part of the body has come: ``data[start:end]``. Call `Connection.read` when it is read, or thrown away."""

    def on_data_run(self, data: bytes, start: int, length: int, stride: int, count: int) -> int:
        """As `on_data` for ``count`` parts of ``length`` bytes that lie ``stride`` bytes apart.

        A large message comes in many frames with one and the same header, and so do many small ones. A stream that has
        use for all of them at once overrides this.

        Returns:
            How many parts it has taken: the rest is thrown away, for a stream that was closed meanwhile.
        """
        for taken in range(count):
            if self.closed:
                return taken
            begin = start + taken * stride
            self.on_data(data, begin, begin + length)
        return count

    def on_end(self) -> None:
        """The peer has sent everything. Called after the last of it."""

    def on_reset(self, code: int) -> None:
        """The peer has reset the stream, which is closed now; the code is the peer's."""

    def on_fault(self, reason: str) -> None:
        """The peer broke the rules on this stream alone (RFC 9113 5.4.2). It has been reset, and is closed now."""

    def on_window(self) -> None:
        """The peer lets us send more, on this stream or on the connection."""
