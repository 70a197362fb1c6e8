from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from tests.node.lines import ADDRESS, FakeStream, info
from ziggurat.node.address import AddressNetwork, NetAddress, OnionNetAddress
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.peer.events import PeerConnected, PeerDisconnected
from ziggurat.node.peer.hub import CONNECTED_TWICE, CROSSED, INBOUND_LIMIT_REACHED, Hub
from ziggurat.node.peer.info import ONION, PROXIED, Direction
from ziggurat.node.peer.router import Router
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, PingMessage

pytestmark = pytest.mark.asyncio_only

SMALLER, PEER, LARGER = b"a" * 16, b"p" * 16, b"z" * 16
PING = KaspadMessage(ping=PingMessage(nonce=1))


def router(id: bytes = PEER, direction: Direction = "outbound", address: NetAddress = ADDRESS) -> Router:
    return Router(FakeStream(), info(id, direction, address))


async def test_a_peer_is_listed_and_announced_until_it_is_removed() -> None:
    hub, one = Hub(), router()
    with hub.subscribe_events() as events:
        hub.add(one, SMALLER)
        assert hub.peers() == [info()]
        assert hub.get(info().key) is one
        assert (hub.count("outbound"), hub.count("inbound")) == (1, 0)
        one.record_ping(0.5)
        assert hub.peers()[0].ping == 0.5
        hub.remove(one, "why")
        hub.remove(one, "again")
        assert hub.peers() == []
    received = [event async for event in events]
    assert [type(event) for event in received] == [PeerConnected, PeerDisconnected]
    assert isinstance(received[1], PeerDisconnected)
    assert (received[1].reason, received[1].peer.ping) == ("why", 0.5)


async def test_a_place_is_reserved_during_the_block() -> None:
    hub, key = Hub(), info().key
    with hub.reserve(key, "inbound"):
        with pytest.raises(HandshakeError) as caught, hub.reserve(key, "inbound"):
            pass
        assert (caught.value.kind, caught.value.reject) == (Kind.DUPLICATE, "DUPLICATE_CONNECTION")
        with hub.reserve(key, "outbound"):
            pass  # both sides may dial at once: `add` decides
    with hub.reserve(key, "inbound"):
        hub.add(router(), SMALLER)
    with pytest.raises(HandshakeError), hub.reserve(key, "inbound"):
        pass


async def test_a_failed_handshake_releases_its_place() -> None:
    hub, key = Hub(1), info(direction="inbound").key
    for _ in range(2):
        with pytest.raises(KeyError), hub.reserve(key, "inbound"):
            raise KeyError
    assert not hub.is_full


async def test_the_inbound_limit_counts_reserved_places() -> None:
    hub = Hub(inbound_limit=1)
    with hub.reserve(info(direction="inbound").key, "inbound"):
        assert hub.is_full
        with pytest.raises(HandshakeError) as caught, hub.reserve(info(LARGER).key, "inbound"):
            pass
        assert (caught.value.kind, caught.value.reject) == (Kind.BUSY, INBOUND_LIMIT_REACHED)
        with hub.reserve(info(LARGER).key, "outbound"):
            pass  # the limit is for inbound peers only
    assert not hub.is_full


async def test_a_reserved_place_and_its_peer_count_once() -> None:
    hub = Hub()
    with hub.reserve(info(direction="inbound").key, "inbound"), hub.reserve(info(LARGER).key, "outbound"):
        assert (hub.taken("inbound"), hub.taken("outbound")) == (1, 1)
        hub.add(router(direction="inbound"), SMALLER)
        assert hub.taken("inbound") == 1
    assert hub.taken("inbound") == 1


async def test_the_later_of_two_connections_in_one_direction_stays() -> None:
    hub, first, second = Hub(), router(), router()
    hub.add(first, SMALLER)
    hub.add(second, SMALLER)
    assert first.reason == CONNECTED_TWICE
    assert hub.get(info().key) is second
    hub.remove(first, "late")
    assert hub.get(info().key) is second


@pytest.mark.parametrize("first", ["inbound", "outbound"])
@pytest.mark.parametrize(("our_id", "stays"), [(SMALLER, "outbound"), (LARGER, "inbound")])
async def test_of_two_crossed_connections_both_sides_keep_the_same(
    first: Direction, our_id: bytes, stays: Direction
) -> None:
    hub = Hub()
    second: Direction = "outbound" if first == "inbound" else "inbound"
    routers = {direction: router(direction=direction) for direction in (first, second)}
    hub.add(routers[first], our_id)

    if second == stays:
        hub.add(routers[second], our_id)
        assert routers[first].reason == CONNECTED_TWICE
    else:
        with pytest.raises(HandshakeError) as caught:
            hub.add(routers[second], our_id)
        assert caught.value.kind is Kind.DUPLICATE
        assert caught.value.reject is None  # the peer comes to the same decision
    assert hub.get(info(PEER).key) is routers[stays]


async def test_a_broadcast_goes_to_all_open_connections() -> None:
    hub, one, two = Hub(), router(), router(address=NetAddress.parse("10.0.0.9:1"))
    hub.add(one, SMALLER)
    hub.add(two, SMALLER)
    assert hub.broadcast(PING) == 2
    one.close("gone")
    assert hub.broadcast(PING) == 1


async def test_closing_the_hub_ends_the_event_streams() -> None:
    hub = Hub()
    events = hub.subscribe_events()
    hub.close()
    with anyio.fail_after(1):
        assert [event async for event in events] == []


SERVICE = OnionNetAddress.parse("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16611")


def by_onion(direction: Direction, connected_at: float = 0.0, *, via: str = ONION) -> Router:
    """Return a connection to an onion service, or to a peer with its id that came in by ours."""
    known = replace(info(PEER, direction), address_network=AddressNetwork.ONION, connected_at=connected_at)
    known = replace(known, via=via) if direction == "inbound" else replace(known, address=SERVICE, via="proxy:9050")
    return Router(FakeStream(), known)


@pytest.mark.parametrize("via", [ONION, PROXIED])
async def test_an_inbound_peer_with_the_id_of_an_onion_service_that_we_have_dialled_is_refused(via: str) -> None:
    hub = Hub()
    hub.add(by_onion("outbound"), SMALLER)

    with pytest.raises(HandshakeError) as caught, hub.reserve(by_onion("inbound", via=via).info.key, "inbound"):
        pass
    assert caught.value.kind is Kind.DUPLICATE
    elsewhere = replace(info(PEER, "inbound"), via=PROXIED)  # the same id, but not by onion
    with hub.reserve(elsewhere.key, "inbound"):
        pass


@pytest.mark.parametrize("our_id", [SMALLER, LARGER])
async def test_an_inbound_peer_that_shows_another_ones_id_does_not_keep_us_from_it(our_id: bytes) -> None:
    hub, impostor, real = Hub(), by_onion("inbound"), by_onion("outbound", CROSSED + 1)
    hub.add(impostor, our_id)
    with hub.reserve(real.info.key, "outbound"):
        hub.add(real, our_id)

    # Nor does it lose its connection: perhaps it is the other one that shows an id which is not its own.
    assert hub.peers() == [impostor.info, real.info]
    assert impostor.reason is None


@pytest.mark.parametrize("first", ["inbound", "outbound"])
@pytest.mark.parametrize(("our_id", "stays"), [(SMALLER, "outbound"), (LARGER, "inbound")])
async def test_of_two_dials_by_onion_that_crossed_both_sides_keep_the_same(
    first: Direction, our_id: bytes, stays: Direction
) -> None:
    hub = Hub()
    second: Direction = "outbound" if first == "inbound" else "inbound"
    routers = {first: by_onion(first), second: by_onion(second, 1.0)}
    hub.add(routers[first], our_id)

    if second == stays:
        hub.add(routers[second], our_id)
    else:
        with pytest.raises(HandshakeError):
            hub.add(routers[second], our_id)
    assert hub.peers() == [routers[stays].info]


async def test_a_service_whose_node_turns_out_to_be_connected_needs_no_dial_until_it_leaves() -> None:
    hub, inbound, key = Hub(), by_onion("inbound"), by_onion("outbound").info.key
    hub.add(inbound, SMALLER)
    for kind, by_peer in ((Kind.BUSY, True), (Kind.DUPLICATE, False), (Kind.DUPLICATE, True)):
        assert hub.connected_services() == set()
        with pytest.raises(HandshakeError), hub.reserve(key, "outbound"):
            raise HandshakeError(kind, "DUPLICATE_CONNECTION", by_peer=by_peer)
    assert hub.connected_services() == {SERVICE.host}

    hub.remove(inbound, "gone")
    assert hub.connected_services() == set()
    hub.add(by_onion("inbound"), SMALLER)
    assert hub.connected_services() == set()  # another connection, of which nothing is known


async def test_a_duplicate_at_an_ip_address_is_not_remembered() -> None:
    hub = Hub()
    hub.add(by_onion("inbound"), SMALLER)
    with pytest.raises(HandshakeError), hub.reserve(info(PEER).key, "outbound"):
        raise HandshakeError(Kind.DUPLICATE, "DUPLICATE_CONNECTION", by_peer=True)
    assert hub.connected_services() == set()
