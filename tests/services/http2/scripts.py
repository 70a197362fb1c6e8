"""Random scripts of frames for one end of a connection: legal ones, and the same with one thing wrong.

A script is made of choices, small numbers that hypothesis draws and shrinks. Whatever they are, the frames are legal in
their order; then a `Mutation` breaks one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hpack import Encoder
from hypothesis import strategies as st

from tests.services.http2.peers import REQUEST_FIELDS, RESPONSE_FIELDS, split_frames
from ziggurat.services.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    frame,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)

Fields = list[tuple[bytes, bytes]]

STREAMS = (1, 3, 5)

STREAM_WINDOW = 1000
"""Of the end that reads a script."""

TRAILERS: Fields = [(b"grpc-status", b"0"), (b"grpc-message", b"a b")]
INFORMATIONAL: Fields = [(b":status", b"103"), (b"link", b"</a>")]

LENGTHS = (0, 1, 5, 100, 200, 260, 400, 16_384)
SETTINGS_FRAMES = (
    settings_frame(),
    settings_frame([(4, 0)]),
    settings_frame([(4, 70_000), (0xF00, 1)]),
    settings_frame([(5, 20_000), (3, 100)]),
    settings_frame([(1, 0)]),
    settings_frame([(1, 100), (6, 10_000)]),
    settings_frame(ack=True),
    settings_frame([(2, 0)]),
)
BAD_FIELDS: tuple[Fields, ...] = (
    [(b"Upper", b"x")],
    [(b"connection", b"close")],
    [(b"te", b"gzip")],
    [(b":late", b"x")],
    [(b":status", b"200")],
    [(b":path", b"/")],
    [(b"a", b"b\r\nc")],
    [(b"content-length", b"x")],
    [(b"content-length", b"3"), (b"content-length", b"4")],
    [(b"content-length", b"1")],
    [(b"a", b" b ")],
    [(b"x", b"y" * 70_000)],
    [(b"", b"x")],
)
BAD_STARTS: tuple[Fields, ...] = (
    [],
    [(b":status", b"200"), (b":status", b"200")],
    [(b":status", b"2x0")],
    [(b":status", b"")],
    [(b":unknown", b"x")],
    [(b":method", b"GET")],
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"")],
    [(b":method", b"CONNECT"), (b":authority", b"a")],
    [(b":status", b"101")],
    [(b"a", b"b"), (b":status", b"200")],
)
WINDOW_GAMES = (
    lambda stream_id: window_update_frame(stream_id, 0),
    lambda stream_id: window_update_frame(0, 0),
    lambda stream_id: window_update_frame(stream_id, 2**31 - 1),
    lambda stream_id: window_update_frame(0, 2**31 - 1),
    lambda stream_id: settings_frame([(4, 2**31)]),
    lambda stream_id: settings_frame([(4, 2**31 - 1)]) + window_update_frame(stream_id, 1),
    lambda stream_id: settings_frame([(5, 100)]),
    lambda stream_id: settings_frame([(2, 1)]),
    lambda stream_id: frame(DATA, 0, stream_id, bytes(STREAM_WINDOW + 1)),
    lambda stream_id: frame(DATA, PADDED, stream_id, b"\xff" + bytes(900)) * 2,
    lambda stream_id: frame(PRIORITY, 0, stream_id, stream_id.to_bytes(4, "big") + b"\0"),
    lambda stream_id: frame(PUSH_PROMISE, END_HEADERS, stream_id, b"\0\0\0\x02\x82"),
    lambda stream_id: goaway_frame(stream_id, 11, b"why"),
    lambda stream_id: rst_stream_frame(stream_id, 8),
)

Kind = Literal["flag", "type", "length", "stream", "drop", "double", "swap", "byte", "cut", "fields", "game", "legal"]
KINDS: tuple[Kind, ...] = (
    *("flag", "type", "length", "stream", "drop", "double", "swap", "byte", "cut"),
    *("fields", "fields", "fields", "game", "game", "game", "legal", "legal"),
)


class Step(NamedTuple):
    """One step of a script.

    Attributes:
        data: a frame that comes; empty for something that the reading end does itself.
        action: what that is: "end", "data", "reset" or "respond".
        stream_id: on which stream.
    """

    data: bytes
    action: str = ""
    stream_id: int = 0


class Choice(NamedTuple):
    kind: int
    stream: int
    variant: int


class Mutation(NamedTuple):
    kind: Kind
    place: int
    value: int


@dataclass
class Writer:
    """Makes legal steps of choices, for a server's end or a client's."""

    client: bool
    encoder: Encoder = field(default_factory=Encoder)
    steps: list[Step] = field(default_factory=list)
    begun: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    lengths: dict[int, int] = field(default_factory=dict)
    highest: int = 0

    def add(self, choice: Choice, bad: int | None = None) -> None:
        """Add the frames of one choice; with ``bad``, their header section is malformed."""
        kind, stream_id, variant = choice.kind, STREAMS[choice.stream], choice.variant
        if kind == 6:
            self.put(SETTINGS_FRAMES[variant])
        elif kind == 7:
            self.put((ping_frame(b"pingpong"), ping_frame(b"12345678", ack=True))[variant & 1])
        elif kind == 8:
            target = stream_id if stream_id in self.begun and variant & 1 else 0
            self.put(window_update_frame(target, 1 + variant * 1000))
        elif kind == 9:
            self.put(frame((PRIORITY, 0xBE)[variant & 1], 0, stream_id, b"\0\0\0\x63\x10"))
        elif kind == 10 and stream_id in self.begun:
            self.put(rst_stream_frame(stream_id, variant))
            self.ended.add(stream_id)
        elif kind == 11:
            action = ("end", "data", "reset", "respond")[variant & 3]
            self.steps.append(Step(b"", action, stream_id))
            if action == "reset" and not variant & 4:
                self.ended.add(stream_id)
        elif stream_id not in self.begun:
            self.start(stream_id, variant, bad, end=kind == 5)
        elif stream_id in self.ended:
            pass
        elif kind in (4, 5) or bad is not None:
            self.headers(stream_id, list(TRAILERS), variant, bad, end=True)
        else:
            self.data(stream_id, LENGTHS[variant], end=kind == 3, padded=kind == 2)

    def start(self, stream_id: int, variant: int, bad: int | None, *, end: bool) -> None:
        if self.client and stream_id < self.highest:
            return
        self.highest = stream_id
        if not self.client and variant == 7:
            self.headers(stream_id, list(INFORMATIONAL), 0, bad, end=False)
            return
        fields = list(REQUEST_FIELDS if self.client else RESPONSE_FIELDS)
        if variant == 6 and not end:
            self.lengths[stream_id] = 300
            fields.append((b"content-length", b"300"))
        self.begun.add(stream_id)
        self.headers(stream_id, fields, variant, bad, end=end, first=True)

    def headers(
        self, stream_id: int, fields: Fields, variant: int, bad: int | None, *, end: bool, first: bool = False
    ) -> None:
        if bad is not None and first and bad >= len(BAD_FIELDS):
            fields = [*BAD_STARTS[bad % len(BAD_STARTS)], (b"z", b"z")]
        elif bad is not None:
            fields = fields + BAD_FIELDS[bad % len(BAD_FIELDS)]
        block = self.encoder.encode(fields, huffman=variant != 1)
        flags = END_STREAM if end else 0
        if end:
            self.ended.add(stream_id)
        if len(block) > 16_000:
            parts = [block[start : start + 16_000] for start in range(0, len(block), 16_000)]
        elif variant == 2:
            parts = [block[:2], block[2:5], block[5:]]
        else:
            parts = [block]
        if variant == 3:
            flags |= PADDED
            parts[0] = b"\x03" + parts[0] + bytes(3)
        elif variant == 4:
            flags |= PRIORITY_FLAG
            parts[0] = b"\x80\0\0\x63\x10" + parts[0]
        for number, part in enumerate(parts):
            last = END_HEADERS if number == len(parts) - 1 else 0
            self.put(frame(CONTINUATION if number else HEADERS, last | (0 if number else flags), stream_id, part))

    def data(self, stream_id: int, length: int, *, end: bool, padded: bool) -> None:
        left = self.lengths.get(stream_id)
        if left is not None:
            length = left if end else min(length, left)
            self.lengths[stream_id] = left - length
        if end:
            self.ended.add(stream_id)
        payload = b"\x04" + bytes(length) + bytes(4) if padded else b"x" * length
        self.put(frame(DATA, (END_STREAM if end else 0) | (PADDED if padded else 0), stream_id, payload))

    def put(self, data: bytes) -> None:
        self.steps.append(Step(data))


def write(choices: list[Choice], mutation: Mutation, *, client: bool) -> list[Step]:
    """Return the script for these choices, with the mutation."""
    writer = Writer(client)
    for number, choice in enumerate(choices):
        bad = mutation.value if mutation.kind == "fields" and number == mutation.place % len(choices) else None
        writer.add(choice._replace(kind=choice.kind % 6) if bad is not None else choice, bad)
    steps = writer.steps
    frames = [number for number, step in enumerate(steps) if step.data]
    if mutation.kind == "game":
        game = WINDOW_GAMES[mutation.value % len(WINDOW_GAMES)](STREAMS[mutation.value % 3])
        steps.insert(mutation.place % (len(steps) + 1), Step(game))
    elif frames and mutation.kind not in ("fields", "legal"):
        mutate(steps, frames[mutation.place % len(frames)], mutation)
    return again_in_frames(steps)


def mutate(steps: list[Step], place: int, mutation: Mutation) -> None:
    data, value = bytearray(steps[place].data), mutation.value
    if mutation.kind == "flag":
        data[4] ^= (END_STREAM, END_HEADERS, PADDED, PRIORITY_FLAG)[value % 4]
    elif mutation.kind == "type":
        data[3] = 0xBE if value % 11 == 10 else value % 11  # 10 would be ALTSVC, which h2 knows
    elif mutation.kind == "length":
        data[2] = (data[2] + value) % 256
    elif mutation.kind == "stream":
        data[8] = value % 12
    elif mutation.kind == "byte" and len(data) > 9:
        data[9 + value % (len(data) - 9)] ^= 1 << value % 8
    elif mutation.kind == "cut" and len(data) > 9:
        del data[9 + value % (len(data) - 9) :]
        data[:3] = (len(data) - 9).to_bytes(3, "big")
    steps[place] = Step(bytes(data))
    if mutation.kind == "drop":
        del steps[place]
    elif mutation.kind == "double":
        steps.insert(place, steps[place])
    elif mutation.kind == "swap" and place + 1 < len(steps):
        steps[place], steps[place + 1] = steps[place + 1], steps[place]


def again_in_frames(steps: list[Step]) -> list[Step]:
    """Cut the bytes into frames by the lengths that they now have; what is left of one at the end is left out."""
    data, result, consumed, whole = b"".join(step.data for step in steps), [], 0, 0
    for step in steps:
        if not step.data:
            result.append(step)
            continue
        consumed += len(step.data)
        while whole + 9 <= consumed:
            size = 9 + int.from_bytes(data[whole : whole + 3], "big")
            if whole + size > consumed:
                break
            result.append(Step(data[whole : whole + size]))
            whole += size
    return result


def shown(steps: list[Step]) -> str:
    """Return a script as a person reads it."""
    lines = []
    for step in steps:
        if step.data:
            kind, flags, stream_id, payload = split_frames(step.data)[0]
            lines.append(f"type {kind} flags {flags:#x} stream {stream_id} payload {len(payload)}: {payload[:60]!r}")
        else:
            lines.append(f"we {step.action} {step.stream_id}")
    return "\n".join(lines)


CHOICES = st.lists(st.builds(Choice, st.integers(0, 11), st.integers(0, 2), st.integers(0, 7)), min_size=1, max_size=14)
MUTATIONS = st.builds(Mutation, st.sampled_from(KINDS), st.integers(0, 20), st.integers(0, 255))
