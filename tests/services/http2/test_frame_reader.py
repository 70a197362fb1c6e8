"""Bytes to frames, whatever the pieces; a frame that is wrong is refused by its header (RFC 9113 3.4, 4)."""

from __future__ import annotations

import pytest

from tests.services.http2.peers import RESPONSE_FIELDS, Rig
from ziggurat.services.http2 import ErrorCode, LocalSettings, RemoteProtocolError
from ziggurat.services.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    frame_header,
    ping_frame,
    rst_stream_frame,
    settings_frame,
)

BODY = bytes(range(256)) * 4


def conversation(rig: Rig) -> list[bytes]:
    """Everything that a server may send, once."""
    return [
        rig.headers(1, [(b":status", b"100")]),
        frame(HEADERS, 0, 1, (block := rig.block(RESPONSE_FIELDS))[:3]),
        frame(CONTINUATION, 0, 1, block[3:5]),
        frame(CONTINUATION, END_HEADERS, 1, block[5:]),
        frame(DATA, 0, 1, BODY),
        frame(DATA, 0, 1),
        frame(DATA, PADDED, 1, b"\x03" + BODY + bytes(3)),
        frame(PRIORITY, 0, 9, bytes(5)),
        frame(0xBE, 0xFF, 77, b"unknown"),
        ping_frame(b"12345678"),
        settings_frame([(3, 5), (0xF000, 1)]),
        frame(GOAWAY, 0, 0, bytes(3) + b"\x01" + bytes(4) + b"debug"),
        frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x09"),
        frame(WINDOW_UPDATE, 0, 0, b"\x80\0\0\x09"),
        frame(DATA, END_STREAM, 1, b"last"),
    ]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 8, 9, 10, 11, 100, 1024, 10_000])
def test_the_pieces_that_bytes_come_in_make_no_difference(cut: int) -> None:
    rig, whole = Rig(), Rig()
    stream, other = rig.open(), whole.open()
    whole.feed(*conversation(whole))

    rig.feed(*conversation(rig), cut=cut)

    assert stream.body == BODY + BODY + b"last"
    assert stream.merged == other.merged
    assert rig.owner.events == whole.owner.events == [("settings",), ("goaway", 1, 0, b"debug")]
    assert (stream.send_window, rig.connection.send_window) == (other.send_window, whole.connection.send_window)
    assert rig.sent() == whole.sent()


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_frames_with_one_header_are_passed_on_as_if_each_came_alone(size: int) -> None:
    rig, single = Rig(), Rig()
    streams = [(one.open(), one.open()) for one in (rig, single)]
    frames = [frame(DATA, 0, 1, bytes([number]) * size) for number in range(20)]
    frames += [frame(DATA, 0, 3, b"other"), frame(DATA, 0, 1, b"behind"), frame(DATA, END_STREAM, 1, b"behind")]
    for one in (rig, single):
        one.feed(one.headers(1, RESPONSE_FIELDS), one.headers(3, RESPONSE_FIELDS))

    rig.connection.receive(b"".join(frames))
    for data in frames:
        single.connection.receive(data)

    for ours, theirs in zip(*streams, strict=True):
        assert ours.events == theirs.events
        assert ours.receive_window == theirs.receive_window
    assert rig.connection.unread == single.connection.unread


def test_a_stream_that_is_reset_in_a_run_of_frames_gets_no_more_of_them() -> None:
    """What is thrown away is given back to the connection's window."""
    rig = Rig()
    stream = rig.open()
    stream.on_data_do = lambda: rig.connection.reset(stream)
    rig.feed(rig.headers(1, RESPONSE_FIELDS))
    before = rig.connection.unread

    rig.connection.receive(frame(DATA, 0, 1, b"12345") * 10)

    assert stream.body == b"12345"
    assert rig.connection.unread - before == (0 if stream.reads else 5)


def test_a_run_of_frames_that_is_too_long_for_the_window_is_an_error_of_its_stream() -> None:
    """RFC 9113 6.9."""
    rig = Rig(local=LocalSettings(stream_window=100_000, connection_window=1_000_000))
    stream, other = rig.open(), rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), rig.headers(3, RESPONSE_FIELDS))

    rig.connection.receive(frame(DATA, 0, 1, bytes(16_000)) * 7 + frame(DATA, 0, 3, b"fine"))

    assert stream.events[-1] == ("fault", "more data than the stream's window allows")
    assert other.body == b"fine"


def test_the_payload_of_data_is_passed_on_before_the_frame_is_whole() -> None:
    """A frame may be megabytes long."""
    rig = Rig()
    stream = rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame_header(1000, DATA, END_STREAM, 1))

    rig.feed(b"abc")
    rig.feed(b"def")
    assert [event[1] for event in stream.events if event[0] == "data"] == [b"abc", b"def"]

    rig.feed(bytes(994))
    assert stream.events[-1] == ("end",)


def test_the_preface_of_a_client_is_taken_in_any_pieces() -> None:
    """RFC 9113 3.4."""
    for cut in (1, 5, 24, 100):
        rig = Rig(client=False, settled=False)
        rig.feed(PREFACE, settings_frame(), ping_frame(b"12345678"), cut=cut)

        assert rig.owner.events == [("settings",)]
        assert rig.sent()[-1].payload == b"12345678"


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"P\n"])
def test_another_preface_is_refused_by_its_first_wrong_byte(start: bytes) -> None:
    """RFC 9113 3.4."""
    rig = Rig(client=False, settled=False)

    with pytest.raises(RemoteProtocolError, match="is this HTTP/2") as caught:
        rig.feed(start, cut=1)

    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "first",
    [
        ping_frame(b"12345678"),
        frame(DATA, 0, 1, b"x"),
        frame(HEADERS, END_HEADERS, 1, b"\x88"),
        settings_frame(ack=True),
        frame(SETTINGS, 0, 1),
        frame(0xBE, 0, 0),
    ],
)
@pytest.mark.parametrize("client", [True, False])
def test_the_first_frame_is_settings(first: bytes, client: bool) -> None:
    """RFC 9113 3.4."""
    rig = Rig(client=client, settled=False)

    assert rig.failure(b"" if client else PREFACE, first).code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [DATA, HEADERS, SETTINGS, GOAWAY, 0xBE])
def test_a_frame_that_is_too_large_is_refused_by_its_header(kind: int) -> None:
    """RFC 9113 4.2."""
    rig = Rig(local=LocalSettings(max_frame_size=20_000))
    rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS))

    error = rig.failure(frame_header(20_001, kind, END_HEADERS if kind == HEADERS else 0, 1))

    assert error.code is ErrorCode.FRAME_SIZE_ERROR


def test_a_frame_of_the_announced_size_is_taken() -> None:
    """RFC 9113 4.2."""
    rig = Rig(local=LocalSettings(max_frame_size=20_000))
    stream = rig.open()

    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame(DATA, 0, 1, bytes(20_000)), frame(0xBE, 0, 1, bytes(20_000)))

    assert len(stream.body) == 20_000


@pytest.mark.parametrize(
    ("header", "section"),
    [
        (frame_header(4, PRIORITY, 0, 1), "6.3"),
        (frame_header(3, RST_STREAM, 0, 1), "6.4"),
        (frame_header(5, RST_STREAM, 0, 1), "6.4"),
        (frame_header(7, SETTINGS, 0, 0), "6.5"),
        (frame_header(6, SETTINGS, ACK, 0), "6.5"),
        (frame_header(7, PING, 0, 0), "6.7"),
        (frame_header(9, PING, ACK, 0), "6.7"),
        (frame_header(7, GOAWAY, 0, 0), "6.8"),
        (frame_header(3, WINDOW_UPDATE, 0, 1), "6.9"),
        (frame_header(5, WINDOW_UPDATE, 0, 0), "6.9"),
    ],
)
def test_a_frame_of_a_fixed_form_has_its_size(header: bytes, section: str) -> None:
    rig = Rig()
    rig.open()

    assert rig.failure(header).code is ErrorCode.FRAME_SIZE_ERROR, section


def test_nothing_interrupts_a_header_block() -> None:
    """RFC 9113 6.10: not even a frame of another stream, or of an unknown type (5.5)."""
    for intruder in (
        frame(DATA, 0, 1, b"x"),
        frame(0xBE, 0, 1),
        ping_frame(b"12345678"),
        rst_stream_frame(1, 8),
        frame(CONTINUATION, END_HEADERS, 3),
        frame(HEADERS, END_HEADERS, 1),
    ):
        rig = Rig()
        rig.open()
        rig.open()
        rig.feed(frame(HEADERS, 0, 1, b""))

        assert rig.failure(intruder).code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("client", [True, False])
def test_a_push_promise_is_refused(client: bool) -> None:
    """RFC 9113 6.6, 8.4: a client has switched it off, and a server gets none."""
    assert Rig(client=client).failure(frame(PUSH_PROMISE, END_HEADERS, 1, bytes(5))).code is ErrorCode.PROTOCOL_ERROR


def test_a_header_block_is_bounded_in_all_its_frames() -> None:
    """CVE-2024-27316: CONTINUATION without end."""
    rig = Rig(local=LocalSettings(max_header_list_size=1000))
    rig.open()
    rig.feed(frame(HEADERS, 0, 1, bytes(1000)), frame(CONTINUATION, 0, 1, bytes(1000)))

    assert rig.failure(frame_header(1, CONTINUATION, 0, 1)).code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_settings_frame_has_at_most_64_settings() -> None:
    rig = Rig()
    rig.feed(settings_frame([(0xF000 + i, i) for i in range(64)]))

    assert rig.failure(frame_header(65 * 6, SETTINGS, 0, 0)).code is ErrorCode.ENHANCE_YOUR_CALM


def test_the_reserved_bit_of_a_stream_number_is_ignored() -> None:
    """RFC 9113 4.1."""
    rig = Rig()
    stream = rig.open()

    rig.feed(rig.headers(1 | 1 << 31, RESPONSE_FIELDS), frame(DATA, END_STREAM, 1 | 1 << 31, b"x"))

    assert stream.body == b"x"


def test_nothing_is_read_after_the_connection_was_detached_in_a_call() -> None:
    rig = Rig()
    rig.owner.on_ping_ack = lambda data: rig.connection.detach()  # type: ignore[method-assign]

    rig.feed(ping_frame(b"12345678", ack=True), ping_frame(b"12345678", ack=True), frame(DATA, 0, 99))

    assert rig.connection.failed
    assert rig.sent() == []


def test_a_stream_is_let_go_with_the_last_byte_of_its_data() -> None:
    """Otherwise one stream for each connection would stay in memory until the next DATA."""
    rig = Rig()
    rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS), frame_header(2, DATA, END_STREAM, 1), b"a")
    assert rig.connection._rest_stream is not None

    rig.feed(b"b")

    assert rig.connection._rest_stream is None
