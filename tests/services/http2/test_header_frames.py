"""Requests, responses and trailers in their order (RFC 9113 5.1.1, 5.1.2, 6.2, 6.10, 8.1)."""

from __future__ import annotations

import pytest

from tests.services.http2.peers import (
    REQUEST_FIELDS,
    RESPONSE,
    RESPONSE_FIELDS,
    TRAILER_FIELDS,
    Rig,
    Sent,
)
from ziggurat.services.http2 import ErrorCode, LocalSettings
from ziggurat.services.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PRIORITY_FLAG,
    RST_STREAM,
    frame,
)

INFORMATIONAL = ((b":status", b"103"), (b"link", b"</a>"))


def reset(stream_id: int, code: ErrorCode) -> Sent:
    return Sent(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


# --- client


def test_a_response_is_headers_data_and_trailers() -> None:
    """RFC 9113 8.1."""
    rig = Rig()
    stream = rig.open()

    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame(DATA, 0, 1, b"x"), rig.headers(1, TRAILER_FIELDS, end=True))

    assert stream.events == [("headers", RESPONSE_FIELDS), ("data", b"x"), ("headers", TRAILER_FIELDS), ("end",)]


def test_a_response_may_be_headers_alone() -> None:
    """RFC 9113 8.1; gRPC calls it trailers-only."""
    rig = Rig()
    stream = rig.open(end=True)

    rig.feed(rig.headers(1, RESPONSE_FIELDS, end=True))

    assert stream.events == [("headers", RESPONSE_FIELDS), ("end",)]
    assert rig.owner.closed_streams == 1
    assert rig.connection.streams == {}


def test_1xx_responses_are_passed_over() -> None:
    """RFC 9113 8.1."""
    rig = Rig()
    stream = rig.open()

    rig.feed(rig.headers(1, INFORMATIONAL), rig.headers(1, INFORMATIONAL), rig.headers(1, RESPONSE_FIELDS))

    assert stream.events == [("headers", RESPONSE_FIELDS)]


def test_a_1xx_response_that_ends_the_stream_is_malformed() -> None:
    """RFC 9113 8.1."""
    rig = Rig()
    stream = rig.open()

    rig.feed(rig.headers(1, INFORMATIONAL, end=True))

    assert stream.events == [("fault", "a 1xx response that ends the stream")]


def test_1xx_responses_without_end_end_the_connection() -> None:
    rig = Rig()
    rig.open()
    rig.feed(rig.headers(1, INFORMATIONAL) * 10_000)

    assert rig.failure(rig.headers(1, INFORMATIONAL)).code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ([(TRAILER_FIELDS, False)], "the response has no :status"),
        ([(REQUEST_FIELDS, False)], "the response has no :status"),
        ([(((b":status", b"2x0"),), False)], "the :status 2x0"),
        ([(((b":status", b"100"), (b"A", b"")), False)], "the field name A"),
        ([(RESPONSE_FIELDS, False), (RESPONSE_FIELDS, True)], "pseudo-header fields in trailers"),
        ([(RESPONSE_FIELDS, False), (INFORMATIONAL, False)], "pseudo-header fields in trailers"),
        ([(RESPONSE_FIELDS, False), (TRAILER_FIELDS, False)], "trailers that do not end the stream"),
        ([(RESPONSE_FIELDS, False), (((b"upgrade", b"x"),), True)], "the connection-specific field upgrade"),
    ],
)
def test_a_malformed_response_is_a_stream_error_and_other_streams_go_on(
    sections: list[tuple[tuple[tuple[bytes, bytes], ...], bool]], reason: str
) -> None:
    """RFC 9113 8.1.1."""
    rig = Rig()
    stream, other = rig.open(), rig.open()

    for fields, end in sections:
        rig.feed(rig.headers(1, fields, end=end))
    rig.feed(rig.headers(3, RESPONSE_FIELDS))

    assert stream.events[-1] == ("fault", reason)
    assert rig.sent() == [reset(1, ErrorCode.PROTOCOL_ERROR)]
    assert other.events == [("headers", RESPONSE_FIELDS)]


def test_headers_after_the_end_are_a_stream_error_of_type_stream_closed() -> None:
    """RFC 9113 5.1, half-closed (remote)."""
    rig = Rig()
    stream = rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS, end=True))

    rig.feed(rig.headers(1, TRAILER_FIELDS, end=True))

    assert stream.events[2:] == [("fault", "HEADERS after END_STREAM")]
    assert rig.sent() == [reset(1, ErrorCode.STREAM_CLOSED)]


def test_a_304_may_announce_the_length_of_content_that_it_does_not_have() -> None:
    """RFC 9113 8.1.1, RFC 9110 8.6."""
    rig = Rig()
    stream = rig.open()

    rig.feed(rig.headers(1, [(b":status", b"304"), (b"content-length", b"7")], end=True))

    assert stream.events[-1] == ("end",)


@pytest.mark.parametrize("stream_id", [2, 3])
def test_a_server_opens_no_stream(stream_id: int) -> None:
    """RFC 9113 5.1.1, 8.4: neither one of its own nor one that we have not opened."""
    rig = Rig()
    rig.open()

    assert rig.failure(rig.headers(stream_id, RESPONSE_FIELDS)).code is ErrorCode.PROTOCOL_ERROR


# --- server


def test_a_request_opens_a_stream() -> None:
    rig = Rig(client=False, local=LocalSettings(stream_window=70_000))

    rig.feed(rig.headers(1, REQUEST_FIELDS), rig.headers(7, REQUEST_FIELDS, end=True))

    first, second = rig.owner.requests
    assert first.events == [("headers", REQUEST_FIELDS)]
    assert second.events == [("headers", REQUEST_FIELDS), ("end",)]
    assert rig.connection.streams == {1: first, 7: second}
    assert (second.stream_id, second.send_window, second.receive_window) == (7, 65_535, 70_000)


@pytest.mark.parametrize(("stream_id", "why"), [(3, "lower than the last one"), (2, "even"), (0, "the connection")])
def test_a_client_numbers_its_streams_upwards_and_oddly(stream_id: int, why: str) -> None:
    """RFC 9113 5.1.1, 6.2."""
    rig = Rig(client=False)
    rig.feed(rig.headers(5, REQUEST_FIELDS))

    assert rig.failure(rig.headers(stream_id, REQUEST_FIELDS)).code is ErrorCode.PROTOCOL_ERROR, why


def test_requests_beyond_the_announced_number_are_refused() -> None:
    """RFC 9113 5.1.2: with REFUSED_STREAM, which lets the client try again (8.7)."""
    rig = Rig(client=False, local=LocalSettings(max_concurrent_streams=1))
    stream = rig.open()

    rig.feed(rig.headers(3, REQUEST_FIELDS))
    assert rig.sent() == [reset(3, ErrorCode.REFUSED_STREAM)]

    rig.connection.reset(stream)
    rig.feed(rig.headers(5, REQUEST_FIELDS))
    assert len(rig.owner.requests) == 2


def test_requests_are_refused_by_the_owner_and_after_goaway() -> None:
    """RFC 9113 6.8, 8.7."""
    rig = Rig(client=False)
    rig.owner.refuses = True
    rig.feed(rig.headers(1, REQUEST_FIELDS))
    rig.owner.refuses = False
    rig.connection.go_away()
    rig.feed(rig.headers(3, REQUEST_FIELDS))

    assert [part for part in rig.sent() if part.kind == RST_STREAM] == [
        reset(1, ErrorCode.REFUSED_STREAM),
        reset(3, ErrorCode.REFUSED_STREAM),
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (REQUEST_FIELDS[1:], "the request has no :method"),
        (RESPONSE_FIELDS, "the request has no :method"),
        (TRAILER_FIELDS, "the request has no :method"),
        (((b":method", b"GET"),), "the request has no :scheme"),
    ],
)
def test_a_malformed_request_is_reset_and_told_to_the_owner(
    fields: tuple[tuple[bytes, bytes], ...], reason: str
) -> None:
    """RFC 9113 8.1.1."""
    rig = Rig(client=False)

    rig.feed(rig.headers(1, fields), rig.headers(3, REQUEST_FIELDS))

    assert rig.owner.events == [("malformed", reason)]
    assert rig.sent() == [reset(1, ErrorCode.PROTOCOL_ERROR)]
    assert len(rig.owner.requests) == 1


def test_a_request_may_have_trailers() -> None:
    """RFC 9113 8.1."""
    rig = Rig(client=False)
    stream = rig.open()

    rig.feed(rig.headers(1, [(b"a", b"b")], end=True))

    assert stream.events[1:] == [("headers", ((b"a", b"b"),)), ("end",)]


def test_headers_for_a_stream_that_was_reset_keep_the_tables_in_step() -> None:
    """RFC 9113 4.3: a block is decoded even if nobody wants it."""
    rig = Rig()
    gone, stream = rig.open(), rig.open()
    rig.connection.reset(gone)

    rig.feed(rig.headers(1, [*RESPONSE_FIELDS, (b"new", b"entry")]))
    rig.feed(rig.headers(3, [*RESPONSE_FIELDS, (b"new", b"entry")]))

    assert stream.events == [("headers", (*RESPONSE_FIELDS, (b"new", b"entry")))]
    assert gone.events == []


# --- the frames


@pytest.mark.parametrize("client", [True, False])
def test_padding_and_priority_are_cut_off(client: bool) -> None:
    """RFC 9113 6.2."""
    rig = Rig(client=client)
    if client:
        rig.open()
    fields = RESPONSE_FIELDS if client else REQUEST_FIELDS

    flags = END_HEADERS | PADDED | PRIORITY_FLAG
    rig.feed(frame(HEADERS, flags, 1, b"\x04" + b"\0\0\0\x03\x10" + rig.block(fields) + bytes(4)))

    stream = rig.connection.streams[1]
    assert stream.events == [("headers", fields)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("flags", "payload", "code"),
    [
        (PADDED, b"", ErrorCode.PROTOCOL_ERROR),
        (PADDED, b"\x02\x88", ErrorCode.PROTOCOL_ERROR),
        (PRIORITY_FLAG, bytes(4), ErrorCode.FRAME_SIZE_ERROR),
        (PADDED | PRIORITY_FLAG, b"\x01" + bytes(5), ErrorCode.FRAME_SIZE_ERROR),
    ],
)
def test_a_frame_without_room_for_what_its_flags_say_ends_the_connection(
    flags: int, payload: bytes, code: ErrorCode
) -> None:
    """RFC 9113 6.2, 4.2."""
    rig = Rig()
    rig.open()

    assert rig.failure(frame(HEADERS, END_HEADERS | flags, 1, payload)).code is code


@pytest.mark.parametrize("split", [False, True])
def test_a_stream_that_depends_on_itself_is_a_stream_error(split: bool) -> None:
    """RFC 7540 5.3.1, which RFC 9113 has dropped; h2spec still asks for it."""
    rig = Rig(client=False)
    block = b"\0\0\0\x01\x10" + rig.block(REQUEST_FIELDS)
    if split:
        rig.feed(frame(HEADERS, PRIORITY_FLAG, 1, block), frame(CONTINUATION, END_HEADERS, 1))
    else:
        rig.feed(frame(HEADERS, PRIORITY_FLAG | END_HEADERS, 1, block))

    assert rig.owner.events == [("malformed", "a stream that depends on itself")]


def test_a_block_in_many_frames_is_one_section_and_ends_as_its_first_frame_says() -> None:
    """RFC 9113 6.10."""
    rig = Rig()
    stream = rig.open()
    block = rig.block(RESPONSE_FIELDS)

    rig.feed(frame(HEADERS, END_STREAM, 1, b""))
    for byte in block:
        rig.feed(frame(CONTINUATION, 0, 1, bytes((byte,))))
    assert stream.events == []

    rig.feed(frame(CONTINUATION, END_HEADERS, 1))
    assert stream.events == [("headers", RESPONSE_FIELDS), ("end",)]


def test_a_continuation_without_headers_ends_the_connection() -> None:
    """RFC 9113 6.10."""
    rig = Rig()
    rig.open()

    assert rig.failure(frame(CONTINUATION, END_HEADERS, 1)).code is ErrorCode.PROTOCOL_ERROR


def test_empty_continuations_without_end_end_the_connection() -> None:
    """CVE-2019-9518."""
    rig = Rig()
    rig.open()
    rig.feed(frame(HEADERS, 0, 1), frame(CONTINUATION, 0, 1) * 10_000)

    assert rig.failure(frame(CONTINUATION, 0, 1)).code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_block_that_cannot_be_decoded_ends_the_connection() -> None:
    """RFC 9113 4.3."""
    rig = Rig()
    rig.open()

    assert rig.failure(frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\x0f")).code is ErrorCode.COMPRESSION_ERROR


def test_a_response_that_is_too_large_is_a_stream_error() -> None:
    """RFC 9113 10.5.1."""
    rig = Rig(local=LocalSettings(max_header_list_size=200))
    stream, other = rig.open(), rig.open()

    rig.feed(rig.headers(1, [*RESPONSE_FIELDS, (b"a", bytes(100)), (b"b", b"c")]), rig.headers(3, [*RESPONSE_FIELDS]))

    assert stream.events == [("fault", "a list of headers of 269 bytes (the limit is 200)")]
    assert other.events == [("headers", RESPONSE_FIELDS)]


def test_a_response_before_the_request_is_whole_leaves_our_side_open() -> None:
    """RFC 9113 8.1."""
    rig = Rig(client=False)
    stream = rig.open()
    rig.connection.send_headers(stream, RESPONSE, end=True)
    assert not stream.closed

    rig.feed(frame(DATA, END_STREAM, 1, b"x"))
    assert stream.events[1:] == [("data", b"x"), ("end",)]
    assert stream.closed
