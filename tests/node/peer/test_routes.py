from __future__ import annotations

import anyio
import pytest

from ziggurat.node.peer.routes import Routes
from ziggurat.node.peer.turns import Turns
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

PING = KaspadMessage(ping=p2p.PingMessage())


async def test_a_response_is_found_by_its_id_and_any_other_message_by_its_type() -> None:
    routes = Routes(Turns())
    pings, answers = routes.add(("ping",), None, 2, "close"), routes.add((), None, 2, "close")
    assert routes.find("ping", 0) is pings
    assert routes.find("ping", answers.id) is answers
    assert routes.find("pong", 0) is routes.find("ping", answers.id + 1) is None
    routes.remove(pings)
    assert routes.find("ping", 0) is routes.find("ping", pings.id) is None
    assert "ping" not in routes
    assert list(routes) == [answers]


async def test_what_waits_is_added_up_over_all_routes() -> None:
    routes = Routes(Turns())
    pings, pongs = routes.add(("ping",), None, 2, "close"), routes.add(("pong",), None, 2, "close")
    pings.put(PING, 100)
    pongs.put(PING, 20)
    assert (routes.messages, routes.cost) == (2, 120)
    pings.drain()
    assert (routes.messages, routes.cost) == (1, 20)
    with anyio.move_on_after(1) as waited:
        await routes.wait_empty()
    assert waited.cancelled_caught
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(routes.wait_empty)
        await pongs.receive()
    assert (routes.messages, routes.cost) == (0, 0)
