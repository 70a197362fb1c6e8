"""What one end sends: header sections, DATA within the peer's windows, and the small frames.

Nothing is written here. What is to be sent collects in `Sender.out` until whoever owns the transport takes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from ziggurat.services.http2.errors import ErrorCode, LocalProtocolError
from ziggurat.services.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_SIZE,
    HEADERS,
    UINT31,
    goaway_frame,
    headers_frames,
    pack_frame_header,
    ping_frame,
    rst_stream_frame,
)
from ziggurat.services.http2.header_writer import HeaderTemplate, HeaderWriter
from ziggurat.services.http2.settings import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW
from ziggurat.services.http2.stream import Stream

__all__ = ["Ending", "HeaderFields", "Sender"]

Part = bytes | memoryview

HeaderFields = Iterable[tuple[bytes, bytes]]

REMEMBERED_CLOSED = 512
"""Streams whose end is remembered: twice that many at most. What is on its way on one may still come."""


class Ending(Enum):
    """How a stream ended, which decides what a frame means that still comes on it (RFC 9113 5.1, "closed")."""

    BOTH_ENDED = auto()
    RESET_BY_US = auto()
    RESET_BY_PEER = auto()


class Sender:
    """The sending half of a connection, in either role.

    Args:
        client: which end we are.
        stream_window: bytes that the peer may send ahead on a new stream.

    Attributes:
        client: which end we are.
        streams: the open streams by number.
        blocked: those that wait for a window; see `wait_for_window`.
        max_streams: how many of ours the peer lets us have open (RFC 9113 5.1.2).
        send_window: bytes of DATA that the peer lets us send on all streams together.
        initial_window: of the peer's new streams.
        peer_max_frame_size: of a payload that we send, in bytes.
        out: what is to be sent.
        out_size: its length in bytes.
        going_away: whether we have sent a GOAWAY.
        exhausted: whether all stream numbers are used up (RFC 9113 5.1.1).
    """

    __slots__ = (
        "_closed",
        "_closed_before",
        "_known_blocks",
        "_last_peer_id",
        "_last_taken_id",
        "_next_id",
        "_stream_window",
        "_writer",
        "blocked",
        "client",
        "exhausted",
        "going_away",
        "initial_window",
        "max_streams",
        "out",
        "out_size",
        "peer_max_frame_size",
        "send_window",
        "streams",
    )

    def __init__(self, *, client: bool, stream_window: int) -> None:
        self.client = client
        self.streams: dict[int, Stream] = {}
        self.blocked: dict[Stream, None] = {}
        self.max_streams: int = UINT31  # without limit, unless the peer's SETTINGS set one (RFC 9113 6.5.2)
        self.send_window: int = DEFAULT_WINDOW
        self.initial_window: int = DEFAULT_WINDOW
        self.peer_max_frame_size = DEFAULT_FRAME_SIZE
        self.out: list[Part] = []
        self.out_size = 0
        self.going_away = False
        self.exhausted = False
        self._writer = HeaderWriter()
        self._known_blocks = self._writer.known
        self._next_id = 1 if client else 2
        self._last_peer_id = 0  # the highest number of a stream that the peer has opened
        self._last_taken_id = 0  # the same when we sent a GOAWAY, after which it may not grow (RFC 9113 6.8)
        self._stream_window = stream_window
        self._closed: dict[int, Ending] = {}
        self._closed_before: dict[int, Ending] = {}

    @property
    def unlimited(self) -> bool:
        """Whether the peer has set no limit on streams."""
        return self.max_streams == UINT31

    # -- streams

    def open(
        self,
        stream: Stream,
        template: HeaderTemplate,
        own: HeaderFields = (),
        fresh: HeaderFields = (),
        end: bool = False,
    ) -> None:
        """Open a stream with a request (client's role). `HeaderWriter.write` says what the fields are.

        The caller has looked at ``len(streams)`` and `max_streams`.

        Raises:
            LocalProtocolError: the numbers are used up (RFC 9113 5.1.1), or the connection is going away.
        """
        stream_id = self._next_id
        if stream_id > UINT31:
            raise LocalProtocolError("the connection has used up its stream numbers")
        if self.going_away:
            raise LocalProtocolError("the connection is going away")
        self._next_id = stream_id + 2
        self.exhausted = stream_id + 2 > UINT31
        stream.stream_id = stream_id
        stream.send_window = self.initial_window
        stream.receive_window = self._stream_window
        self.streams[stream_id] = stream
        self.send_headers(stream, template, own, fresh, end)

    def send_headers(
        self,
        stream: Stream,
        template: HeaderTemplate,
        own: HeaderFields = (),
        fresh: HeaderFields = (),
        end: bool = False,
    ) -> None:
        """Send a header section: a response, or trailers.

        Raises:
            LocalProtocolError: our side of the stream has ended, or it was never opened.
        """
        if stream.closed or stream.local_ended or not stream.stream_id:
            raise LocalProtocolError(f"headers on a stream that {_why(stream)}")
        block = None if own or fresh else self._known_blocks.get(template)
        if block is None:
            block = self._writer.write(template, own, fresh)
        size = len(block)
        if size <= self.peer_max_frame_size:
            flags = END_HEADERS | END_STREAM if end else END_HEADERS
            self.out += (pack_frame_header(size >> 8, size & 0xFF, HEADERS, flags, stream.stream_id), block)
            self.out_size += size + FRAME_HEADER_SIZE
        else:
            for frame in headers_frames(stream.stream_id, block, end, self.peer_max_frame_size):
                self._put(frame)
        if end:
            stream.local_ended = True
            if stream.remote_ended:
                self._close(stream, Ending.BOTH_ENDED)

    def room(self, stream: Stream) -> int:
        """Return how many bytes may go into one DATA frame now; if 0 or less, call `wait_for_window`."""
        room = stream.send_window if stream.send_window < self.send_window else self.send_window  # min() takes longer
        return room if room < self.peer_max_frame_size else self.peer_max_frame_size

    def wait_for_window(self, stream: Stream) -> None:
        """Have `Stream.on_window` called, once, when there is room. Who asks first is called first.

        A closed stream is never called.
        """
        if not stream.closed:
            self.blocked[stream] = None

    def send_data(self, stream: Stream, parts: tuple[Part, ...], size: int, *, end: bool = False) -> None:
        """Send one DATA frame (RFC 9113 6.1).

        Args:
            stream: an open one.
            parts: the payload; not copied, so it must not change.
            size: its length; at most `room`.
            end: whether that is all.

        Raises:
            LocalProtocolError: our side of the stream has ended, it was never opened, or it is more than the windows
                allow.
        """
        if not self.send_if_room(stream, parts, size, end):
            raise LocalProtocolError("more data than the peer's windows allow")

    def send_if_room(self, stream: Stream, parts: tuple[Part, ...], size: int, end: bool) -> bool:
        """Do what `send_data` does, unless it is more than the windows allow; return whether it was done.

        Raises:
            LocalProtocolError: our side of the stream has ended, or it was never opened.
        """
        if stream.closed or stream.local_ended or not stream.stream_id:
            raise LocalProtocolError(f"data on a stream that {_why(stream)}")
        if size and (size > stream.send_window or size > self.send_window or size > self.peer_max_frame_size):
            return False
        stream.send_window -= size
        self.send_window -= size
        header = pack_frame_header(size >> 8, size & 0xFF, DATA, END_STREAM if end else 0, stream.stream_id)
        self.out += (header, *parts)
        self.out_size += size + FRAME_HEADER_SIZE
        if end:
            stream.local_ended = True
            if stream.remote_ended:
                self._close(stream, Ending.BOTH_ENDED)
        return True

    def reset(self, stream: Stream, code: int = ErrorCode.CANCEL) -> None:
        """Give a stream up (RFC 9113 6.4), unless it is closed. What still comes on it is ignored."""
        if not stream.closed and stream.stream_id:
            self._put(rst_stream_frame(stream.stream_id, code))
            self._close(stream, Ending.RESET_BY_US)

    # -- the connection

    def ping(self, data: bytes) -> None:
        """Send a PING with eight bytes of data."""
        self._put(ping_frame(data))

    def go_away(self, code: int = ErrorCode.NO_ERROR, debug: bytes = b"") -> None:
        """Say that no new stream is taken, and which was the last (RFC 9113 6.8); the same one if it is said again."""
        if not self.going_away:
            self.going_away = True
            self._last_taken_id = self._last_peer_id
        self._put(goaway_frame(self._last_taken_id, code, debug))

    def take(self) -> bytes:
        """Return what is to be sent, and forget it."""
        out = self.out
        self.out_size = 0
        if len(out) == 1 and isinstance(out[0], bytes):
            return bytes(out.pop())
        data = b"".join(out)
        out.clear()
        return data

    # -- the end of a stream

    def _put(self, data: bytes) -> None:
        self.out.append(data)
        self.out_size += len(data)

    def _close(self, stream: Stream, ending: Ending) -> None:
        """Forget a stream, but not how it ended."""
        stream.closed = True
        self.streams.pop(stream.stream_id, None)
        if self.blocked:
            self.blocked.pop(stream, None)
        closed = self._closed
        if len(closed) >= REMEMBERED_CLOSED:
            self._remember(stream.stream_id, ending)
        else:
            closed[stream.stream_id] = ending  # as `_remember` does, for a call less in each call
        self._stream_closed(ending)

    def _remember(self, stream_id: int, ending: Ending) -> None:
        if len(self._closed) >= REMEMBERED_CLOSED:
            self._closed_before, self._closed = self._closed, {}
        self._closed[stream_id] = ending

    def _stream_closed(self, ending: Ending) -> None:
        """There is room for another stream."""


def _why(stream: Stream) -> str:
    return "has ended" if stream.stream_id else "was never opened"
