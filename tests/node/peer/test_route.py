from __future__ import annotations

import anyio
import pytest

from ziggurat.node.peer.route import FlowError, PeerClosed, Route, RouteFull, WhenFull
from ziggurat.node.peer.turns import Turns
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only


def ping(nonce: int) -> KaspadMessage:
    return KaspadMessage(ping=p2p.PingMessage(nonce=nonce))


class Held:
    def __init__(self) -> None:
        self.messages = self.size = 0

    def __call__(self, messages: int, size: int) -> None:
        self.messages += messages
        self.size += size


def route(capacity: int = 2, when_full: WhenFull = "close", held: Held | None = None) -> Route:
    return Route(1, frozenset({"ping"}), capacity, when_full, held or Held(), Turns())


async def test_messages_arrive_in_order_before_the_route_closes() -> None:
    one = route()
    one.put(ping(1), 600)
    one.put(ping(2), 600)
    one.close("gone")

    assert [message.ping.nonce async for message in one] == [1, 2]
    with pytest.raises(PeerClosed, match="gone"):
        await one.receive()


async def test_a_waiting_flow_is_woken_by_a_message_and_by_a_close() -> None:
    one, got = route(), []

    async def read() -> None:
        got.extend([message.ping.nonce async for message in one])
        got.append("end")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.sleep(1)
        one.put(ping(7), 600)
        await anyio.sleep(1)
        assert got == []  # the comprehension has not ended
        one.close("gone")
    assert got == [7, "end"]


async def test_a_full_route_raises_or_drops() -> None:
    strict, lax = route(2), route(2, "drop")
    for one in (strict, lax):
        one.put(ping(1), 600)
        one.put(ping(2), 600)
    with pytest.raises(RouteFull):
        strict.put(ping(3), 600)
    lax.put(ping(3), 600)
    assert lax.dropped == 1
    assert [m.ping.nonce for m in lax.drain()] == [1, 2]


async def test_the_memory_of_queued_messages_is_added_up() -> None:
    held = Held()
    one = route(10, held=held)
    one.put(ping(1), 700)
    one.put(ping(2), 30)
    assert (held.messages, held.size) == (2, 730)
    await one.receive()
    assert (held.messages, held.size) == (1, 30)
    one.put(ping(1), 5)
    one.drain()
    assert (held.messages, held.size) == (0, 0)


async def test_a_timeout_has_kaspads_text() -> None:
    one, started = route(), anyio.current_time()
    with pytest.raises(FlowError, match="timeout expired after 120s"):
        await one.receive(120.0)
    assert anyio.current_time() - started == pytest.approx(120)
    one.put(ping(1), 600)
    assert (await one.receive(120.0)).ping.nonce == 1


async def test_a_close_during_the_wait_is_not_a_timeout() -> None:
    one = route()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close_later, one)
        with pytest.raises(PeerClosed, match="gone"):
            await one.receive(120.0)


async def close_later(one: Route) -> None:
    await anyio.sleep(1)
    one.close("gone")


async def test_a_second_reader_is_refused() -> None:
    one = route()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.receive)
        await anyio.sleep(1)
        with pytest.raises(RuntimeError, match="another task"):
            await one.receive()
        one.put(ping(1), 600)


def test_the_repr_shows_types_and_queue_length() -> None:
    assert repr(route()) == "Route(1, ping, 0 waiting)"
