from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from h2.exceptions import DenialOfServiceError, FrameTooLargeError, ProtocolError
from h2.frame_buffer import FrameBuffer as H2FrameBuffer
from hyperframe.frame import ContinuationFrame, DataFrame, ExtensionFrame, Frame, HeadersFrame, PingFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.channel.frame_buffer import MAX_HEADER_BLOCK, FrameBuffer

MAX = 64


def buffer(kind: type[H2FrameBuffer] = FrameBuffer, *, server: bool = False) -> H2FrameBuffer:
    made = kind(server)
    made.max_frame_size = MAX
    return made


def feed(frames: H2FrameBuffer, chunks: list[bytes]) -> list[Frame]:
    got: list[Frame] = []
    for chunk in chunks:
        frames.add_data(chunk)
        got += list(frames)
    return got


def story(frames: list[Frame]) -> list[Any]:
    """What frames say, with the pieces of a DATA frame put together as far as nothing came between them."""
    told: list[Any] = []
    for frame in frames:
        if not isinstance(frame, DataFrame):
            told.append((type(frame).__name__, frame.stream_id, frame.serialize()))
            continue
        ends, padding = "END_STREAM" in frame.flags, frame.flow_controlled_length - len(frame.data)
        last = told[-1] if told else None
        if isinstance(last, dict) and last["stream"] == frame.stream_id and not last["ends"]:
            last.update(data=last["data"] + bytes(frame.data), ends=ends, padding=last["padding"] + padding)
        else:
            told.append({"stream": frame.stream_id, "data": bytes(frame.data), "ends": ends, "padding": padding})
    return told


def data(stream_id: int, payload: bytes, *, end: bool = False, pad: int | None = None) -> Frame:
    frame = DataFrame(stream_id, payload, flags=["END_STREAM"] if end else [])
    if pad is not None:
        frame.flags.add("PADDED")
        frame.pad_length = pad
    return frame


def headers_in_two(stream_id: int, block: bytes) -> list[Frame]:
    return [HeadersFrame(stream_id, block), ContinuationFrame(stream_id, block, flags=["END_HEADERS"])]


def unknown_frame(body: bytes) -> Frame:
    frame = ExtensionFrame(0xFA, 0, 0, body)
    frame.body_len = len(body)  # hyperframe leaves that out, and serializes it all the same
    return frame


stream_ids = st.sampled_from([1, 3])
groups = st.one_of(
    st.builds(
        lambda *given: [data(given[0], given[1], end=given[2], pad=given[3])],
        stream_ids,
        st.binary(max_size=40),
        st.booleans(),
        st.none() | st.integers(0, 20),
    ),
    st.builds(headers_in_two, stream_ids, st.binary(min_size=1, max_size=20)),
    st.just([PingFrame(0, b"12345678")]),
    st.just([SettingsFrame(0, {4: 70_000})]),
    st.just([unknown_frame(b"unknown")]),
)


@given(st.lists(groups, max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_however_bytes_arrive_the_frames_say_what_h2_would_have_read(sent: list[list[Frame]], cuts: list[int]) -> None:
    wire = b"".join(frame.serialize() for group in sent for frame in group)
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    chunks = [wire[start:end] for start, end in pairwise(places)]

    assert story(feed(buffer(), chunks)) == story(feed(buffer(H2FrameBuffer), [wire]))


@given(st.lists(groups, max_size=4))
def test_bytes_may_come_one_at_a_time(sent: list[list[Frame]]) -> None:
    wire = b"".join(frame.serialize() for group in sent for frame in group)

    one_at_a_time = feed(buffer(), [wire[i : i + 1] for i in range(len(wire))])

    assert story(one_at_a_time) == story(feed(buffer(H2FrameBuffer), [wire]))


def test_payload_is_passed_on_before_its_frame_is_whole() -> None:
    frames = buffer()
    wire = data(1, b"0123456789", end=True).serialize()

    first, second = feed(frames, [wire[:12]]), feed(frames, [wire[12:]])

    assert [(frame.data, "END_STREAM" in frame.flags) for frame in first] == [(b"012", False)]
    assert [(frame.data, "END_STREAM" in frame.flags) for frame in second] == [(b"3456789", True)]


def test_a_read_that_is_payload_from_end_to_end_is_not_copied() -> None:
    frames = buffer()
    wire = data(1, bytes(60)).serialize()
    feed(frames, [wire[:20]])
    chunk = wire[20:40]

    (frame,) = feed(frames, [chunk])

    assert frame.data is chunk


@pytest.mark.parametrize(
    ("size", "rest", "kind"),
    [(16_384, 0, memoryview), (16_383, 0, bytes), (20_000, 61_000, bytes), (20_000, 59_000, memoryview)],
)
def test_a_piece_is_a_view_where_it_is_large_and_holds_little_else_in_memory(size: int, rest: int, kind: type) -> None:
    frames = FrameBuffer()
    frames.max_frame_size = 100_000
    wire = data(1, bytes(size)).serialize() + data(3, bytes(rest)).serialize()

    first, *_ = feed(frames, [wire])

    assert type(first.data) is kind
    assert bytes(first.data) == bytes(size)


def test_a_small_frame_in_between_does_not_make_what_follows_queue_up() -> None:
    frames = buffer()
    wire = PingFrame(0, b"12345678").serialize() + data(1, bytes(60)).serialize()
    feed(frames, [wire[:40]])

    assert frames._data == b""


def test_an_empty_frame_that_ends_the_stream_is_passed_on() -> None:
    for pieces in ([data(1, b"", end=True).serialize()], [b"\0\0\0\0\1", b"\0\0\0\1"]):
        (frame,) = feed(buffer(), pieces)

        assert (frame.data, "END_STREAM" in frame.flags) == (b"", True)


def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(ProtocolError, match="overlong"):
        feed(buffer(), [data(1, bytes(MAX + 1)).serialize()])


def test_data_for_the_connection_is_refused() -> None:
    frame = bytearray(data(1, b"x").serialize())
    frame[8] = 0

    with pytest.raises(ProtocolError):
        feed(buffer(), [bytes(frame)])


def test_data_within_a_header_block_is_refused() -> None:
    wire = HeadersFrame(1, b"half").serialize() + data(1, b"x").serialize()

    with pytest.raises(ProtocolError, match="header block"):
        feed(buffer(), [wire])


def test_a_client_s_preface_comes_first() -> None:
    wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + data(1, b"payload").serialize()

    (frame,) = feed(buffer(server=True), [wire])

    assert frame.data == b"payload"


@pytest.mark.parametrize("kind", [0, 1, 0xBB], ids=["DATA", "HEADERS", "unknown"])
@pytest.mark.parametrize("cut", [9, 12])
def test_a_frame_that_is_too_large_is_refused_by_its_header(kind: int, cut: int) -> None:
    wire = (MAX + 1).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 1]) + bytes(10)

    with pytest.raises(FrameTooLargeError, match="65"):
        feed(buffer(), [PingFrame(0, b"12345678").serialize() + wire[:cut]])


@pytest.mark.parametrize("piece", [1, 1000, 100_000])
def test_a_settings_frame_with_many_settings_is_refused(piece: int) -> None:
    frames = buffer()
    frames.max_frame_size = 1 << 20
    allowed = SettingsFrame(0, dict.fromkeys(range(64), 1)).serialize()
    assert len(feed(frames, [allowed])) == 1
    raw = b"\0\x01\x86\x04\0\0\0\0\0" + bytes(390)
    with pytest.raises(DenialOfServiceError, match="more than 64 settings"):
        feed(frames, [raw[at : at + piece] for at in range(0, len(raw), piece)])


@pytest.mark.parametrize("size", [MAX_HEADER_BLOCK, 2000])
def test_a_header_block_is_bounded_over_all_its_frames(size: int) -> None:
    frames = buffer()
    frames.max_frame_size = 1 << 20
    whole: list[Frame] = [HeadersFrame(1, bytes(size))]
    whole += [ContinuationFrame(1, bytes(2000)) for _ in range(40)]
    with pytest.raises(DenialOfServiceError, match="more than 65536 bytes"):
        feed(frames, [frame.serialize() for frame in whole])
    assert sum(len(part.data) for part in frames._headers_buffer) <= MAX_HEADER_BLOCK
