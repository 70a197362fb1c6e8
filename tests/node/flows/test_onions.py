from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from tests.node.lines import info
from ziggurat.node.address import AddressNetwork, NamedAddress, OnionNetAddress
from ziggurat.node.flows.onions import PUBLICATION_TIMEOUT, OnionGossip
from ziggurat.node.peer import PROXIED, PeerInfo
from ziggurat.node.peer.info import ONION
from ziggurat.node.wire import ONION_SERVICES

pytestmark = pytest.mark.asyncio_only

OURS = OnionNetAddress.parse("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16111")
THEIRS = OnionNetAddress.parse("pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:16111")

DIALLED = replace(info(), address=THEIRS, via="127.0.0.1:9050", address_network=AddressNetwork.ONION, onions=True)
CAME_IN = replace(info(direction="inbound"), via=ONION, address_network=AddressNetwork.ONION, onions=True)


async def published() -> OnionNetAddress:
    return OURS


async def never() -> OnionNetAddress:
    await anyio.sleep_forever()
    raise AssertionError


def gossip(*, public: bool = False) -> OnionGossip:
    return OnionGossip(lambda: True, lambda: OURS, published, public)


@pytest.mark.parametrize(
    ("peer", "private", "public"),
    [
        (DIALLED, True, True),
        (CAME_IN, True, True),
        (replace(DIALLED, onions=False), False, False),  # not both sides have set the bit
        (replace(CAME_IN, onions=False), False, False),
        (replace(info(), onions=True), False, True),
        (replace(info(direction="inbound"), onions=True), False, True),
        (replace(info(), via="127.0.0.1:9050", onions=True), False, True),  # by an exit
        (replace(info(), address=NamedAddress("a.example", 1), onions=True), False, True),
        # It may have come through any proxy, even if we have taken it for Tor's.
        (replace(CAME_IN, via=PROXIED), False, True),
    ],
)
async def test_who_is_told_of_our_onion_service(peer: PeerInfo, private: bool, public: bool) -> None:
    told = [await gossip(public=choice).own_for(peer) for choice in (False, True)]

    assert told == [OURS if yes else None for yes in (private, public)]


async def test_an_answer_waits_a_minute_for_our_onion_service_to_be_published() -> None:
    began = anyio.current_time()

    assert await replace(gossip(), published=never).own_for(DIALLED) is None
    assert anyio.current_time() - began == pytest.approx(PUBLICATION_TIMEOUT)


async def test_nobody_waits_who_is_not_to_be_told() -> None:
    began = anyio.current_time()

    assert await replace(gossip(), published=never).own_for(info()) is None
    assert await OnionGossip().own_for(DIALLED) is None
    assert anyio.current_time() == began


def test_the_bit_is_set_while_onion_services_can_be_dialled() -> None:
    ways = [False]
    onions = OnionGossip(lambda: ways[0])
    assert onions.services == OnionGossip().services == 0
    ways[0] = True
    assert onions.services == ONION_SERVICES
