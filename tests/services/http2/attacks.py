"""What a hostile peer may send: for each attack a connection, and the bytes, as many as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, repeat

from tests.services.http2.peers import REQUEST, REQUEST_FIELDS, RESPONSE_FIELDS, RecordingOwner, RecordingStream
from ziggurat.services.http2 import Connection, ErrorCode, HeaderSection, LocalSettings, Stream
from ziggurat.services.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    PRIORITY,
    frame,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)

REQUEST_BLOCK = b"".join(
    b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in REQUEST_FIELDS
)
"""Without the tables, so that it is the same each time."""
RESPONSE_BLOCK = b"".join(
    b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in RESPONSE_FIELDS
)
LOCAL = LocalSettings(
    stream_window=1 << 20, connection_window=1 << 20, max_frame_size=1 << 18, max_concurrent_streams=100
)
STREAMS = 100
"""Open where an attack needs open streams."""

Frames = Callable[[], Iterator[bytes]]


class Silent(RecordingOwner):
    """Keeps nothing but the streams that are open."""

    def on_settings(self) -> None: ...

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None: ...

    def on_ping_ack(self, data: bytes) -> None: ...

    def on_malformed_request(self, reason: str) -> None: ...

    def on_request(self, section: HeaderSection) -> Stream | None:
        return SilentStream(self.connection)


class SilentStream(RecordingStream):
    """Reads all data and keeps none; what it would send waits for a window."""

    __slots__ = ()

    def on_headers(self, section: HeaderSection, ends: bool) -> None: ...

    def on_data(self, data: bytes, start: int, end: int) -> None:
        if self.reads and self.connection is not None:
            self.connection.read(self, end - start)

    def on_end(self) -> None: ...

    def on_reset(self, code: int) -> None: ...

    def on_fault(self, reason: str) -> None: ...

    def on_window(self) -> None:
        if self.connection is not None and not self.closed:
            size = self.connection.room(self)
            if size > 0:
                self.connection.send_data(self, (bytes(size),), size)
            self.connection.wait_for_window(self)


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: what it is called.
        client: whether it is a client that is attacked.
        frames: the frames, without end.
        code: how the connection ends at last; ``None`` if it goes on, as no memory is taken.
        reads: whether the attacker reads what it is sent.
        streams: how many streams are open beforehand.
        starts: frames before the others.
        blocked: whether the streams wait for a window.
        unread: whether nobody reads the data.
        fresh: whether the responses have not begun.
    """

    name: str
    client: bool
    frames: Frames
    code: ErrorCode | None
    reads: bool = False
    streams: int = 1
    starts: bytes = b""
    blocked: bool = False
    unread: bool = False
    fresh: bool = False

    def connection(self) -> Connection:
        """Return the connection as it is when the attack begins."""
        owner = Silent()
        owner.connection = connection = Connection(owner, LOCAL, client=self.client)
        start = settings_frame() + self.starts
        if self.client:
            for _ in range(self.streams):
                stream = SilentStream(connection, reads=not self.unread)
                connection.open(stream, REQUEST)
                if self.blocked:
                    connection.wait_for_window(stream)
            if not self.fresh:
                start += b"".join(headers(2 * number + 1, RESPONSE_BLOCK) for number in range(self.streams))
        else:
            start = PREFACE + start
            start += b"".join(headers(2 * number + 1, REQUEST_BLOCK) for number in range(self.streams))
        connection.receive(start)
        if self.blocked:
            connection.send_window = 0
        for stream in connection.streams.values():
            if isinstance(stream, SilentStream):
                stream.reads = not self.unread
        connection.take()
        connection.unread_answers = 0
        return connection

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield pieces of ``size`` bytes, as the reads of a socket would be."""
        data = bytearray()
        for part in self.frames():
            data += part
            while len(data) >= size:
                yield bytes(data[:size])
                del data[:size]


def headers(stream_id: int, block: bytes, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream_id, block)


def new_streams(*parts: Callable[[int], bytes]) -> Frames:
    """Frames for one new stream after the other, from 1001 on."""
    return lambda: (b"".join(part(stream_id) for part in parts) for stream_id in count(1001, 2))


def again(data: bytes) -> Frames:
    return lambda: repeat(data)


def once(first: bytes, then: bytes) -> Frames:
    def frames() -> Iterator[bytes]:
        yield first
        yield from repeat(then)

    return frames


def request(stream_id: int) -> bytes:
    return headers(stream_id, REQUEST_BLOCK)


def whole_request(stream_id: int) -> bytes:
    return headers(stream_id, REQUEST_BLOCK, END_HEADERS | END_STREAM)


def bomb(stream_id: int) -> bytes:
    """An entry of 4 KiB, and 60,000 times its index (6 % of a read)."""
    entry = b"\x40\x01a\x7f\x98\x1e" + bytes(0) + b"v" * 3991
    return headers(stream_id, REQUEST_BLOCK + entry + b"\xbe" * 60_000)


def huffman(stream_id: int) -> bytes:
    """The slowest to decode: as much as is taken, in Huffman's code."""
    value = bytes(60_000)  # symbols of five bits: the most that comes out
    return headers(stream_id, REQUEST_BLOCK + b"\x00\x01a" + integer(len(value), 7, 0x80) + value)


def integer(value: int, bits: int, first: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    encoded, value = bytearray((first | most,)), value - most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def many_fields(stream_id: int) -> bytes:
    """As many fields as four times the limit has room for, by a byte each."""
    return headers(stream_id, REQUEST_BLOCK + b"\x90" * 4_000)


def just_allowed(stream_id: int) -> bytes:
    """As many fields as are passed on."""
    return headers(stream_id, REQUEST_BLOCK + b"\x90" * 1_000)


def new_entries(stream_id: int) -> bytes:
    """Each field moves the whole table."""
    return headers(stream_id, REQUEST_BLOCK + b"\x40\x01a\x00" * 1_500)


WINDOWS = settings_frame([(4, 1), (4, 2)] * 32)
CALM = ErrorCode.ENHANCE_YOUR_CALM

ATTACKS = [
    Attack("CONTINUATION of 16 KiB", True, once(frame(HEADERS, 0, 1), frame(CONTINUATION, 0, 1, bytes(16_384))), CALM),
    Attack("CONTINUATION of 1 byte", True, once(frame(HEADERS, 0, 1), frame(CONTINUATION, 0, 1, b"\0")), CALM),
    Attack("CONTINUATION, empty", True, once(frame(HEADERS, 0, 1), frame(CONTINUATION, 0, 1)), CALM),
    Attack("SETTINGS, empty", True, again(settings_frame()), CALM),
    Attack("SETTINGS that move windows", True, again(WINDOWS), CALM, streams=STREAMS),
    Attack("SETTINGS, unknown", True, again(settings_frame([(0xF000, 1)] * 64)), CALM, reads=True),
    Attack("SETTINGS, ACK", True, again(settings_frame(ack=True)), CALM),
    Attack("PING", True, again(ping_frame(b"12345678")), CALM),
    Attack("PING, answers read", True, again(ping_frame(b"12345678")), None, reads=True),
    Attack("DATA, empty", True, again(frame(DATA, 0, 1)), CALM),
    Attack("DATA, padding only", True, again(frame(DATA, PADDED, 1, b"\x02\0\0")), CALM),
    Attack("DATA of 1 byte", True, again(frame(DATA, 0, 1, b"x")), None),
    Attack("DATA that nobody reads", True, again(frame(DATA, 0, 1, bytes(16_384))), None, unread=True),
    Attack("DATA for closed streams", True, once(rst_stream_frame(1, 8), frame(DATA, 0, 1, b"x")), None),
    Attack("RST_STREAM for closed streams", True, again(rst_stream_frame(1, 8)), CALM),
    Attack("rapid reset", False, new_streams(request, lambda number: rst_stream_frame(number, 8)), CALM, reads=True),
    Attack("rapid reset of whole requests", False, new_streams(whole_request, lambda n: rst_stream_frame(n, 8)), CALM),
    Attack("made you reset", False, new_streams(whole_request, lambda n: window_update_frame(n, 0)), CALM, reads=True),
    Attack("requests without end", False, new_streams(request), CALM),
    Attack("requests that are malformed", False, new_streams(lambda n: headers(n, b"\x88")), CALM, reads=True),
    Attack(
        "WINDOW_UPDATE of 1 byte",
        True,
        again(window_update_frame(0, 1)),
        None,
        reads=True,
        streams=STREAMS,
        blocked=True,
    ),
    Attack("WINDOW_UPDATE for closed streams", True, once(rst_stream_frame(1, 8), window_update_frame(1, 1)), CALM),
    Attack(
        "WINDOW_UPDATE beyond the largest", True, again(window_update_frame(0, 1 << 29)), ErrorCode.FLOW_CONTROL_ERROR
    ),
    Attack("PRIORITY", True, again(frame(PRIORITY, 0, 1, bytes(5))), CALM),
    Attack("unknown frames", True, again(frame(0xBE, 0, 0)), CALM),
    Attack("GOAWAY with 16 KiB of text", True, again(goaway_frame(1, 0, bytes(16_000))), None, reads=True),
    Attack("1xx responses", True, again(headers(1, b"\x08\x03103")), CALM, fresh=True),
    Attack("HPACK bomb", False, new_streams(bomb), CALM),
    Attack("fields of one byte, four limits", False, new_streams(many_fields), None, reads=True),
    Attack("fields of one byte, one limit", False, new_streams(just_allowed), None, reads=True),
    Attack("Huffman's code", False, new_streams(huffman), None, reads=True),
    Attack("entries of the table", False, new_streams(new_entries), None, reads=True),
    Attack("unknown frames of the largest size", True, again(frame(0xBE, 0, 0, bytes(1 << 18))), None),
    Attack("padded frames of the largest size", True, again(frame(DATA, PADDED, 1, bytes(1 << 18))), None),
]
