from __future__ import annotations

import asyncio
from typing import Any

import pytest
from h2.connection import ConnectionState
from hyperframe.frame import PingFrame

from ziggurat.services.channel.connection import HIGH_WATER, MAX_UNREAD_ANSWERS
from ziggurat.services.channel.stream import CallRefused

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
    connection = wire.protocol.connection
    connection._transport = recorder = Recorder(connection._transport)
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
    call = wire.channel.open()
    await call.__aenter__()
    sending = asyncio.ensure_future(call.send_message(b"x" * HIGH_WATER * 20))
    await wire.settle()
    await call._stream.connection.write_ready.wait() if sending.done() else None
    assert max(recorder.writes) >= HIGH_WATER
    second = asyncio.ensure_future(call.send_message(b"y"))
    await wire.settle()
    assert not second.done()  # the transport has had enough
    wire.writer.transport.resume_reading()
    reading = asyncio.ensure_future(wire.reader.read())
    await asyncio.gather(sending, second)
    await call.cancel()
    await call.__aexit__(None, None, None)
    wire.protocol.close()
    assert len(await reading) > HIGH_WATER * 20


async def test_an_acknowledgement_that_says_nothing_writes_nothing(wire: Any) -> None:
    recorder = await recorded(wire)
    wire.protocol.connection.ack(1, 0)
    wire.protocol.connection.flush()
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
    assert wire.protocol.connection._connection.state_machine.state is ConnectionState.CLOSED
    await call.__aexit__(None, None, None)
    assert b"last" in await wire.reader.read()


async def test_who_asks_a_closed_connection_for_a_call_is_told_that_nothing_was_sent(wire: Any) -> None:
    await wire.connect()
    connection = wire.protocol.connection
    connection.check_accepting()
    connection._transport.abort()
    with pytest.raises(CallRefused, match="Connection lost: the call was not sent"):
        connection.check_accepting()
    connection.refuse_new("moving")
    connection.refuse_new("later")
    with pytest.raises(CallRefused, match="moving: the call was not sent"):
        connection.check_accepting()


async def test_nothing_keeps_a_lost_connection_alive(wire: Any) -> None:
    await wire.connect()
    wire.writer.close()
    await wire.protocol.lost.wait()
    assert wire.protocol.connection._connection._frame_dispatch_table == {}
    assert wire.protocol.connection._linger is None


@pytest.mark.parametrize("reads", [True, False])
async def test_answers_that_the_peer_does_not_read_may_pile_up_only_so_far(wire: Any, reads: bool) -> None:
    await wire.connect(capacity=1000)
    if not reads:
        wire.go_deaf()
    reading = asyncio.ensure_future(wire.reader.read())
    pings = b"".join(PingFrame(0, b"12345678").serialize() for _ in range(100))
    sent = 0
    while sent < 2 * MAX_UNREAD_ANSWERS and not wire.protocol.connection.closing:
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
