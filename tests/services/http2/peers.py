"""Streams and owners that record, a far end that writes exact frames, and two connections back to back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from hpack import Decoder, Encoder
from hpack.struct import NeverIndexedHeaderTuple

from ziggurat.services.http2 import (
    Connection,
    HeaderSection,
    HeaderTemplate,
    LocalSettings,
    RemoteProtocolError,
    Stream,
)
from ziggurat.services.http2.frames import END_HEADERS, END_STREAM, HEADERS, PREFACE, frame, settings_frame

Fields = Iterable[tuple[bytes, bytes]]

REQUEST = HeaderTemplate(((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m"), (b":authority", b"a:1")))
RESPONSE = HeaderTemplate(((b":status", b"200"), (b"content-type", b"application/grpc")))
TRAILERS = HeaderTemplate(((b"grpc-status", b"0"),))
NOTHING = HeaderTemplate(())

REQUEST_FIELDS = REQUEST.fields
RESPONSE_FIELDS = RESPONSE.fields
TRAILER_FIELDS = TRAILERS.fields


class Sent(NamedTuple):
    """A frame, as it was found among bytes."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def split_frames(data: bytes) -> list[Sent]:
    """Return the frames in the bytes, which end with the last of them."""
    frames = []
    while data:
        size = 9 + int.from_bytes(data[:3], "big")
        assert len(data) >= size, "half a frame was sent"
        frames.append(Sent(data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:size]))
        data = data[size:]
    return frames


class RecordingStream(Stream):
    """Records what it is told; reads all data at once, unless ``reads`` is false."""

    __slots__ = ("connection", "events", "on_data_do", "on_window_do", "reads")

    def __init__(self, connection: Connection | None = None, *, reads: bool = True) -> None:
        super().__init__()
        self.connection = connection
        self.reads = reads
        self.events: list[tuple[object, ...]] = []
        self.on_data_do: Callable[[], object] | None = None
        self.on_window_do: Callable[[], object] | None = None

    @property
    def body(self) -> bytes:
        return b"".join(event[1] for event in self.events if event[0] == "data")  # type: ignore[misc]

    @property
    def merged(self) -> list[tuple[object, ...]]:
        """The events, with neighbouring pieces of data as one."""
        merged: list[tuple[object, ...]] = []
        for event in self.events:
            if event[0] == "data" and merged and merged[-1][0] == "data":
                merged[-1] = ("data", merged[-1][1] + event[1])  # type: ignore[operator]
            else:
                merged.append(event)
        return merged

    def on_headers(self, section: HeaderSection, ends: bool) -> None:
        assert section.fault is None, "a malformed section was passed on"
        self.events.append(("headers", section.fields))

    def on_data(self, data: bytes, start: int, end: int) -> None:
        assert start < end, "a call about no data"
        self.events.append(("data", bytes(data[start:end])))
        if self.on_data_do is not None:
            self.on_data_do()
        if self.reads and self.connection is not None:
            self.connection.read(self, end - start)

    def on_end(self) -> None:
        self.events.append(("end",))

    def on_reset(self, code: int) -> None:
        assert self.closed
        self.events.append(("reset", code))

    def on_fault(self, reason: str) -> None:
        assert self.closed
        self.events.append(("fault", reason))

    def on_window(self) -> None:
        self.events.append(("window",))
        if self.on_window_do is not None:
            self.on_window_do()


class RecordingOwner:
    """Records what it is told; takes every request, unless ``refuses`` is true."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.events: list[tuple[object, ...]] = []
        self.requests: list[RecordingStream] = []
        self.refuses = refuses
        self.reads = True
        self.closed_streams = 0
        self.connection: Connection | None = None

    def on_settings(self) -> None:
        self.events.append(("settings",))

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self.events.append(("goaway", last_stream_id, code, debug))

    def on_ping_ack(self, data: bytes) -> None:
        self.events.append(("ping ack", data))

    def on_stream_closed(self) -> None:
        self.closed_streams += 1

    def on_request(self, section: HeaderSection) -> Stream | None:
        if self.refuses:
            return None
        stream = RecordingStream(self.connection, reads=self.reads)
        self.requests.append(stream)
        return stream

    def on_malformed_request(self, reason: str) -> None:
        self.events.append(("malformed", reason))


class Rig:
    """A connection, and a far end that sends it exact frames.

    Args:
        client: the role of the connection.
        local: what it announces.
        settled: whether the far end's preface and SETTINGS have come, and were answered.
    """

    def __init__(self, *, client: bool = True, local: LocalSettings | None = None, settled: bool = True) -> None:
        self.owner = RecordingOwner()
        self.connection = Connection(self.owner, local or LocalSettings(), client=client)
        self.owner.connection = self.connection
        self.client = client
        self.encoder = Encoder()
        self.decoder = Decoder()
        if settled:
            self.feed(b"" if client else PREFACE, settings_frame())
            self.connection.take()
            self.owner.events.clear()
            self.connection.unread_answers = 0

    def feed(self, *frames: bytes, cut: int | None = None) -> None:
        """Give it the frames at once, or in pieces of ``cut`` bytes."""
        data = b"".join(frames)
        step = cut or len(data) or 1
        for start in range(0, len(data), step):
            self.connection.receive(data[start : start + step])

    def sent(self) -> list[Sent]:
        """Return the frames sent since the last call; the client's preface is passed over."""
        return split_frames(self.connection.take().removeprefix(PREFACE))

    def headers(
        self, stream_id: int, fields: Fields, *, end: bool = False, flags: int = END_HEADERS, huffman: bool = True
    ) -> bytes:
        """Return a HEADERS frame of the far end."""
        return frame(HEADERS, flags | (END_STREAM if end else 0), stream_id, self.block(fields, huffman=huffman))

    def block(self, fields: Fields, *, huffman: bool = True) -> bytes:
        return bytes(self.encoder.encode(list(fields), huffman=huffman))

    def fields_of(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Return the fields in a block that the connection has sent."""
        return [(bytes(name), bytes(value)) for name, value in self.decoder.decode(block, raw=True)]

    def open(self, *, end: bool = False, reads: bool = True) -> RecordingStream:
        """Open a stream, from whichever side can."""
        if self.client:
            stream = RecordingStream(self.connection, reads=reads)
            self.connection.open(stream, REQUEST, end=end)
            self.decoder.decode(self.sent()[-1].payload)
            return stream
        self.owner.reads = reads
        self.feed(self.headers(2 * len(self.owner.requests) + 1, REQUEST_FIELDS, end=end))
        return self.owner.requests[-1]

    def failure(self, *frames: bytes) -> RemoteProtocolError:
        """Feed frames that end the connection. Return why."""
        try:
            self.feed(*frames)
        except RemoteProtocolError as error:
            return error
        raise AssertionError("the connection took it")


class Pair:
    """A client and a server, each a `Connection`, whose bytes are carried over in pieces of random size."""

    def __init__(self, local: LocalSettings | None = None, remote: LocalSettings | None = None, seed: int = 0) -> None:
        self.random = Random(seed)
        self.client_owner, self.server_owner = RecordingOwner(), RecordingOwner()
        self.client = Connection(self.client_owner, local or LocalSettings(), client=True)
        self.server = Connection(self.server_owner, remote or LocalSettings(), client=False)
        self.client_owner.connection, self.server_owner.connection = self.client, self.server

    def pump(self) -> None:
        """Carry bytes over until neither end has any."""
        while True:
            sent = self.client.take(), self.server.take()
            if not any(sent):
                return
            for data, receiver in zip(sent, (self.server, self.client), strict=True):
                while data:
                    size = self.random.choice((1, 2, 9, 10, 100, len(data)))
                    receiver.receive(data[:size])
                    data = data[size:]

    def open(self, *, end: bool = False) -> tuple[RecordingStream, RecordingStream]:
        """Open a stream. Return both its ends."""
        stream = RecordingStream(self.client)
        self.client.open(stream, REQUEST, end=end)
        self.pump()
        return stream, self.server_owner.requests[-1]


def secret(name: bytes, value: bytes) -> NeverIndexedHeaderTuple:
    """A field that hpack's encoder writes as "never indexed"."""
    return NeverIndexedHeaderTuple(name, value)
