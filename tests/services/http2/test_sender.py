"""What we send: requests, responses, DATA within the windows, and nothing after the end (RFC 9113 5.1, 5.2, 6)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.http2.peers import (
    NOTHING,
    REQUEST,
    REQUEST_FIELDS,
    RESPONSE,
    RESPONSE_FIELDS,
    TRAILERS,
    Pair,
    RecordingStream,
    Rig,
)
from ziggurat.services.http2 import ErrorCode, LocalProtocolError, LocalSettings
from ziggurat.services.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    settings_frame,
    window_update_frame,
)
from ziggurat.services.http2.sender import REMEMBERED_CLOSED
from ziggurat.services.http2.settings import INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE

LAST_ID = 2**31 - 1


def test_a_request_is_headers_with_the_next_odd_number() -> None:
    """RFC 9113 5.1.1."""
    rig = Rig()
    for number in (1, 3, 5):
        stream = RecordingStream()
        rig.connection.open(stream, REQUEST, [(b"a", b"b")], [(b"grpc-timeout", b"1S")], end=number == 5)
        (sent,) = rig.sent()

        assert (sent.kind, sent.stream_id) == (HEADERS, number)
        assert sent.flags == END_HEADERS | (END_STREAM if number == 5 else 0)
        assert rig.fields_of(sent.payload) == [*REQUEST_FIELDS, (b"grpc-timeout", b"1S"), (b"a", b"b")]
        assert rig.connection.streams[number] is stream


def test_a_connection_that_has_used_up_its_numbers_opens_no_more() -> None:
    """RFC 9113 5.1.1."""
    rig = Rig()
    rig.connection._next_id = LAST_ID
    rig.connection.open(RecordingStream(), REQUEST)

    with pytest.raises(LocalProtocolError, match="numbers"):
        rig.connection.open(RecordingStream(), REQUEST)

    assert [part.stream_id for part in rig.sent()] == [LAST_ID]


def test_nothing_is_opened_after_our_goaway() -> None:
    rig = Rig()
    rig.connection.go_away()

    with pytest.raises(LocalProtocolError, match="going away"):
        rig.connection.open(RecordingStream(), REQUEST)


def test_data_is_a_frame_and_takes_from_both_windows() -> None:
    """RFC 9113 5.2, 6.1; an empty one takes nothing."""
    rig = Rig()
    stream = rig.open()

    rig.connection.send_data(stream, (b"ab", memoryview(b"cd")), 4)
    rig.connection.send_data(stream, (), 0, end=True)

    assert [(part.kind, part.flags, part.payload) for part in rig.sent()] == [
        (DATA, 0, b"abcd"),
        (DATA, END_STREAM, b""),
    ]
    assert stream.send_window == rig.connection.send_window == 65_535 - 4


def test_there_is_room_for_the_least_of_both_windows_and_the_largest_frame() -> None:
    """RFC 9113 4.2, 6.9.1."""
    rig = Rig()
    first, second = rig.open(), rig.open()
    assert rig.connection.room(first) == 16_384

    rig.feed(settings_frame([(MAX_FRAME_SIZE, 100_000)]))
    assert rig.connection.room(first) == 65_535

    rig.connection.send_data(first, (bytes(60_000),), 60_000)
    assert rig.connection.room(second) == 5_535

    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 10)]))
    assert rig.connection.room(second) == 10
    assert rig.connection.room(first) == 10 - 60_000

    with pytest.raises(LocalProtocolError, match="more data"):
        rig.connection.send_data(second, (bytes(11),), 11)


def test_empty_data_needs_no_window() -> None:
    """RFC 9113 6.9.1."""
    rig = Rig()
    stream = rig.open()
    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 0)]))

    rig.connection.send_data(stream, (), 0, end=True)

    assert rig.sent()[-1].flags == END_STREAM


@pytest.mark.parametrize("how", ["ended", "reset"])
def test_nothing_follows_the_end_of_our_side(how: str) -> None:
    """RFC 9113 5.1."""
    rig = Rig()
    stream = rig.open(end=how == "ended")
    if how == "reset":
        rig.connection.reset(stream)
    rig.sent()

    with pytest.raises(LocalProtocolError, match="ended"):
        rig.connection.send_data(stream, (b"x",), 1)
    with pytest.raises(LocalProtocolError, match="ended"):
        rig.connection.send_headers(stream, TRAILERS, end=True)

    assert rig.sent() == []


def test_a_response_is_headers_data_and_trailers() -> None:
    """RFC 9113 8.1."""
    rig = Rig(client=False)
    stream = rig.open(end=True)

    rig.connection.send_headers(stream, RESPONSE)
    rig.connection.send_data(stream, (b"x",), 1)
    rig.connection.send_headers(stream, TRAILERS, end=True)

    headers, data, trailers = rig.sent()
    assert rig.fields_of(headers.payload) == list(RESPONSE_FIELDS)
    assert data.payload == b"x"
    assert trailers.flags == END_STREAM | END_HEADERS
    assert stream.closed


def test_a_stream_is_reset_once_and_never_before_it_has_a_number() -> None:
    """RFC 9113 6.4."""
    rig = Rig()
    stream = rig.open()

    rig.connection.reset(stream, ErrorCode.CANCEL)
    rig.connection.reset(stream, ErrorCode.CANCEL)
    rig.connection.reset(RecordingStream())

    assert [(part.kind, part.payload) for part in rig.sent()] == [(RST_STREAM, b"\0\0\0\x08")]
    assert rig.owner.closed_streams == 1


def test_a_section_that_is_larger_than_a_frame_is_continued() -> None:
    """RFC 9113 6.10."""
    rig = Rig()
    value = bytes(range(1, 201)) * 200

    rig.connection.open(RecordingStream(), NOTHING, [(b"x-bin", value)], end=True)

    sent = rig.sent()
    assert [part.kind for part in sent] == [HEADERS, CONTINUATION, CONTINUATION]
    decoder = rig.decoder
    decoder.max_header_list_size = 1 << 20
    assert rig.fields_of(b"".join(part.payload for part in sent)) == [(b"x-bin", value)]


@given(st.lists(st.sampled_from(["open", "large", "data", "empty", "reset", "ping", "goaway", "update", "take"])))
@settings(max_examples=50)
def test_the_size_of_what_is_to_be_sent_is_kept(steps: list[str]) -> None:
    rig = Rig()
    connection = rig.connection
    stream = rig.open()
    for step in steps:
        if step in ("open", "large") and not connection.going_away:
            stream = RecordingStream()
            connection.open(stream, REQUEST, [(b"x", bytes(20_000 if step == "large" else 2))])
        elif step == "data" and not stream.closed and connection.room(stream) > 10:
            connection.send_data(stream, (b"abc", memoryview(b"defg")), 7)
        elif step == "empty" and not stream.closed:
            connection.send_data(stream, (), 0)
        elif step == "reset":
            connection.reset(stream)
        elif step == "ping":
            connection.ping(b"12345678")
        elif step == "goaway":
            connection.go_away(debug=b"why")
        elif step == "update":
            connection.widen(stream, 5)
        elif step == "take":
            assert connection.out_size == len(connection.take())
            assert connection.out_size == 0
        assert connection.out_size == sum(map(len, connection.out))


def test_taking_leaves_nothing() -> None:
    rig = Rig()
    assert rig.connection.take() == b""

    rig.connection.ping(b"12345678")
    assert rig.connection.take() == b"\0\0\x08\x06\0\0\0\0\x0012345678"
    assert rig.connection.take() == b""

    stream = rig.open()
    rig.connection.send_data(stream, (memoryview(b"x"),), 1)
    assert isinstance(rig.connection.take(), bytes)


def test_who_waits_first_is_called_first_and_only_while_there_is_room() -> None:
    rig = Rig()
    first, second, third = rig.open(), rig.open(), rig.open()
    for _ in range(3):
        rig.connection.send_data(first, (bytes(16_384),), 16_384)
    rig.connection.send_data(third, (bytes(16_383),), 16_383)
    assert rig.connection.send_window == 0
    calls: list[int] = []
    for stream in (third, first, second):
        rig.connection.wait_for_window(stream)

        def send(stream: RecordingStream = stream) -> None:
            calls.append(stream.stream_id)
            rig.connection.send_data(stream, (b"x",), 1)
            rig.connection.wait_for_window(stream)

        stream.on_window_do = send

    for _ in range(4):
        rig.feed(window_update_frame(0, 1))

    assert calls == [5, 1, 3, 5]


def test_a_window_of_a_stream_wakes_nobody_while_the_connections_is_used_up() -> None:
    rig = Rig()
    stream, other = rig.open(), rig.open()
    rig.connection.send_window = 0
    rig.connection.wait_for_window(stream)
    rig.feed(window_update_frame(1, 5), window_update_frame(3, 5))
    assert stream.events == []

    rig.feed(window_update_frame(0, 5))
    rig.feed(window_update_frame(0, 5))

    assert stream.events == [("window",)]
    assert other.events == []


def test_a_window_that_is_still_negative_wakes_nobody() -> None:
    """RFC 9113 6.9.2."""
    rig = Rig()
    stream = rig.open()
    rig.connection.send_data(stream, (bytes(100),), 100)
    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 50)]))
    rig.connection.wait_for_window(stream)

    rig.feed(window_update_frame(1, 50))
    assert stream.events == []

    rig.feed(window_update_frame(1, 1))
    assert stream.events == [("window",)]
    assert rig.connection.room(stream) == 1


def test_larger_windows_by_settings_wake_those_that_wait() -> None:
    """RFC 9113 6.9.2."""
    rig = Rig()
    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 0)]))
    stream = rig.open()
    rig.connection.wait_for_window(stream)

    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 9)]))

    assert stream.events == [("window",)]


def test_a_closed_stream_is_never_called() -> None:
    """Not even one that was closed by the call of another, or that waits too late."""
    rig = Rig()
    first, second, third = rig.open(), rig.open(), rig.open()
    rig.connection.send_window = 0
    for stream in (first, second):
        rig.connection.wait_for_window(stream)
    first.on_window_do = lambda: rig.connection.reset(second)
    rig.connection.reset(third)
    rig.connection.wait_for_window(third)

    rig.feed(window_update_frame(0, 5))

    assert first.events == [("window",)]
    assert second.events == third.events == []
    assert rig.connection.blocked == {}


def test_a_second_goaway_names_no_higher_stream() -> None:
    """RFC 9113 6.8."""
    rig = Rig(client=False)
    rig.open()
    rig.connection.go_away()
    rig.feed(rig.headers(3, REQUEST_FIELDS))
    rig.connection.go_away(ErrorCode.ENHANCE_YOUR_CALM, b"why")

    assert [part.payload for part in rig.sent() if part.kind == GOAWAY] == [
        b"\0\0\0\x01" + bytes(4),
        b"\0\0\0\x01" + b"\0\0\0\x0bwhy",
    ]


def test_a_ping_is_sent_as_it_is() -> None:
    """RFC 9113 6.7."""
    rig = Rig()
    rig.connection.ping(b"12345678")

    assert rig.sent() == [(PING, 0, 0, b"12345678")]


def test_closed_streams_are_remembered_for_a_while_and_then_forgotten() -> None:
    rig = Rig()
    for _ in range(5 * REMEMBERED_CLOSED):
        rig.connection.reset(rig.open())

    assert rig.connection.streams == {}
    assert len(rig.connection._closed) + len(rig.connection._closed_before) <= 2 * REMEMBERED_CLOSED


@pytest.mark.parametrize("seed", range(5))
def test_two_connections_understand_each_other(seed: int) -> None:
    """Both roles, with bodies beyond the windows, and the bytes in random pieces."""
    pair = Pair(
        LocalSettings(stream_window=70_000, connection_window=100_000, max_frame_size=20_000),
        LocalSettings(max_concurrent_streams=10),
        seed,
    )
    streams = [pair.open() for _ in range(4)]
    for number, (ours, theirs) in enumerate(streams):
        body = bytes((number,)) * (50_000 * number)
        pair.server.send_headers(theirs, RESPONSE)
        for sender, stream in ((pair.client, ours), (pair.server, theirs)):
            rest = len(body)
            while rest:
                size = min(rest, sender.room(stream))
                if size:
                    sender.send_data(stream, (body[:size],), size)
                    rest -= size
                else:
                    pair.pump()
        pair.client.send_data(ours, (), 0, end=True)
        pair.server.send_headers(theirs, TRAILERS, end=True)
        pair.pump()

        assert ours.body == theirs.body == body
        assert ours.closed
        assert theirs.closed
    assert pair.client.streams == pair.server.streams == {}
    assert pair.client.unread == pair.server.unread == 0


def test_the_preface_and_the_settings_are_to_be_sent_from_the_start() -> None:
    """RFC 9113 3.4."""
    client, server = Rig(settled=False), Rig(client=False, settled=False)

    assert client.connection.take().startswith(PREFACE + b"\0\0")
    assert server.connection.take()[3:9] == b"\x04\0\0\0\0\0"
