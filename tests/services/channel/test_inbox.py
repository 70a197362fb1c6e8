from __future__ import annotations

import asyncio
import itertools

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.services.channel.inbox import Inbox

pytestmark = pytest.mark.asyncio_only


class Held(Inbox):
    """An inbox without a connection: what it gave back, and what it refused."""

    def __init__(self, limit: int = 10) -> None:
        super().__init__()
        self.given = 0
        self.refused: list[Exception] = []
        self.limit = limit

    def _judge(self, flag: int, length: int) -> GRPCError | None:
        return GRPCError(Status.RESOURCE_EXHAUSTED, f"{length} bytes") if length > self.limit else None

    def _refuse(self, error: Exception) -> None:
        self.refused.append(error)

    def _give_back(self, size: int) -> None:
        self.given += size

    def _settle_later(self) -> None:
        asyncio.get_running_loop().call_soon(self.settle)

    def add(self, data: bytes) -> None:
        self.on_data(data, 0, len(data))

    def finish(self) -> None:
        self.remote_ended = True
        self.on_end()

    def _inflate(self, body: bytes) -> bytes:
        self.compressed = 1
        return body

    async def message(self) -> tuple[int, bytes] | None:
        self.compressed = 0
        while (body := self._next()) is None:
            if not await self._wait():
                return None
        return self.compressed, body


def message(body: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


async def waiting(inbox: Held) -> asyncio.Task[tuple[int, bytes] | None]:
    task = asyncio.ensure_future(inbox.message())
    await asyncio.sleep(0)
    return task


async def test_messages_come_with_their_flags_and_an_end() -> None:
    inbox = Held()
    inbox.add(message(b"first") + message(b"", 1) + message(b"third"))
    inbox.finish()
    assert [await inbox.message() for _ in range(4)] == [(0, b"first"), (1, b""), (0, b"third"), None]
    assert inbox.given == 10 + 5 + 10


async def test_a_message_is_judged_when_it_is_asked_for_and_what_is_before_it_is_kept() -> None:
    inbox = Held()
    inbox.add(message(b"good") + message(bytes(11)) + message(b"behind"))
    assert await inbox.message() == (0, b"good")
    for _ in range(2):
        with pytest.raises(GRPCError, match="11 bytes"):
            await inbox.message()
    assert [str(error) for error in inbox.refused] == ["(<Status.RESOURCE_EXHAUSTED: 8>, '11 bytes', None)"]
    inbox.add(bytes(1000))  # dropped
    assert inbox.given == 9 + 16 + 11 + 1000
    assert inbox._size == 0


async def test_a_large_message_is_judged_by_its_prefix_alone() -> None:
    inbox = Held()
    inbox.add(b"\0\xff\xff\xff\xff")
    with pytest.raises(GRPCError, match="4294967295 bytes"):
        await inbox.message()


async def test_an_end_inside_a_message_is_an_error() -> None:
    for part in (b"\0", message(b"hello")[:-1]):
        inbox = Held()
        inbox.add(part)
        inbox.finish()
        with pytest.raises(GRPCError, match="inside a message") as caught:
            await inbox.message()
        assert caught.value.status is Status.INTERNAL


async def test_whole_messages_outlive_what_breaks_the_stream() -> None:
    inbox = Held()
    inbox.add(message(b"whole") + message(b"part")[:-1])
    inbox.break_off(StreamTerminatedError("gone"))
    assert await inbox.message() == (0, b"whole")
    for _ in range(2):
        with pytest.raises(StreamTerminatedError, match="gone"):
            await inbox.message()
    assert inbox._size == 0


async def test_a_complete_response_cannot_be_broken() -> None:
    inbox = Held()
    inbox.add(message(b"whole"))
    inbox.finish()
    inbox.break_off(StreamTerminatedError("gone"))
    assert await inbox.message() == (0, b"whole")
    assert await inbox.message() is None


async def test_a_waiting_reader_hears_of_the_end_and_of_a_break() -> None:
    inbox = Held()
    task = await waiting(inbox)
    inbox.finish()
    assert await task is None
    inbox = Held()
    task = await waiting(inbox)
    inbox.break_off(StreamTerminatedError("gone"))
    with pytest.raises(StreamTerminatedError):
        await task


async def test_two_readers_are_refused() -> None:
    inbox = Held()
    first = await waiting(inbox)
    with pytest.raises(RuntimeError, match="another task"):
        await inbox.message()
    inbox.add(message(b"x"))
    assert await first == (0, b"x")


async def test_a_reader_that_gives_up_takes_nothing_away() -> None:
    inbox = Held()
    inbox.add(message(b"hello")[:7])
    task = await waiting(inbox)
    task.cancel()
    await asyncio.wait([task])
    inbox.add(message(b"hello")[7:])
    assert await inbox.message() == (0, b"hello")


# What the peer may send again


async def test_what_is_not_read_is_not_given_back() -> None:
    inbox = Held()
    inbox.add(message(b"hello") * 3)
    assert inbox.given == 0
    await inbox.message()
    assert inbox.given == 10


async def test_a_waiting_reader_gives_back_what_it_cannot_use_yet_once() -> None:
    inbox = Held(1000)
    inbox.add(message(bytes(100))[:50])
    task = await waiting(inbox)
    assert inbox.given == 50
    inbox.add(message(bytes(100))[50:100])
    assert inbox.given == 100
    assert not task.done()
    inbox.add(bytes(5) + message(b"next")[:3])
    assert await task == (0, bytes(100))
    assert inbox.given == 105  # the beginning of the next one is unread
    inbox.add(message(b"next")[3:])
    assert await inbox.message() == (0, b"next")
    assert inbox.given == 114


async def test_who_waits_for_the_end_keeps_the_peer_to_its_window() -> None:
    inbox = Held(1000)
    task = asyncio.ensure_future(inbox._wait_for_end())
    await asyncio.sleep(0)
    inbox.add(bytes(100))
    await asyncio.sleep(0)
    assert inbox.given == 0
    assert not task.done()
    inbox.finish()
    await task


async def test_discarding_gives_everything_back_also_later() -> None:
    inbox = Held()
    inbox.add(message(b"hello"))
    inbox.discard()
    inbox.add(message(b"more"))
    assert inbox.given == 19
    assert inbox._size == 0


@pytest.mark.parametrize("rest", [0, 1, 5, 5000])
async def test_the_rest_behind_a_large_message_does_not_keep_what_was_read(rest: int) -> None:
    """A server could leave a byte on each of a thousand streams, and have 256 KiB kept for it."""
    inbox = Held(1_000_000)
    read = message(bytes(200_000)) + message(bytes(10_000))[:rest]
    inbox.on_data(read, 0, len(read))
    inbox.settle()
    assert await inbox.message() == (0, bytes(200_000))

    assert inbox._chunk is not read
    assert len(inbox._chunk) == rest
    inbox.add(message(bytes(10_000))[rest:])
    assert await inbox.message() == (0, bytes(10_000))


@settings(max_examples=200, deadline=None)
@given(
    bodies=st.lists(st.binary(max_size=40) | st.integers(200, 40_000).map(bytes), max_size=8),
    cuts=st.lists(st.integers(0, 60_000), max_size=8),
    data=st.data(),
)
def test_any_cut_gives_the_same_messages(bodies: list[bytes], cuts: list[int], data: st.DataObject) -> None:
    whole = b"".join(map(message, bodies))
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    ahead = data.draw(st.integers(0, len(edges)))

    async def main() -> list[bytes]:
        inbox = Held(100_000)
        pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
        for piece in pieces[:ahead]:
            inbox.add(piece)
        reading = asyncio.ensure_future(read(inbox))
        for piece in pieces[ahead:]:
            await asyncio.sleep(0)
            parts = data.draw(st.integers(1, 4))
            length = len(piece) // parts
            if parts > 1 and length:  # as frames of one header; the rest in one more
                stride, stop = length + 9, parts * length
                run = b"".join(bytes(9) + piece[a : a + length] for a in range(0, stop, length))
                inbox.on_data_run(run, 9, length, stride, parts)
                piece = piece[stop:]
            if piece:
                inbox.on_data(b"?" + piece + b"?", 1, len(piece) + 1)
        await asyncio.sleep(0)
        inbox.finish()
        messages = await reading
        assert inbox.given == len(whole)
        return messages

    async def read(inbox: Held) -> list[bytes]:
        messages = []
        while (found := await inbox.message()) is not None:
            messages.append(found[1])
        return messages

    assert asyncio.run(main()) == bodies
