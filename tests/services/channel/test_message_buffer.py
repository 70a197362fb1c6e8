from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.services.channel.message_buffer import MessageBuffer

pytestmark = pytest.mark.asyncio_only


class Held:
    """A buffer, what it gave back, and what it refused."""

    def __init__(self, limit: int | None = 10) -> None:
        self.acked = 0
        self.refused: list[GRPCError] = []
        self.buffer = MessageBuffer(self.ack, limit, self.judge, self.refused.append)
        self.limit = limit

    def ack(self, size: int) -> None:
        self.acked += size

    def judge(self, flag: int, length: int) -> GRPCError | None:
        if self.limit is not None and length > self.limit:
            return GRPCError(Status.RESOURCE_EXHAUSTED, f"{length} bytes")
        return None

    def add(self, data: bytes) -> None:
        self.buffer.add(data, len(data))


def message(body: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


async def test_the_limit_is_judged_when_the_prefix_arrives() -> None:
    held = Held()
    held.add(message(b"first") + message(b"second", 1) + b"\0\0\0\0\x0b" + bytes(8))
    assert [error.args for error in held.refused] == [(Status.RESOURCE_EXHAUSTED, "11 bytes", None)]
    assert held.buffer._size == 10 + 11  # the two good messages
    held.add(bytes(1000))
    assert held.buffer._size == 21
    assert held.acked == 1000
    assert await held.buffer.message() == (0, b"first")
    assert await held.buffer.message() == (1, b"second")
    for _ in range(2):
        with pytest.raises(GRPCError, match="11 bytes"):
            await held.buffer.message()
    assert held.acked + held.buffer.unacked_size() == 1000 + 21 + 13


async def test_a_message_as_large_as_the_limit_passes() -> None:
    held = Held()
    held.add(message(bytes(10)))
    assert await held.buffer.message() == (0, bytes(10))


async def test_without_a_limit_everything_passes() -> None:
    held = Held(None)
    held.add(b"\0\xff\xff\xff\xff" + bytes(10))
    assert held.refused == []


async def test_the_window_is_given_back_as_the_reader_takes() -> None:
    held = Held(1000)
    held.add(message(bytes(300)))
    held.add(message(bytes(300)))  # too large to be collected with the one before it
    assert held.acked == 0
    await held.buffer.message()
    assert held.acked == 305
    assert held.buffer.unacked_size() == 305
    assert held.buffer.unacked_size() == 0


async def test_a_reader_who_waits_for_more_lets_the_peer_send_it() -> None:
    held = Held(1000)
    reading = asyncio.ensure_future(held.buffer.message())
    await asyncio.sleep(0)
    for byte in message(bytes(100)):
        assert not reading.done()
        held.add(bytes([byte]))
        await asyncio.sleep(0)
    assert await reading == (0, bytes(100))
    assert held.acked == 105


async def test_giving_up_takes_nothing_away() -> None:
    held = Held()
    held.add(message(b"abcdef")[:8])
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(held.buffer.message(), 1.0)
    held.add(message(b"abcdef")[8:])
    assert await held.buffer.message() == (0, b"abcdef")


@pytest.mark.parametrize("piece", [b"\0\0", b"\0\0\0\0\5ab"])
async def test_an_end_inside_a_message_is_an_error(piece: bytes) -> None:
    held = Held()
    held.add(message(b"whole") + piece)
    held.buffer.eof()
    assert await held.buffer.message() == (0, b"whole")
    with pytest.raises(GRPCError, match="inside a message"):
        await held.buffer.message()


async def test_the_end_is_none_for_as_often_as_one_asks() -> None:
    held = Held()
    held.buffer.eof()
    assert await held.buffer.message() is None
    assert await held.buffer.message() is None


async def test_a_failure_wakes_the_reader() -> None:
    held = Held()
    reading = asyncio.ensure_future(held.buffer.message())
    await asyncio.sleep(0)
    held.buffer.fail(StreamTerminatedError("gone"))
    held.buffer.fail(StreamTerminatedError("later"))
    with pytest.raises(StreamTerminatedError, match="gone"):
        await reading


async def test_two_readers_are_one_too_many() -> None:
    held = Held()
    reading = asyncio.ensure_future(held.buffer.message())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await held.buffer.message()
    held.buffer.eof()
    assert await reading is None


@settings(deadline=None)
@given(
    bodies=st.lists(st.binary(max_size=30), max_size=8),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    early=st.booleans(),
)
def test_messages_come_out_as_they_went_in(bodies: list[bytes], cuts: list[int], early: bool) -> None:
    stream = b"".join(map(message, bodies))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]

    async def main() -> None:
        held = Held(100)
        reader = asyncio.ensure_future(read(held)) if early else None
        for piece in pieces:
            held.add(piece)
            await asyncio.sleep(0)
        held.buffer.eof()
        assert await (reader or read(held)) == bodies
        assert held.acked == len(stream)
        assert held.buffer._size == 0

    async def read(held: Held) -> list[bytes]:
        found = []
        while (one := await held.buffer.message()) is not None:
            found.append(one[1])
        return found

    asyncio.run(main())


async def test_a_reader_who_comes_late_gives_back_what_a_large_message_has_used_up() -> None:
    held = Held(1000)
    held.add(message(bytes(100))[:60])
    assert held.acked == 0
    reading = asyncio.ensure_future(held.buffer.message())
    await asyncio.sleep(0)
    assert held.acked == 60  # or the peer could never send the rest
    held.add(message(bytes(100))[60:])
    assert await reading == (0, bytes(100))


@pytest.mark.parametrize("cut", range(8))
async def test_bytes_come_out_where_views_went_in(cut: int) -> None:
    held = Held()
    wire = message(b"abc")

    held.add(memoryview(wire)[:cut])  # type: ignore[arg-type]
    held.add(memoryview(wire)[cut:])  # type: ignore[arg-type]

    taken = await held.buffer.message()
    assert taken is not None
    assert type(taken[1]) is bytes
    assert taken == (0, b"abc")


async def test_a_message_in_pieces_of_two_bytes_takes_as_much_as_it_is_long() -> None:
    held = Held(limit=None)
    body = bytes(range(256)) * 1000
    raw = message(body)
    reader = asyncio.create_task(held.buffer.message())
    await asyncio.sleep(0)
    for position in range(0, len(raw), 2):
        held.add(raw[position : position + 2])
    assert len(held.buffer._chunks) <= 1 + len(raw) // 16384
    assert len(held.buffer._acks) == len(held.buffer._chunks)
    assert await reader == (0, body)
    assert held.acked == len(raw)


async def test_a_message_that_will_not_be_complete_is_let_go_and_whole_ones_before_it_stay() -> None:
    held = Held()
    held.add(message(b"whole") + message(b"cut off")[:-1])
    held.buffer.fail(StreamTerminatedError("lost"))
    assert await held.buffer.message() == (0, b"whole")
    with pytest.raises(StreamTerminatedError, match="lost"):
        await held.buffer.message()
    assert not held.buffer._chunks

    held = Held()
    held.add(message(b"cut off")[:-1])
    held.buffer.fail(StreamTerminatedError("lost"))
    assert not held.buffer._chunks
    assert held.buffer.unacked_size() == 11


async def test_after_a_discard_nothing_is_kept_and_all_is_given_back() -> None:
    held = Held()
    held.add(message(b"one") + message(b"two"))
    held.buffer.discard()
    held.add(message(b"three"))
    assert not held.buffer._chunks
    assert held.acked + held.buffer.unacked_size() == 8 + 8 + 10
    with pytest.raises(StreamTerminatedError, match="not read any more"):
        await held.buffer.message()


async def test_a_reader_of_an_incomplete_message_is_told_when_it_is_let_go() -> None:
    held = Held()
    held.add(message(b"cut off")[:-1])
    reader = asyncio.ensure_future(held.buffer.message())
    await asyncio.sleep(0)
    held.buffer.fail(StreamTerminatedError("lost"))
    with pytest.raises(StreamTerminatedError, match="lost"):
        await reader


async def test_the_limit_of_a_reader_can_be_lifted() -> None:
    refused: list[GRPCError] = []
    buffer = MessageBuffer(lambda _: None, 10, lambda flag, length: None, refused.append, 2)
    buffer.add(message(b"ab") + message(b"abc"), 0)
    assert await buffer.message() == (0, b"ab")
    buffer.lift_limit()
    assert await buffer.message() == (0, b"abc")

    buffer = MessageBuffer(lambda _: None, 10, lambda flag, length: None, refused.append, 2)
    buffer.add(message(b"abc"), 0)
    with pytest.raises(GRPCError, match="a message of 3 bytes is larger"):
        await buffer.message()
    assert len(refused) == 1
