from __future__ import annotations

import anyio
import pytest

from tests.node.lines import ADDRESS, Line, info
from ziggurat.node.address import NetAddress
from ziggurat.node.peer.events import PeerConnected, PeerDisconnected
from ziggurat.node.peer.hub import SAME_PEER, Hub
from ziggurat.node.peer.info import Direction
from ziggurat.node.peer.router import Router
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, PingMessage

pytestmark = pytest.mark.asyncio_only

SMALLER, PEER, LARGER = b"a" * 16, b"p" * 16, b"z" * 16
PING = KaspadMessage(ping=PingMessage(nonce=1))


def router(direction: Direction = "outbound") -> Router:
    return Router(Line(), ADDRESS, direction)


async def test_a_peer_is_listed_and_told_of_and_gone_when_it_is_gone() -> None:
    hub, one = Hub(), router()
    with hub.subscribe_events() as events:
        assert hub.add(one, info(), SMALLER)
        assert hub.peers() == [info()]
        assert hub.get(info().key) is one
        assert (hub.count("outbound"), hub.count("inbound")) == (1, 0)
        one.ping = 0.5
        assert hub.peers()[0].ping == 0.5
        hub.remove(one, "why")
        hub.remove(one, "again")
        assert hub.peers() == []
    told = [event async for event in events]
    assert [type(event) for event in told] == [PeerConnected, PeerDisconnected]
    assert isinstance(told[1], PeerDisconnected)
    assert (told[1].reason, told[1].peer.ping) == ("why", 0.5)


async def test_a_place_is_reserved_once_and_can_be_given_back() -> None:
    hub, key = Hub(), info().key
    assert hub.reserve(key, "inbound")
    assert not hub.reserve(key, "inbound")
    assert hub.reserve(key, "outbound")  # the two have dialled each other: `add` decides
    hub.release(key, "inbound")
    assert hub.reserve(key, "inbound")
    hub.add(router(), info(), SMALLER)
    hub.release(key, "inbound")
    assert not hub.reserve(key, "inbound")


async def test_places_are_counted_once() -> None:
    hub = Hub()
    hub.reserve(info(direction="inbound").key, "inbound")
    hub.reserve(info(LARGER).key, "outbound")
    assert (hub.taken("inbound"), hub.taken("outbound")) == (1, 1)
    hub.add(router("inbound"), info(direction="inbound"), SMALLER)
    assert hub.taken("inbound") == 1


async def test_the_later_of_two_equal_connections_stays() -> None:
    hub, first, second = Hub(), router(), router()
    hub.add(first, info(), SMALLER)
    assert hub.add(second, info(), SMALLER)
    assert first.reason == SAME_PEER
    assert hub.get(info().key) is second
    hub.remove(first, "late")
    assert hub.get(info().key) is second


@pytest.mark.parametrize("first", ["inbound", "outbound"])
@pytest.mark.parametrize(("our_id", "stays"), [(SMALLER, "outbound"), (LARGER, "inbound")])
async def test_of_two_that_crossed_both_sides_keep_the_same(first: Direction, our_id: bytes, stays: Direction) -> None:
    hub = Hub()
    second: Direction = "outbound" if first == "inbound" else "inbound"
    routers = {direction: router(direction) for direction in (first, second)}
    hub.add(routers[first], info(PEER, first), our_id)

    assert hub.add(routers[second], info(PEER, second), our_id) is (second == stays)
    assert hub.get(info(PEER).key) is routers[stays]
    assert [routers[d].reason for d in routers if d != stays] == [SAME_PEER]


async def test_a_broadcast_goes_to_all_who_are_there() -> None:
    hub, one, two = Hub(), router(), router()
    hub.add(one, info(), SMALLER)
    hub.add(two, info(address=NetAddress.parse("10.0.0.9:1")), SMALLER)
    assert hub.broadcast(PING) == 2
    one.close("gone")
    assert hub.broadcast(PING) == 1


async def test_the_end_of_the_hub_is_the_end_of_the_events() -> None:
    hub = Hub()
    events = hub.subscribe_events()
    hub.close()
    with anyio.fail_after(1):
        assert [event async for event in events] == []
