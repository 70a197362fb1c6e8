"""Hostile peers: whatever they send, and however much, they take little memory, and most are cut off (RFC 9113 10.5).

`docs/explanation/http2.md` has the bounds, and what the same attacks cost in time.
"""

from __future__ import annotations

import tracemalloc
from itertools import islice

import pytest

from tests.services.http2.attacks import ATTACKS, LOCAL, Attack, Silent, SilentStream
from tests.services.http2.peers import REQUEST, RESPONSE_FIELDS, Rig
from ziggurat.services.http2 import Connection, ErrorCode, LocalSettings, RemoteProtocolError
from ziggurat.services.http2.frames import (
    DATA,
    GOAWAY,
    HEADERS,
    PADDED,
    frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)
from ziggurat.services.http2.settings import INITIAL_WINDOW_SIZE

READ = 64 * 1024
MOST = 1536 * 1024
"""Bytes of memory for a read, at the peak."""


def play(attack: Attack, connection: Connection, reads: int) -> ErrorCode | None:
    """Have the connection read so often. Return how it ended; ``None`` if it did not."""
    chunks = attack.chunks(READ)
    for _ in range(reads):
        try:
            connection.receive(next(chunks))
        except RemoteProtocolError as error:
            return error.code
        if attack.reads:
            connection.take()
            connection.unread_answers = 0
    return None


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_takes_little_memory(attack: Attack) -> None:
    connection = attack.connection()
    tracemalloc.start()
    try:
        play(attack, connection, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < MOST


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_ends_as_it_should(attack: Attack) -> None:
    """Either with an error, or it may go on, since it takes nothing but time."""
    connection = attack.connection()

    assert play(attack, connection, 100 if attack.code else 2) is attack.code
    assert len(connection.streams) <= 100
    assert len(connection._closed) + len(connection._closed_before) <= 1024
    assert connection.out_size <= 256 * 1024 + 300
    if attack.code:
        frames = connection.take()
        assert frames[-300:].find(bytes((GOAWAY, 0, 0, 0, 0, 0))) >= 0


@pytest.mark.parametrize("kind", [DATA, HEADERS, 0xBE])
def test_a_large_frame_byte_by_byte_takes_its_size_and_no_more(kind: int) -> None:
    rig = Rig(local=LocalSettings(max_frame_size=40_000, stream_window=100_000))
    rig.open()
    rig.feed(rig.headers(1, RESPONSE_FIELDS))
    data = frame(kind, PADDED, 1, bytes(40_000))[:-1]
    pieces = iter([data[start : start + 1] for start in range(len(data))])
    tracemalloc.start()
    try:
        for piece in islice(pieces, 10):
            rig.connection.receive(piece)
        tail = rig.connection._tail
        for piece in pieces:
            rig.connection.receive(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert rig.connection._tail is tail, "copied for each byte, the time would grow with the square"
    assert len(tail) == len(data)
    assert peak < 2 * len(data) + 10_000


def test_negative_windows_hold_back_what_we_send_until_they_are_positive_again() -> None:
    """RFC 9113 6.9.2, however often a peer moves them."""
    rig = Rig()
    streams = [rig.open() for _ in range(10)]
    for stream in streams:
        rig.connection.send_data(stream, (bytes(6_000),), 6_000)
    for _ in range(1_000):
        rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 0)]), settings_frame([(INITIAL_WINDOW_SIZE, 5_999)]))
        rig.sent()
        rig.connection.unread_answers = 0
    assert {stream.send_window for stream in streams} == {-1}
    assert all(rig.connection.room(stream) < 0 for stream in streams)

    for stream in streams:
        rig.connection.wait_for_window(stream)
    rig.feed(settings_frame([(INITIAL_WINDOW_SIZE, 6_000)]), window_update_frame(5, 1))

    assert [stream.stream_id for stream in streams if stream.events] == [5]


def test_streams_that_wait_are_not_all_called_for_each_byte_of_window() -> None:
    """Otherwise 13 bytes cost as many calls as streams wait."""
    calls = 0

    class Counting(SilentStream):
        __slots__ = ()

        def on_window(self) -> None:
            nonlocal calls
            calls += 1
            super().on_window()

    connection = Connection(Silent(), LOCAL, client=True)
    connection.receive(settings_frame())
    for _ in range(100):
        stream = Counting(connection)
        connection.open(stream, REQUEST)
        connection.wait_for_window(stream)
    connection.send_window = 0

    connection.receive(window_update_frame(0, 1) * 1_000)

    assert calls == 1_000


def test_a_stream_that_is_reset_leaves_nothing_behind() -> None:
    rig = Rig()
    connection = rig.connection
    for number in range(3_000):
        stream = rig.open()
        connection.wait_for_window(stream)
        rig.feed(rst_stream_frame(2 * number + 1, 8))

    assert connection.streams == connection.blocked == {}
    assert len(connection._closed) + len(connection._closed_before) <= 1024
