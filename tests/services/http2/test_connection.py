"""The small frames: SETTINGS, PING, RST_STREAM, GOAWAY, WINDOW_UPDATE, PRIORITY (RFC 9113 6.3 to 6.9)."""

from __future__ import annotations

import gc
import weakref

import pytest

from tests.services.http2.peers import REQUEST, RESPONSE_FIELDS, RecordingOwner, RecordingStream, Rig, split_frames
from ziggurat.services.http2 import Connection, ErrorCode, LocalSettings
from ziggurat.services.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)
from ziggurat.services.http2.settings import (
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
)

LARGEST = 2**31 - 1


def test_each_end_announces_its_settings_first_and_a_larger_window_behind_them() -> None:
    """RFC 9113 3.4, 6.9.2: SETTINGS cannot change the connection's window."""
    local = LocalSettings(stream_window=70_000, connection_window=100_000, max_concurrent_streams=9)

    data = Connection(RecordingOwner(), local, client=True).take()
    assert data.startswith(PREFACE)
    settings, update = split_frames(data.removeprefix(PREFACE))
    assert settings.payload == settings_frame(local.announced(client=True))[9:]
    assert update == (WINDOW_UPDATE, 0, 0, (100_000 - 65_535).to_bytes(4, "big"))

    settings, update = split_frames(Connection(RecordingOwner(), local, client=False).take())
    assert (settings.kind, settings.flags, settings.stream_id) == (SETTINGS, 0, 0)


def test_settings_take_effect_and_are_acknowledged() -> None:
    """RFC 9113 6.5.2, 6.5.3."""
    rig = Rig()

    settings = [(MAX_CONCURRENT_STREAMS, 7), (MAX_FRAME_SIZE, 20_000), (INITIAL_WINDOW_SIZE, 100), (99, 1)]
    rig.feed(settings_frame(settings))

    connection = rig.connection
    assert (connection.max_streams, connection.peer_max_frame_size, connection.initial_window) == (7, 20_000, 100)
    assert rig.sent() == [(SETTINGS, ACK, 0, b"")]
    assert rig.owner.events == [("settings",)]


def test_without_settings_there_is_no_limit_on_streams() -> None:
    """RFC 9113 6.5.2."""
    assert Rig(settled=False).connection.max_streams == LARGEST


def test_an_acknowledgement_is_not_acknowledged() -> None:
    """RFC 9113 6.5.3."""
    rig = Rig()
    rig.feed(settings_frame(ack=True))

    assert rig.sent() == []
    assert rig.owner.events == []


def test_the_initial_window_moves_that_of_open_streams_and_may_make_it_negative() -> None:
    """RFC 9113 6.9.2."""
    rig = Rig()
    stream = rig.open()
    rig.connection.send_data(stream, (bytes(1000),), 1000)

    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 100)]))
    assert stream.send_window == 100 - 1000
    assert rig.connection.send_window == 65_535 - 1000

    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 5), (INITIAL_WINDOW_SIZE, 2000)]))
    assert stream.send_window == 1000
    assert rig.open().send_window == 2000


def test_an_initial_window_that_makes_a_streams_window_too_large_ends_the_connection() -> None:
    """RFC 9113 6.9.2."""
    rig = Rig()
    rig.open()
    rig.feed(window_update_frame(1, 1))

    assert rig.failure(settings_frame([(INITIAL_WINDOW_SIZE, LARGEST)])).code is ErrorCode.FLOW_CONTROL_ERROR


def test_the_peers_table_size_is_taken_up_by_our_encoder() -> None:
    """RFC 7541 4.2."""
    rig = Rig()
    rig.feed(settings_frame([(HEADER_TABLE_SIZE, 0)]))
    rig.sent()
    rig.connection.open(RecordingStream(), REQUEST)

    assert rig.sent()[0].payload.startswith(b"\x20")


def test_a_ping_is_answered_with_its_bytes_and_an_answer_is_told() -> None:
    """RFC 9113 6.7."""
    rig = Rig()

    rig.feed(ping_frame(b"12345678"), ping_frame(b"abcdefgh", ack=True))

    assert rig.sent() == [(PING, ACK, 0, b"12345678")]
    assert rig.owner.events == [("ping ack", b"abcdefgh")]


def test_goaway_is_told_and_open_streams_go_on() -> None:
    """RFC 9113 6.8."""
    rig = Rig()
    stream = rig.open()

    rig.feed(goaway_frame(1 | 1 << 31, 11, b"too_many_pings"), rig.headers(1, RESPONSE_FIELDS))

    assert rig.owner.events == [("goaway", 1, 11, b"too_many_pings")]
    assert stream.events == [("headers", RESPONSE_FIELDS)]


def test_a_reset_is_told_with_its_code_even_an_unknown_one() -> None:
    """RFC 9113 6.4, 7."""
    rig = Rig()
    stream = rig.open()

    rig.feed(rst_stream_frame(1, 0xDEAD))

    assert stream.events == [("reset", 0xDEAD)]
    assert rig.connection.streams == {}
    assert rig.sent() == []


def test_window_updates_widen_what_they_name() -> None:
    """RFC 9113 6.9; the reserved bit is ignored."""
    rig = Rig()
    stream = rig.open()

    rig.feed(window_update_frame(0, 5), window_update_frame(1, 7), window_update_frame(1, 1 | 1 << 31))

    assert rig.connection.send_window == 65_540
    assert stream.send_window == 65_543


@pytest.mark.parametrize(
    ("increment", "code"), [(0, ErrorCode.PROTOCOL_ERROR), (LARGEST, ErrorCode.FLOW_CONTROL_ERROR)]
)
def test_a_bad_increment_costs_what_it_names(increment: int, code: ErrorCode) -> None:
    """RFC 9113 6.9, 6.9.1: the stream, or the connection."""
    rig = Rig()
    stream = rig.open()

    rig.feed(window_update_frame(1, increment))
    assert stream.events[0][0] == "fault"
    assert rig.sent() == [(RST_STREAM, 0, 1, code.to_bytes(4, "big"))]

    assert rig.failure(window_update_frame(0, increment)).code is code


def test_the_largest_window_is_reached() -> None:
    """RFC 9113 6.9.1."""
    rig = Rig()
    stream = rig.open()

    rig.feed(window_update_frame(0, LARGEST - 65_535), window_update_frame(1, LARGEST - 65_535))

    assert rig.connection.send_window == stream.send_window == LARGEST


@pytest.mark.parametrize(
    "bad",
    [
        frame(HEADERS, 4, 0, b"\x88"),
        frame(PRIORITY, 0, 0, bytes(5)),
        frame(RST_STREAM, 0, 0, bytes(4)),
        frame(CONTINUATION, 4, 0),
        frame(DATA, 0, 0),
        frame(SETTINGS, 0, 1),
        frame(PING, 0, 1, bytes(8)),
        frame(GOAWAY, 0, 1, bytes(8)),
    ],
)
def test_a_frame_that_is_not_for_streams_or_for_one_only_ends_the_connection(bad: bytes) -> None:
    """RFC 9113 6.1 to 6.10."""
    rig = Rig()
    rig.open()

    assert rig.failure(bad).code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("stream_id", [1, 2, 99])
def test_priority_is_ignored_on_any_stream(stream_id: int) -> None:
    """RFC 9113 5.3.2, 6.3."""
    rig = Rig()
    rig.open()
    rig.feed(frame(PRIORITY, 0, stream_id, b"\0\0\0\x07\x10"))

    assert rig.sent() == []


def test_a_stream_that_depends_on_itself_is_reset() -> None:
    """RFC 7540 5.3.1, which RFC 9113 has dropped; h2spec still asks for it."""
    rig = Rig()
    stream = rig.open()
    rig.feed(frame(PRIORITY, 0, 1, b"\0\0\0\x01\x10"))

    assert stream.events == [("fault", "a stream that depends on itself")]
    assert rig.failure(frame(PRIORITY, 0, 99, b"\0\0\0\x63\x10")).code is ErrorCode.PROTOCOL_ERROR


def test_unknown_frames_are_ignored() -> None:
    """RFC 9113 5.5."""
    rig = Rig()
    rig.feed(frame(0xBE, 0xFF, 0, b"x"), frame(0xFF, 0, 77))

    assert rig.sent() == []
    assert rig.owner.events == []


def test_calls_of_a_stream_may_send_and_reset_while_the_connection_reads() -> None:
    rig = Rig()
    first, second = rig.open(), rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), rig.headers(3, RESPONSE_FIELDS))

    def act() -> None:
        rig.connection.send_data(first, (b"y",), 1, end=True)
        rig.connection.reset(second)
        rig.connection.open(RecordingStream(), REQUEST)

    first.on_data_do = act
    rig.feed(frame(DATA, 0, 1, b"x"), frame(DATA, 0, 3, b"z"), frame(DATA, 1, 1))

    assert first.events[1:] == [("data", b"x"), ("end",)]
    assert second.events[1:] == []
    assert [part.kind for part in rig.sent()] == [DATA, RST_STREAM, HEADERS]
    assert list(rig.connection.streams) == [5]


def test_a_detached_connection_holds_nothing() -> None:
    rig = Rig()
    stream = rig.open()
    rig.connection.wait_for_window(stream)
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame(DATA, 0, 1, b"abc")[:-1])

    rig.connection.detach()
    rig.feed(b"c")
    rig.connection.reset(stream)

    assert rig.connection.streams == rig.connection.blocked == {}
    assert rig.connection.out_size == len(rig.connection.take())
    assert stream.body == b"ab"


def test_a_detached_connection_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        owner = RecordingOwner()
        connection = owner.connection = Connection(owner, LocalSettings(), client=True)
        connection.open(RecordingStream(), REQUEST)
        died = weakref.ref(owner)

        connection.detach()
        del owner, connection

        assert died() is None
    finally:
        gc.enable()
