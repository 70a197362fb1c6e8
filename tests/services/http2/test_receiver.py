"""What a peer's mistakes cost it: a stream, the connection, or nothing yet (RFC 9113 5.1, 5.4, 10.5)."""

from __future__ import annotations

import pytest

from tests.services.http2.peers import REQUEST_FIELDS, RESPONSE, RESPONSE_FIELDS, Rig
from ziggurat.services.http2 import ErrorCode, LocalSettings, RemoteProtocolError
from ziggurat.services.http2.frames import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
    frame,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)
from ziggurat.services.http2.receiver import MAX_RESETS, MAX_UNREAD_ANSWERS, MAX_USELESS_FRAMES, without_padding

RST = rst_stream_frame(1, 8)


def test_a_stream_error_resets_the_stream_and_tells_it() -> None:
    """RFC 9113 5.4.2."""
    rig = Rig()
    stream = rig.open()

    rig.feed(window_update_frame(1, 0))

    assert stream.events == [("fault", "WINDOW_UPDATE of 0 bytes")]
    assert [part.kind for part in rig.sent()] == [RST_STREAM]
    assert rig.owner.closed_streams == 1
    assert not rig.connection.failed


def test_a_connection_error_sends_goaway_with_the_last_stream_and_reads_no_more() -> None:
    """RFC 9113 5.4.1."""
    rig = Rig(client=False)
    rig.feed(rig.headers(5, REQUEST_FIELDS))
    stream = rig.owner.requests[0]

    error = rig.failure(frame(DATA, 0, 5, b"x"), frame(RST_STREAM, 0, 0, bytes(4)), frame(DATA, 0, 5, b"y"))
    rig.feed(frame(DATA, 0, 5, b"z"))

    assert str(error) == "RST_STREAM on stream 0"
    assert stream.body == b"x"
    goaway = rig.sent()[-1]
    assert goaway.kind == GOAWAY
    assert goaway.payload == b"\0\0\0\x05" + b"\0\0\0\x01" + b"RST_STREAM on stream 0"
    assert rig.connection.failed


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("stream_id", [8, 9])
@pytest.mark.parametrize("kind", [DATA, RST_STREAM, WINDOW_UPDATE])
def test_a_frame_on_an_idle_stream_ends_the_connection(client: bool, stream_id: int, kind: int) -> None:
    """RFC 9113 5.1, 6.4, 6.9."""
    rig = Rig(client=client)
    rig.open()

    error = rig.failure(frame(kind, 0, stream_id, b"\0\0\0\x01"))

    assert error.code is ErrorCode.PROTOCOL_ERROR
    assert "never opened" in str(error)


@pytest.mark.parametrize("how", ["ended", "we reset it", "they reset it"])
def test_what_may_have_been_on_its_way_on_a_closed_stream_is_ignored(how: str) -> None:
    """RFC 9113 5.1: WINDOW_UPDATE and RST_STREAM in any case, all else if the reset was ours."""
    rig = Rig(client=False)
    stream = rig.open(end=how == "ended")
    if how == "ended":
        rig.connection.send_headers(stream, RESPONSE, end=True)
    elif how == "we reset it":
        rig.connection.reset(stream)
        rig.feed(frame(DATA, 0, 1, b"x"), rig.headers(1, [(b"a", b"b")], end=True))
    else:
        rig.feed(RST)
    rig.sent()
    told = list(stream.events)

    rig.feed(window_update_frame(1, 1), window_update_frame(1, 0), RST, frame(PRIORITY, 0, 1, bytes(5)))

    assert rig.sent() == []
    assert stream.events == told


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_what_comes_after_both_have_ended_ends_the_connection(kind: int) -> None:
    """RFC 9113 5.1, closed."""
    rig = Rig(client=False)
    rig.connection.send_headers(rig.open(end=True), RESPONSE, end=True)

    late = frame(DATA, 0, 1) if kind == DATA else rig.headers(1, [(b"a", b"b")], end=True)

    assert rig.failure(late).code is ErrorCode.STREAM_CLOSED


@pytest.mark.parametrize("client", [True, False])
def test_what_comes_for_a_stream_of_long_ago_costs_no_more_than_the_stream(client: bool) -> None:
    rig = Rig(client=client)
    for _ in range(1100):
        rig.connection.reset(rig.open())
    rig.sent()

    rig.feed(frame(DATA, 0, 1, b"x"))

    assert [part.kind for part in rig.sent()] == ([] if client else [RST_STREAM])


# --- windows


def test_what_is_read_is_given_back_half_a_window_at_a_time() -> None:
    """RFC 9113 5.2, 6.9."""
    rig = Rig(local=LocalSettings(stream_window=1000, connection_window=65_535, max_unread=0))
    stream = rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame(DATA, 0, 1, bytes(600)))

    rig.connection.read(stream, 300)
    assert rig.sent() == []
    rig.connection.read(stream, 300)

    assert rig.sent() == [(WINDOW_UPDATE, 0, 1, (600).to_bytes(4, "big"))]
    assert stream.receive_window == 1000


def test_a_stream_whose_peer_has_ended_is_given_nothing_back() -> None:
    """An update would be a frame for nothing."""
    rig = Rig(local=LocalSettings(stream_window=1000, connection_window=65_535))
    stream = rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame(DATA, END_STREAM, 1, bytes(1000)))

    rig.connection.read(stream, 1000)
    rig.connection.widen(stream, 5)

    assert rig.sent() == []
    assert rig.connection.unread == 0


def test_a_slow_reader_does_not_stop_the_others() -> None:
    """The connection's window comes back on arrival, that of a stream on reading."""
    rig = Rig(local=LocalSettings(stream_window=65_535, connection_window=65_535))
    slow, other = rig.open(reads=False), rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), rig.headers(3, RESPONSE_FIELDS))

    rig.feed(*[frame(DATA, 0, 1, bytes(13_107))] * 5)
    assert slow.receive_window == 0

    for _ in range(20):
        rig.feed(frame(DATA, 0, 3, bytes(13_107)))
    assert len(other.body) == 20 * 13_107
    assert rig.connection.unread == 65_535


def test_all_that_lies_unread_is_bounded() -> None:
    rig = Rig(local=LocalSettings(stream_window=1 << 20, connection_window=65_535, max_unread=200_000))
    rig.open(reads=False)
    rig.feed(rig.headers(1, RESPONSE_FIELDS))

    with pytest.raises(RemoteProtocolError) as caught:
        rig.feed(*[frame(DATA, 0, 1, bytes(1000))] * 1000, cut=1009)

    assert caught.value.code is ErrorCode.FLOW_CONTROL_ERROR
    assert rig.connection.unread == 200_000


def test_windows_are_widened_for_streams_and_the_connection() -> None:
    rig = Rig()
    stream = rig.open()

    rig.connection.widen(None, 100)
    rig.connection.widen(stream, 50)

    assert rig.sent() == [(WINDOW_UPDATE, 0, 0, b"\0\0\0\x64"), (WINDOW_UPDATE, 0, 1, b"\0\0\0\x32")]
    assert stream.receive_window == 65_585


# --- floods


def test_answers_that_nobody_reads_end_the_connection() -> None:
    """CVE-2019-9512."""
    rig = Rig()
    ping = ping_frame(b"12345678")
    rig.feed(ping * (MAX_UNREAD_ANSWERS // len(ping)))

    assert rig.failure(ping).code is ErrorCode.ENHANCE_YOUR_CALM
    assert rig.connection.out_size < MAX_UNREAD_ANSWERS + 300


def test_settings_without_end_end_the_connection() -> None:
    """CVE-2019-9515."""
    rig = Rig()
    rig.feed(settings_frame() * MAX_USELESS_FRAMES)

    assert rig.failure(settings_frame()).code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_peer_that_reads_its_answers_may_ping_for_ever() -> None:
    rig = Rig()
    for _ in range(40):
        rig.feed(ping_frame(b"12345678") * 1000)
        rig.connection.take()
        rig.connection.unread_answers = 0

    assert not rig.connection.failed


@pytest.mark.parametrize("end", [True, False])
def test_requests_that_are_reset_one_after_the_other_end_the_connection(end: bool) -> None:
    """CVE-2023-44487, whether the requests were whole or not."""
    rig = Rig(client=False)
    for number in range(MAX_RESETS):
        rig.feed(rig.headers(2 * number + 1, REQUEST_FIELDS, end=end), rst_stream_frame(2 * number + 1, 8))

    last = 2 * MAX_RESETS + 1
    error = rig.failure(rig.headers(last, REQUEST_FIELDS, end=end), rst_stream_frame(last, 8))

    assert error.code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("how", ["window", "end", "malformed"])
def test_requests_that_the_client_makes_us_reset_count_as_well(how: str) -> None:
    """CVE-2025-8671."""
    rig = Rig(client=False)

    def provoke(stream_id: int) -> None:
        rig.connection.unread_answers = 0
        if how == "malformed":
            rig.feed(rig.headers(stream_id, REQUEST_FIELDS[1:]))
            return
        rig.feed(rig.headers(stream_id, REQUEST_FIELDS, end=True))
        rig.feed(window_update_frame(stream_id, 0) if how == "window" else frame(DATA, END_STREAM, stream_id))

    for number in range(MAX_RESETS):
        provoke(2 * number + 1)
    with pytest.raises(RemoteProtocolError) as caught:
        provoke(2 * MAX_RESETS + 1)

    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_client_that_lets_as_many_requests_end_may_reset_for_ever() -> None:
    rig = Rig(client=False)
    for number in range(0, 3 * MAX_RESETS, 2):
        rig.feed(rig.headers(2 * number + 1, REQUEST_FIELDS), rst_stream_frame(2 * number + 1, 8))
        rig.feed(rig.headers(2 * number + 3, REQUEST_FIELDS, end=True))
        rig.connection.send_headers(rig.owner.requests[-1], RESPONSE, end=True)

    assert not rig.connection.failed


def test_a_server_may_reset_every_request() -> None:
    rig = Rig()
    for number in range(2 * MAX_RESETS):
        rig.open()
        rig.feed(rst_stream_frame(2 * number + 1, 7))

    assert not rig.connection.failed


@pytest.mark.parametrize(
    "useless",
    [
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(0xBE, 0, 0, b"x"),
        RST,
        window_update_frame(1, 1),
        frame(DATA, 0, 1),
        settings_frame(ack=True),
        goaway_frame(1, 0),
    ],
    ids=["PRIORITY", "unknown", "RST_STREAM", "WINDOW_UPDATE", "DATA", "SETTINGS ack", "GOAWAY"],
)
def test_frames_that_do_nothing_end_the_connection(useless: bytes) -> None:
    """RFC 9113 10.5. Stream 1 is closed."""
    rig = Rig()
    rig.connection.reset(rig.open())
    rig.feed(useless * MAX_USELESS_FRAMES)

    assert rig.failure(useless).code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("payload", "content"),
    [(b"\0abc", b"abc"), (b"\x02a\0\0", b"a"), (b"\x03\0\0\0", b""), (b"\0", b"")],
)
def test_padding_is_found(payload: bytes, content: bytes) -> None:
    """RFC 9113 6.1."""
    start, end = without_padding(payload)

    assert payload[start:end] == content
