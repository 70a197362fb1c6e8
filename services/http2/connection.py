"""One HTTP/2 connection, sans-IO, in either role: bytes in, calls on the streams; calls in, bytes out.

Each file beside this one holds the rules of one thing: `frame_reader` cuts the frames, `data_frames` and
`header_frames` say what the two frames of a stream mean, `sender` makes ours. The small frames are here.
"""

from __future__ import annotations

from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    FRAME_NAMES,
    GOAWAY,
    HEADERS,
    MAX_WINDOW,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    UINT31,
    UINT32,
    WINDOW_UPDATE,
    ping_frame,
    settings_frame,
    window_update_frame,
)
from ziggurat.services.http2.header_frames import HeaderFrames
from ziggurat.services.http2.receiver import Owner
from ziggurat.services.http2.sender import Ending
from ziggurat.services.http2.settings import (
    DEFAULT_WINDOW,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    LocalSettings,
    parse_settings,
)

__all__ = ["Connection"]


class Connection(HeaderFrames):
    """One end of a connection.

    Args:
        owner: who is told. It keeps this object, which keeps it: `detach` ends that.
        local: what we announce. It is among the bytes to send from the start, after the preface.
        client: which end we are.

    Attributes:
        failed: whether the peer broke the protocol. A GOAWAY is then among the bytes to send; nothing more is read.
    """

    __slots__ = ()

    def __init__(self, owner: Owner, local: LocalSettings, *, client: bool) -> None:
        super().__init__(owner, local, client=client)
        self._put((PREFACE if client else b"") + settings_frame(local.announced(client=client)))
        if local.connection_window > DEFAULT_WINDOW:
            self._put(window_update_frame(0, local.connection_window - DEFAULT_WINDOW))

    def receive(self, data: bytes) -> None:
        """Take what arrived, and tell the streams and the owner what it means.

        Raises:
            RemoteProtocolError: the peer broke the protocol, so the connection has to end. What came before is dealt
                with, and the GOAWAY is among the bytes to send.
        """
        if self.failed:
            return
        try:
            self._split(data)
        except RemoteProtocolError as error:
            self.failed = True
            self.go_away(error.code, str(error).encode("ascii", "replace")[:200])
            raise

    def detach(self) -> None:
        """Let go of the owner, the streams, and what was not sent: the transport is gone."""
        self.failed = True
        self._owner = self._rest_stream = None
        self.streams.clear()
        self.blocked.clear()
        self.out.clear()
        self.out_size = 0

    # -- frames, by type (DATA comes through the other way in, unless it is padded)

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id and kind in (DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, f"{FRAME_NAMES[kind]} on stream 0")
        if stream_id and kind in (SETTINGS, PING, GOAWAY):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, f"{FRAME_NAMES[kind]} on a stream")
        if kind == HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == WINDOW_UPDATE:
            self._window_update(stream_id, UINT32.unpack(payload)[0] & UINT31)
        elif kind == DATA:
            self._padded_data(flags, stream_id, payload)
        elif kind == RST_STREAM:
            self._rst_stream(stream_id, UINT32.unpack(payload)[0])
        elif kind == PING:
            self._ping(flags, payload)
        elif kind == SETTINGS:
            self._count_useless()
            if not flags & ACK:
                self._settings(payload)
        elif kind == CONTINUATION:
            self._continuation(flags, payload)
        elif kind == GOAWAY:
            self._count_useless()
            last, code = UINT32.unpack_from(payload)[0] & UINT31, UINT32.unpack_from(payload, 4)[0]
            self._told().on_goaway(last, code, payload[8:])
        else:  # PRIORITY, which is deprecated (RFC 9113 5.3.2), or unknown (5.5)
            self._count_useless()
            if kind == PRIORITY and UINT32.unpack_from(payload)[0] & UINT31 == stream_id:
                self._depends_on_itself(stream_id)

    def _depends_on_itself(self, stream_id: int) -> None:
        """RFC 7540 5.3.1; RFC 9113 has no such rule."""
        if (stream := self.streams.get(stream_id)) is not None:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
        elif self._is_idle(stream_id):  # which cannot be reset
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")

    def _settings(self, payload: bytes) -> None:
        """RFC 9113 6.5.3: the values hold in their order, then they are acknowledged."""
        initial_window = self.initial_window
        for code, value in parse_settings(payload, from_server=self.client):
            if code == HEADER_TABLE_SIZE:
                self._writer.resize(value)
            elif code == MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            elif code == MAX_FRAME_SIZE:
                self.peer_max_frame_size = value
            elif code == INITIAL_WINDOW_SIZE:
                initial_window = value
        if initial_window != self.initial_window:
            self._move_windows(initial_window)
        self._answer(settings_frame(ack=True))
        self._told().on_settings()
        self._wake_blocked()

    def _move_windows(self, initial_window: int) -> None:
        """RFC 9113 6.9.2. Once for a frame of SETTINGS, however often it names the window."""
        change, self.initial_window = initial_window - self.initial_window, initial_window
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > MAX_WINDOW:
                raise RemoteProtocolError(
                    ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"
                )

    def _ping(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            self._told().on_ping_ack(payload)
        else:
            self._answer(ping_frame(payload, ack=True))

    def _rst_stream(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self._on_closed_stream(RST_STREAM, stream_id)
        else:
            self._close(stream, Ending.RESET_BY_PEER)
            stream.on_reset(code)
            self._count_reset()

    def _window_update(self, stream_id: int, increment: int) -> None:
        """RFC 9113 6.9 and 6.9.1."""
        if not stream_id:
            if not increment or self.send_window + increment > MAX_WINDOW:
                code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
                raise RemoteProtocolError(code, f"WINDOW_UPDATE of {increment} bytes on the connection")
            had_room = self.send_window > 0  # then nobody has waited for this
            self.send_window += increment
            if not had_room:
                self._wake_blocked()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._on_closed_stream(WINDOW_UPDATE, stream_id)
        elif not increment:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 bytes")
        elif stream.send_window + increment > MAX_WINDOW:
            self._fault(stream, ErrorCode.FLOW_CONTROL_ERROR, f"WINDOW_UPDATE of {increment} bytes")
        else:
            stream.send_window += increment
            if stream in self.blocked and stream.send_window > 0 and self.send_window > 0:
                del self.blocked[stream]
                stream.on_window()

    def _wake_blocked(self) -> None:
        """Call those that wait and have room, in their order, until the connection's window is used up.

        Who gets nothing keeps its place, and who waits again comes after all of them.
        """
        for stream in list(self.blocked):
            if self.send_window <= 0:
                break
            if stream.send_window > 0 and self.blocked.pop(stream, stream) is None:
                stream.on_window()
