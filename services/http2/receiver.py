"""What all received frames have in common: who is told, the connection's window, and what a peer's mistakes cost it.

A mistake on one stream ends that stream (RFC 9113 5.4.2), any other the connection (5.4.1). What only costs work is
counted, and too much of it ends the connection, too (10.5).
"""

from __future__ import annotations

from typing import Final, Protocol

from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.flow_control import ReceiveWindow
from ziggurat.services.http2.frame_reader import FrameReader
from ziggurat.services.http2.frames import (
    DATA,
    FRAME_NAMES,
    RST_STREAM,
    WINDOW_UPDATE,
    rst_stream_frame,
    window_update_frame,
)
from ziggurat.services.http2.header_section import HeaderSection
from ziggurat.services.http2.sender import Ending, Sender
from ziggurat.services.http2.settings import LocalSettings
from ziggurat.services.http2.stream import Stream

__all__ = ["Owner", "Receiver", "without_padding"]

MAX_UNREAD_ANSWERS: Final = 256 * 1024
"""Bytes of answers to the peer's frames that may pile up while it reads nothing. They are no part of flow control, so
nothing else bounds them (CVE-2019-9512, CVE-2019-9514, CVE-2019-9515)."""

MAX_RESETS: Final = 1000
"""Requests that a client may reset beyond those that it lets come to their end (CVE-2023-44487, "rapid reset"), or make
us reset (CVE-2025-8671, "made you reset")."""

MAX_USELESS_FRAMES: Final = 10_000
"""Frames that do nothing, without a header section or a byte of content in between: empty DATA and CONTINUATION,
PRIORITY, unknown types (CVE-2019-9518), 1xx responses, SETTINGS after the first, GOAWAY, and what comes for closed
streams. PING is not among them: a connection that is kept alive may have nothing else for days."""


class Owner(Protocol):
    """Who is told about the connection as a whole, while it reads."""

    def on_settings(self) -> None:
        """The peer's SETTINGS have come, the first ones or others."""
        ...

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        """The peer takes no new stream, and has dealt with none beyond ``last_stream_id`` (RFC 9113 6.8)."""
        ...

    def on_ping_ack(self, data: bytes) -> None:
        """The peer has answered a PING."""
        ...

    def on_stream_closed(self) -> None:
        """A stream is closed, so there may be room for another."""
        ...

    def on_request(self, section: HeaderSection) -> Stream | None:
        """A client has sent a request (server's role). Return its stream, or ``None`` to refuse it."""
        ...

    def on_malformed_request(self, reason: str) -> None:
        """A client has sent a request that is none (RFC 9113 8.1.1); its stream has been reset."""
        ...


class Receiver(FrameReader, Sender):
    """The receiving half of a connection, without the frames themselves.

    Args:
        owner: who is told.
        local: what we announce.
        client: which end we are.

    Attributes:
        unread_answers: bytes of answers since this was last set to 0, which the owner does when the peer reads.
    """

    # In place of a dictionary of 40 entries. `FrameReader`'s are among them: no class has two bases with slots.
    __slots__ = (
        "_block",
        "_block_stream",
        "_max_block_size",
        "_max_section_size",
        "_owner",
        "_preface",
        "_resets",
        "_rest",
        "_rest_ends",
        "_rest_stream",
        "_settled",
        "_tail",
        "_useless",
        "_wanted",
        "_window",
        "failed",
        "max_frame_size",
        "unread_answers",
    )

    def __init__(self, owner: Owner, local: LocalSettings, *, client: bool) -> None:
        # Twice: what is too large for a list is to cost the stream, and for that it has to be read (`HeaderReader`).
        FrameReader.__init__(self, local.max_frame_size, 2 * local.max_header_list_size, expect_preface=not client)
        Sender.__init__(self, client=client, stream_window=local.stream_window)
        self.unread_answers = 0
        self._owner: Owner | None = owner
        self._window = ReceiveWindow(local.connection_window, local.max_unread)
        self._useless = -1  # the first SETTINGS is needed
        self._resets = 0

    @property
    def receive_window(self) -> int:
        """Bytes that the peer may still send on all streams together."""
        return self._window.left

    @property
    def unread(self) -> int:
        """Bytes that have come on all streams, and that nobody has read."""
        return self._window.unread

    def read(self, stream: Stream | None, size: int) -> None:
        """Give ``size`` bytes back to the peer, which were read or thrown away.

        Args:
            stream: where they came; ``None`` for one that is done with, where only the connection's window matters.
        """
        if increment := self._window.read(size):
            self._put(window_update_frame(0, increment))
        if stream is not None and not stream.remote_ended and not stream.closed:
            stream.unreturned = increment = stream.unreturned + size
            if increment >= stream.receive_window:
                self.widen(stream, increment)
                stream.unreturned = 0

    def widen(self, stream: Stream | None, size: int) -> None:
        """Let the peer send ``size`` bytes more ahead, on a stream or on the connection (``None``)."""
        if stream is None:
            self._window.widen(size)
            self._put(window_update_frame(0, size))
        elif not stream.remote_ended and not stream.closed:
            stream.receive_window += size
            self._put(window_update_frame(stream.stream_id, size))

    # -- what a peer does wrong

    def _fault(self, stream: Stream, code: ErrorCode, reason: str) -> None:
        """A stream error (RFC 9113 5.4.2)."""
        self._answer(rst_stream_frame(stream.stream_id, code))
        self._close(stream, Ending.RESET_BY_US)
        stream.on_fault(reason)
        self._count_reset()

    def _is_idle(self, stream_id: int) -> bool:
        """Return whether a stream was never opened (RFC 9113 5.1); stream 0 is none."""
        ours = bool(stream_id & 1) == self.client
        return not stream_id or stream_id > (self._next_id - 2 if ours else self._last_peer_id)

    def _on_closed_stream(self, kind: int, stream_id: int) -> None:
        """A frame for a stream that is not open (RFC 9113 5.1)."""
        name = FRAME_NAMES[kind]
        if self._is_idle(stream_id):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, f"{name} on stream {stream_id}, which was never opened")
        if kind in (RST_STREAM, WINDOW_UPDATE):
            self._count_useless()
            return
        ending = self._closed.get(stream_id) or self._closed_before.get(stream_id)
        if ending is Ending.BOTH_ENDED:
            raise RemoteProtocolError(ErrorCode.STREAM_CLOSED, f"{name} on stream {stream_id}, which has ended")
        if ending is Ending.RESET_BY_PEER or (ending is None and not self.client and kind == DATA):
            self._answer_reset(stream_id, ErrorCode.STREAM_CLOSED)
        elif ending is None and not self.client:
            raise RemoteProtocolError(
                ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} after a stream with a higher number"
            )

    def _answer_reset(self, stream_id: int, code: ErrorCode) -> None:
        self._remember(stream_id, Ending.RESET_BY_US)
        self._answer(rst_stream_frame(stream_id, code))

    def _answer(self, data: bytes) -> None:
        self._put(data)
        self.unread_answers += len(data)
        if self.unread_answers > MAX_UNREAD_ANSWERS:
            raise RemoteProtocolError(
                ErrorCode.ENHANCE_YOUR_CALM, "the peer reads none of the answers that its frames ask for"
            )

    def _count_reset(self) -> None:
        self._resets += 1
        if self._resets > MAX_RESETS and not self.client:
            raise RemoteProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "the client resets one request after the other")

    def forgive_resets(self, count: int) -> None:
        """Let a client reset ``count`` requests more. There is no clock here, so whoever has one says when."""
        self._resets = max(0, self._resets - count)

    def _count_useless(self) -> None:
        self._useless += 1
        if self._useless > MAX_USELESS_FRAMES:
            raise RemoteProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that do nothing")

    def _stream_closed(self, ending: Ending) -> None:
        if ending is Ending.BOTH_ENDED and self._resets:
            self._resets -= 1
        if self._owner is not None:
            self._owner.on_stream_closed()

    def _told(self) -> Owner:
        assert self._owner is not None, "the connection was detached"
        return self._owner


def without_padding(payload: bytes) -> tuple[int, int]:
    """Return where the content begins and ends in the payload of a padded frame (RFC 9113 6.1)."""
    if not payload or payload[0] >= len(payload):
        raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "padding that is longer than its frame")
    return 1, len(payload) - payload[0]
