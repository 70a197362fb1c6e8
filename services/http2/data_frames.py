"""DATA (RFC 9113 6.1): whose it is, whether the windows and the content-length allow it, and the end of a stream."""

from __future__ import annotations

from ziggurat.services.http2.errors import ErrorCode
from ziggurat.services.http2.frames import DATA, END_STREAM, window_update_frame
from ziggurat.services.http2.receiver import Receiver, without_padding
from ziggurat.services.http2.sender import Ending
from ziggurat.services.http2.stream import Stream

__all__ = ["DataFrames"]


class DataFrames(Receiver):
    """A connection's part for DATA."""

    __slots__ = ()

    def _data_begins(self, stream_id: int, length: int, ends: bool, padding: int = 0) -> Stream | None:
        stream = self.streams.get(stream_id)
        if increment := self._window.arrived(length):
            self._put(window_update_frame(0, increment))
        content = length - padding
        if stream is None:
            self._on_closed_stream(DATA, stream_id)
            if not content:
                self._count_useless()
        elif stream.remote_ended:
            self._fault(stream, ErrorCode.STREAM_CLOSED, "DATA after END_STREAM")
        elif not stream.headers_received:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR, "DATA before HEADERS")
        elif length > stream.receive_window:
            self._fault(stream, ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window allows")
        elif stream.missing is not None and (content > stream.missing or (ends and content != stream.missing)):
            self._fault(stream, ErrorCode.PROTOCOL_ERROR, "the content is not as long as its content-length says")
        else:
            stream.receive_window -= length
            if stream.missing is not None:
                stream.missing -= content
            if content or ends:
                self._useless = 0
            else:
                self._count_useless()
            return stream
        return None

    def _pass_on(self, stream: Stream | None, data: bytes, start: int, end: int, ends: bool) -> None:
        if stream is None or stream.closed:
            if end > start:
                self.read(None, end - start)
            return
        if end > start:
            stream.on_data(data, start, end)
        if ends:
            self._end_remote(stream)

    def _padded_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        start, end = without_padding(payload)
        padding = len(payload) - (end - start)
        stream = self._data_begins(stream_id, len(payload), bool(flags & END_STREAM), padding)
        self.read(stream, padding)
        self._pass_on(stream, payload, start, end, bool(flags & END_STREAM))

    def _end_remote(self, stream: Stream) -> None:
        if stream.closed:
            return
        stream.remote_ended = True
        if stream.local_ended:
            self._close(stream, Ending.BOTH_ENDED)
        stream.on_end()
