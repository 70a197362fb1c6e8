"""DATA: whose it is, and what it may not be (RFC 9113 5.1, 6.1, 6.9, 8.1.1)."""

from __future__ import annotations

import pytest

from tests.services.http2.peers import REQUEST_FIELDS, RESPONSE, RESPONSE_FIELDS, Rig, Sent
from ziggurat.services.http2 import ErrorCode, LocalSettings
from ziggurat.services.http2.frames import DATA, END_STREAM, PADDED, RST_STREAM, WINDOW_UPDATE, frame, frame_header

SMALL = LocalSettings(stream_window=65_535, connection_window=65_535, max_unread=65_535)


def reset(stream_id: int, code: ErrorCode) -> Sent:
    return Sent(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def test_data_and_the_end_go_to_their_stream() -> None:
    rig = Rig()
    first, second = rig.open(), rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), rig.headers(3, RESPONSE_FIELDS))

    rig.feed(frame(DATA, 0, 3, b"b"), frame(DATA, END_STREAM, 1, b"a"), frame(DATA, END_STREAM, 3))

    assert first.events[1:] == [("data", b"a"), ("end",)]
    assert second.events[1:] == [("data", b"b"), ("end",)]


def test_padding_is_cut_off_and_given_back_to_both_windows() -> None:
    """RFC 9113 6.1: padding counts in flow control, and nobody reads it."""
    rig = Rig(local=SMALL)
    stream = rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS))

    for _ in range(5):
        rig.feed(frame(DATA, PADDED, 1, b"\xff" + b"x" + bytes(255)))

    assert stream.body == b"xxxxx"
    assert rig.connection.unread == 5
    assert stream.unreturned == 5 * 256
    assert stream.receive_window == 65_535 - 5 * 257


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abcd"])
def test_padding_that_is_longer_than_its_frame_ends_the_connection(payload: bytes) -> None:
    """RFC 9113 6.1."""
    rig = Rig()
    rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS))

    assert rig.failure(frame(DATA, PADDED, 1, payload)).code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("flags", [0, PADDED])
def test_data_on_stream_0_ends_the_connection(flags: int) -> None:
    """RFC 9113 6.1."""
    assert Rig().failure(frame(DATA, flags, 0, b"\0x")).code is ErrorCode.PROTOCOL_ERROR


def test_data_before_the_headers_is_a_stream_error() -> None:
    """RFC 9113 8.1: such a response is malformed."""
    rig = Rig()
    stream = rig.open()

    rig.feed(frame(DATA, 0, 1, b"x"))

    assert stream.events == [("fault", "DATA before HEADERS")]
    assert rig.sent() == [reset(1, ErrorCode.PROTOCOL_ERROR)]


def test_data_after_the_end_is_a_stream_error_of_type_stream_closed() -> None:
    """RFC 9113 5.1, half-closed (remote)."""
    rig = Rig(client=False)
    stream = rig.open(end=True)

    rig.feed(frame(DATA, 0, 1, b"x"))

    assert stream.events[2:] == [("fault", "DATA after END_STREAM")]
    assert rig.sent() == [reset(1, ErrorCode.STREAM_CLOSED)]


def test_more_than_the_streams_window_is_a_stream_error_and_its_header_is_enough() -> None:
    """RFC 9113 6.9.1. The bytes count for the connection, where they are given back."""
    rig = Rig(local=LocalSettings(stream_window=100, connection_window=65_535, max_unread=65_535))
    stream = rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame(DATA, 0, 1, bytes(100)))

    rig.feed(frame_header(1, DATA, 0, 1))

    assert stream.events[2:] == [("fault", "more data than the stream's window allows")]
    assert rig.sent() == [reset(1, ErrorCode.FLOW_CONTROL_ERROR)]
    assert rig.connection.unread == 101
    rig.feed(b"x")
    assert rig.connection.unread == 100


def test_more_than_the_connections_window_ends_the_connection() -> None:
    """RFC 9113 6.9.1."""
    rig = Rig(local=LocalSettings(stream_window=100_000, max_frame_size=100_000, max_unread=0))
    rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS))

    assert rig.failure(frame_header(65_536, DATA, 0, 1)).code is ErrorCode.FLOW_CONTROL_ERROR


@pytest.mark.parametrize(
    ("announced", "frames", "good"),
    [
        (b"4", [frame(DATA, END_STREAM, 1, b"abcd")], True),
        (b"4", [frame(DATA, 0, 1, b"ab"), frame(DATA, PADDED | END_STREAM, 1, b"\x07cd" + bytes(7))], True),
        (b"4", [frame(DATA, 0, 1, b"abcd"), frame(DATA, END_STREAM, 1)], True),
        (b"0", [frame(DATA, END_STREAM, 1)], True),
        (b"4", [frame(DATA, END_STREAM, 1, b"abc")], False),
        (b"4", [frame(DATA, 0, 1, b"abcde")], False),
        (b"4", [frame(DATA, 0, 1, b"abcd"), frame(DATA, 0, 1, b"e")], False),
        (b"4", [frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1)], False),
        (b"4", [frame(DATA, 0, 1, b"abc"), "trailers"], False),
        (b"4", [frame(DATA, 0, 1, b"abcd"), "trailers"], True),
    ],
)
@pytest.mark.parametrize("client", [True, False])
def test_the_content_is_as_long_as_its_content_length_says(
    announced: bytes, frames: list[bytes | str], good: bool, client: bool
) -> None:
    """RFC 9113 8.1.1: else it is malformed, which is a stream error."""
    rig = Rig(client=client)
    if client:
        rig.open()
    fields = (RESPONSE_FIELDS if client else REQUEST_FIELDS) + ((b"content-length", announced),)
    rig.feed(rig.headers(1, fields))
    stream = rig.connection.streams[1]

    for part in frames:
        rig.feed(part if isinstance(part, bytes) else rig.headers(1, [(b"a", b"b")], end=True))

    events = stream.events  # type: ignore[attr-defined]
    assert events[-1][0] == ("end" if good else "fault")
    assert (reset(1, ErrorCode.PROTOCOL_ERROR) in rig.sent()) is not good


def test_data_for_a_stream_that_we_have_reset_is_ignored_and_given_back() -> None:
    """RFC 9113 5.1: it may have been on its way; 6.9: it counts for the connection's window."""
    rig = Rig(local=SMALL)
    stream = rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS))
    rig.connection.reset(stream)
    rig.sent()

    for _ in range(8):
        rig.feed(frame(DATA, 0, 1, bytes(16_000)))

    assert stream.events[1:] == []
    assert {(part.kind, part.stream_id) for part in rig.sent()} == {(WINDOW_UPDATE, 0)}
    assert rig.connection.unread == 0


def test_a_stream_that_is_reset_within_a_frame_is_given_no_more_of_it() -> None:
    rig = Rig(local=SMALL)
    stream = rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame_header(10, DATA, END_STREAM, 1), b"abcd")

    rig.connection.reset(stream)
    rig.feed(b"efghij")

    assert stream.events[1:] == [("data", b"abcd")]
    assert rig.connection.unread == 4  # which its reader has yet to give back


def test_a_stream_that_resets_itself_on_the_last_data_does_not_end() -> None:
    rig = Rig()
    stream = rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS))
    stream.on_data_do = lambda: rig.connection.reset(stream)

    rig.feed(frame(DATA, END_STREAM, 1, b"x"))

    assert stream.events[1:] == [("data", b"x")]


def test_data_for_a_stream_that_the_peer_has_reset_is_answered_once() -> None:
    """RFC 9113 5.1, closed."""
    rig = Rig(client=False)
    rig.open()
    rig.feed(frame(RST_STREAM, 0, 1, bytes(4)))

    rig.feed(frame(DATA, 0, 1, b"x"), frame(DATA, 0, 1, b"x"))

    assert rig.sent() == [reset(1, ErrorCode.STREAM_CLOSED)]


def test_data_for_a_stream_that_both_have_ended_ends_the_connection() -> None:
    """RFC 9113 5.1, closed."""
    rig = Rig(client=False)
    stream = rig.open(end=True)
    rig.connection.send_headers(stream, RESPONSE, end=True)

    assert rig.failure(frame(DATA, 0, 1, b"x")).code is ErrorCode.STREAM_CLOSED


@pytest.mark.parametrize("empty", [frame(DATA, 0, 1), frame(DATA, PADDED, 1, b"\x02\0\0")])
def test_empty_data_without_end_ends_the_connection(empty: bytes) -> None:
    """CVE-2019-9518, padded or not; a byte of content in between is progress."""
    rig = Rig()
    rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), empty * 10_000, frame(DATA, 0, 1, b"x"), empty * 10_000)

    assert rig.failure(empty).code is ErrorCode.ENHANCE_YOUR_CALM
