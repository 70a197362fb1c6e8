from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hyperframe.frame import GoAwayFrame, PingFrame

from ziggurat.services.channel.options import HIGH_WATER
from ziggurat.services.channel.refusal import CallRefused
from ziggurat.services.http2.receiver import MAX_UNREAD_ANSWERS

pytestmark = pytest.mark.asyncio_only


class Recorder(asyncio.Transport):
    """In front of a transport: notes what is written."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self.inner = inner
        self.writes: list[int] = []

    def write(self, data: Any) -> None:
        self.writes.append(len(data))
        self.inner.write(data)

    def __getattribute__(self, name: str) -> Any:
        if name in ("inner", "writes", "write", "__class__"):
            return super().__getattribute__(name)
        return getattr(self.inner, name)


async def recorded(wire: Any) -> Recorder:
    await wire.connect(settings=False)
    await wire.send(wire.settings({4: 2**30, 5: 2**20}), wire.window(0, 2**30))
    wire.protocol._transport = recorder = Recorder(wire.protocol._transport)
    return recorder


async def test_many_small_things_are_one_write(wire: Any) -> None:
    recorder = await recorded(wire)
    calls = [wire.channel.open() for _ in range(20)]
    for call in calls:
        await call.__aenter__()
    await asyncio.gather(*(call.send_message(b"x" * 100) for call in calls))
    await wire.settle()
    assert len(recorder.writes) == 1
    for call in calls:
        await call.cancel()
        await call.__aexit__(None, None, None)


async def test_much_is_written_at_once_so_that_the_transport_can_object(wire: Any) -> None:
    recorder = await recorded(wire)
    wire.go_deaf()
    call, other = wire.channel.open(), wire.channel.open()
    for each in (call, other):
        await each.__aenter__()
        await each.send_request()
    sending = asyncio.ensure_future(call.send_message(b"x" * HIGH_WATER * 20))
    await wire.settle()
    assert max(recorder.writes) >= HIGH_WATER
    second = asyncio.ensure_future(other.send_message(b"y"))
    await wire.settle()
    assert not second.done()  # the transport has had enough
    wire.writer.transport.resume_reading()
    reading = asyncio.ensure_future(wire.reader.read())
    await asyncio.gather(sending, second)
    for each in (call, other):
        await each.cancel()
        await each.__aexit__(None, None, None)
    wire.protocol.close()
    assert len(await reading) > HIGH_WATER * 20


async def test_an_acknowledgement_that_says_nothing_writes_nothing(wire: Any) -> None:
    recorder = await recorded(wire)
    wire.protocol.flush()
    wire.protocol.flush_soon()
    await wire.settle()
    assert recorder.writes == []


async def test_a_close_writes_what_was_still_to_be_written(wire: Any) -> None:
    recorder = await recorded(wire)
    call = wire.channel.open()
    await call.__aenter__()
    await call.send_message(b"last")
    assert recorder.writes == []
    wire.protocol.close()
    assert len(recorder.writes) == 1
    await call.__aexit__(None, None, None)
    await wire.expect(GoAwayFrame)
    assert any(getattr(frame, "data", b"").endswith(b"last") for frame in wire.seen)


async def test_who_asks_a_closed_connection_for_a_call_is_told_that_nothing_was_sent(wire: Any) -> None:
    await wire.connect()
    await wire.protocol.wait_turn()
    wire.protocol._transport.abort()
    with pytest.raises(CallRefused, match="Connection lost: the call was not sent"):
        await wire.protocol.wait_turn()
    wire.protocol.refuse_new("moving")
    wire.protocol.refuse_new("later")
    with pytest.raises(CallRefused, match="moving: the call was not sent"):
        await wire.protocol.wait_turn()


async def test_nothing_keeps_a_lost_connection_alive(wire: Any) -> None:
    await wire.connect()
    wire.writer.close()
    await wire.protocol.lost.wait()
    assert wire.protocol.core._owner is None
    assert wire.protocol._linger is None


@pytest.mark.parametrize("reads", [True, False])
async def test_answers_that_the_peer_does_not_read_may_pile_up_only_so_far(wire: Any, reads: bool) -> None:
    await wire.connect(capacity=1000)
    if not reads:
        wire.go_deaf()
    reading = asyncio.ensure_future(wire.reader.read())
    pings = b"".join(PingFrame(0, b"12345678").serialize() for _ in range(100))
    sent = 0
    while sent < 2 * MAX_UNREAD_ANSWERS and not wire.protocol.closing:
        await wire.send(pings)
        sent += len(pings)
    if reads:
        assert wire.protocol.failure is None
        wire.protocol.close()
        assert len(await reading) > sent
    else:
        assert wire.protocol.failure.endswith("the peer reads none of the answers that its frames ask for")
        assert MAX_UNREAD_ANSWERS < sent < MAX_UNREAD_ANSWERS + 128 * 1024  # what buffers on the way take is read
        reading.cancel()
