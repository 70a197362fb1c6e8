"""HEADERS and CONTINUATION (RFC 9113 6.2, 6.10): requests, responses and trailers in their order (8.1)."""

from __future__ import annotations

from typing import Final

from ziggurat.services.http2.data_frames import DataFrames
from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.frames import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PRIORITY_FLAG,
    UINT31,
    UINT32,
)
from ziggurat.services.http2.header_reader import HeaderReader
from ziggurat.services.http2.header_section import HeaderSection, SectionKind
from ziggurat.services.http2.receiver import Owner, without_padding
from ziggurat.services.http2.settings import LocalSettings

__all__ = ["HeaderFrames"]

TOO_SHORT: Final = "the content is shorter than its content-length says"
RESPONSE, TRAILERS = SectionKind.RESPONSE, SectionKind.TRAILERS  # an enumeration's attributes are looked up slowly


class HeaderFrames(DataFrames):
    """A connection's part for HEADERS; it needs the other for the end of a stream."""

    __slots__ = (
        "_block_ends",
        "_block_fault",
        "_header_reader",
        "_known_sections",
        "_max_concurrent_streams",
    )

    def __init__(self, owner: Owner, local: LocalSettings, *, client: bool) -> None:
        super().__init__(owner, local, client=client)
        self._header_reader = HeaderReader(local.max_header_list_size)
        self._known_sections = self._header_reader.known
        self._max_concurrent_streams = local.max_concurrent_streams
        self._block_ends = False
        self._block_fault: str | None = None

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        start, end = without_padding(payload) if flags & PADDED else (0, len(payload))
        fault = None
        if flags & PRIORITY_FLAG:
            if end - start < 5:
                raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority")
            if UINT32.unpack_from(payload, start)[0] & UINT31 == stream_id:
                fault = "a stream that depends on itself"
            start += 5
        block = payload[start:end]
        if flags & END_HEADERS:
            self._section(stream_id, block, bool(flags & END_STREAM), fault)
            return
        self._block_stream, self._block_ends, self._block_fault = stream_id, bool(flags & END_STREAM), fault
        self._block += block

    def _continuation(self, flags: int, payload: bytes) -> None:
        if not self._block_stream:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block += payload
        if not payload:
            self._count_useless()
        if flags & END_HEADERS:
            stream_id, self._block_stream = self._block_stream, 0
            block, self._block = bytes(self._block), bytearray()
            self._section(stream_id, block, self._block_ends, self._block_fault)

    def _section(self, stream_id: int, block: bytes, ends: bool, fault: str | None) -> None:
        section = self._known_sections.get(block) or self._header_reader.read(
            block
        )  # in any case: the tables have to stay in step
        stream = self.streams.get(stream_id)
        fault = fault or section.fault
        if stream is None:
            if not self.client and stream_id & 1 and stream_id > self._last_peer_id:
                self._request(stream_id, section, ends, fault)
            else:
                self._on_closed_stream(HEADERS, stream_id)
            return
        if stream.remote_ended:
            self._fault(stream, ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
            return
        if not stream.headers_received:
            if section.kind is not RESPONSE:
                fault = fault or "the response has no :status"
            elif section.informational and not fault:
                self._count_useless()
                if ends:
                    self._fault(stream, ErrorCode.PROTOCOL_ERROR, "a 1xx response that ends the stream")
                return
        elif section.kind is not TRAILERS:
            fault = fault or "pseudo-header fields in trailers"
        elif not ends:
            fault = fault or "trailers that do not end the stream"
        announced = stream.missing if stream.headers_received else section.announced
        if ends and announced:
            fault = fault or TOO_SHORT
        if fault:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR, fault)
            return
        self._useless = 0
        if not stream.headers_received:
            stream.headers_received = True
            stream.missing = announced
        stream.on_headers(section, ends)
        if ends:
            self._end_remote(stream)

    def _request(self, stream_id: int, section: HeaderSection, ends: bool, fault: str | None) -> None:
        """A client opens a stream (RFC 9113 5.1.1, 5.1.2, 8.3.1)."""
        self._last_peer_id = stream_id
        if section.kind is not SectionKind.REQUEST:
            fault = fault or "the request has no :method"
        if ends and section.content_length:
            fault = fault or TOO_SHORT
        if fault:
            self._answer_reset(stream_id, ErrorCode.PROTOCOL_ERROR)
            self._told().on_malformed_request(fault)
            self._count_reset()
            return
        limit = self._max_concurrent_streams
        full = limit is not None and len(self.streams) >= limit
        stream = None if full or self.going_away else self._told().on_request(section)
        if stream is None:
            self._answer_reset(stream_id, ErrorCode.REFUSED_STREAM)
            return
        stream.stream_id = stream_id
        stream.send_window, stream.receive_window = self.initial_window, self._stream_window
        stream.headers_received, stream.missing = True, section.content_length
        self.streams[stream_id] = stream
        self._useless = 0
        stream.on_headers(section, ends)
        if ends:
            self._end_remote(stream)
