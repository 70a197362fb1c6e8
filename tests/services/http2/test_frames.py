"""Every frame that we make is what another implementation reads (RFC 9113 4.1, 6)."""

from __future__ import annotations

import pytest
from hyperframe import frame as hyperframe
from hypothesis import given
from hypothesis import strategies as st

from tests.services.http2.peers import split_frames
from ziggurat.services.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_SIZE,
    FRAME_NAMES,
    HEADERS,
    frame,
    frame_header,
    goaway_frame,
    headers_frames,
    parse_frame_header,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)

STREAM = 5


def read(data: bytes) -> hyperframe.Frame:
    parsed, length = hyperframe.Frame.parse_frame_header(memoryview(data[:9]), strict=True)
    assert length == len(data) - 9
    parsed.parse_body(memoryview(data[9:]))
    return parsed


def test_the_types_are_those_of_rfc_9113_6() -> None:
    for kind, name in enumerate(FRAME_NAMES):
        assert hyperframe.FRAMES[kind].__name__.upper() == name.replace("_", "") + "FRAME"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rst_stream_frame(STREAM, 8), hyperframe.RstStreamFrame(STREAM, error_code=8)),
        (settings_frame([(3, 100), (4, 65536)]), hyperframe.SettingsFrame(0, {3: 100, 4: 65536})),
        (settings_frame(ack=True), hyperframe.SettingsFrame(0, flags=["ACK"])),
        (ping_frame(b"12345678"), hyperframe.PingFrame(0, b"12345678")),
        (ping_frame(b"12345678", ack=True), hyperframe.PingFrame(0, b"12345678", flags=["ACK"])),
        (goaway_frame(7, 11, b"why"), hyperframe.GoAwayFrame(0, 7, 11, b"why")),
        (window_update_frame(STREAM, 2**31 - 1), hyperframe.WindowUpdateFrame(STREAM, 2**31 - 1)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, hyperframe.Frame) else "",
)
def test_a_frame_of_a_fixed_form_is_read_by_another_implementation(data: bytes, expected: hyperframe.Frame) -> None:
    assert data == expected.serialize()


@given(st.integers(0, 2**24 - 1), st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1))
def test_a_frame_header_is_read_back(length: int, kind: int, flags: int, stream_id: int) -> None:
    data = frame_header(length, kind, flags, stream_id)

    assert len(data) == FRAME_HEADER_SIZE
    assert int.from_bytes(data[:3], "big") == length
    assert parse_frame_header(b"x" + data, 1) == (length >> 8, length & 255, kind, flags, stream_id)


def test_a_frame_is_its_header_and_its_payload() -> None:
    assert isinstance(read(frame(0, END_STREAM, STREAM, b"hello")), hyperframe.DataFrame)
    assert frame(0, 0, STREAM, b"hello")[FRAME_HEADER_SIZE:] == b"hello"


@given(st.binary(max_size=40), st.integers(1, 12), st.booleans())
def test_a_header_block_goes_into_one_headers_frame_and_as_few_continuations_as_possible(
    block: bytes, largest: int, end: bool
) -> None:
    """RFC 9113 4.3 and 6.10: END_STREAM on the first, END_HEADERS on the last."""
    frames = split_frames(b"".join(headers_frames(STREAM, block, end, largest)))

    assert b"".join(part.payload for part in frames) == block
    assert len(frames) == max(1, -(-len(block) // largest))
    assert [part.kind for part in frames] == [HEADERS] + [CONTINUATION] * (len(frames) - 1)
    assert [bool(part.flags & END_HEADERS) for part in frames] == [False] * (len(frames) - 1) + [True]
    assert [part.flags & END_STREAM for part in frames] == [int(end)] + [0] * (len(frames) - 1)
    assert {part.stream_id for part in frames} == {STREAM}
