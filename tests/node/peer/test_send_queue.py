from __future__ import annotations

import anyio
import pytest

from ziggurat.node.peer.send_queue import OBJECTS, SEND_QUEUE_BYTES, SEND_QUEUE_MESSAGES, SendQueue
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.cost import tally
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

SMALL = KaspadMessage(verack=p2p.VerackMessage())


async def test_messages_come_out_in_order_and_end_after_a_close() -> None:
    queue = SendQueue()
    for nonce in range(3):
        assert await queue.put(KaspadMessage(ping=p2p.PingMessage(nonce=nonce)))
    queue.close()

    assert not await queue.put(SMALL)
    assert not queue.put_nowait(SMALL)
    assert [message.ping.nonce async for message in queue] == [0, 1, 2]
    await queue.wait_sent()


async def test_put_waits_for_room_and_put_nowait_does_not() -> None:
    queue = SendQueue()
    for _ in range(SEND_QUEUE_MESSAGES):
        assert queue.put_nowait(SMALL)
    assert not queue.put_nowait(SMALL)
    with anyio.move_on_after(1) as scope:
        await queue.put(SMALL)
    assert scope.cancelled_caught

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.put, SMALL)
        await anyio.sleep(1)
        await anext(queue)
    assert queue.full


async def test_memory_is_bounded_too() -> None:
    queue = SendQueue()
    big = KaspadMessage(reject=p2p.RejectMessage(reason="x" * (SEND_QUEUE_BYTES // 4 // OBJECTS)))
    count = 0
    while queue.put_nowait(big):
        count += 1
    assert count == 5  # the first is not counted, and four of a quarter each fit


async def test_a_message_of_many_objects_counts_as_they_take_memory() -> None:
    entries = [p2p.NetAddress(ip=b"\x0b\0\0\1", port=16111)] * 1000
    reply, queue = KaspadMessage(addresses=p2p.AddressesMessage(addressList=entries)), SendQueue()
    count = 0
    while queue.put_nowait(reply):
        count += 1
    assert count * tally(reply.SerializeToString()).cost < 2 * SEND_QUEUE_BYTES


async def test_a_close_wakes_waiting_senders() -> None:
    queue = SendQueue()
    while queue.put_nowait(SMALL):
        pass
    results = []

    async def put() -> None:
        results.append(await queue.put(SMALL))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put)
        await anyio.sleep(1)
        queue.close()
    assert results == [False]


async def test_force_put_ignores_the_limit() -> None:
    queue = SendQueue()
    while queue.put_nowait(SMALL):
        pass
    queue.force_put(KaspadMessage(reject=p2p.RejectMessage(reason="bye")))
    queue.close()
    assert [message async for message in queue][-1].reject.reason == "bye"


async def test_a_stalled_message_is_detected() -> None:
    queue = SendQueue()
    queue.put_nowait(SMALL)
    assert not queue.is_stalled(1.0)
    await anext(queue)
    await anyio.sleep(2)
    assert queue.is_stalled(1.0)
    queue.close()
    with pytest.raises(StopAsyncIteration):
        await anext(queue)
    assert not queue.is_stalled(1.0)


async def test_a_failure_discards_messages_and_ends_the_wait() -> None:
    queue = SendQueue()
    queue.put_nowait(SMALL)
    queue.fail()
    await queue.wait_sent()
    with pytest.raises(StopAsyncIteration):
        await anext(queue)
