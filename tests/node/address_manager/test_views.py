from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from ziggurat.node.address import AddressNetwork, NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.address_manager.manager import AddressManager
from ziggurat.node.address_manager.views import DialAddressBook, FlowAddressBook

pytestmark = pytest.mark.asyncio_only

ONE, TWO, OURS = (NetAddress.parse(f"10.0.0.{n}:16611") for n in (1, 2, 9))
ONION = OnionNetAddress.parse("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16111")


def usable(addresses: Iterable[NodeAddress]) -> list[NodeAddress]:
    return [address for address in addresses if address != OURS]


async def test_peers_of_a_network_are_told_what_its_peers_told_and_may_be_used() -> None:
    book = AddressManager(rng=random.Random(1))
    onion, ipv4 = (FlowAddressBook(book, network, usable) for network in (AddressNetwork.ONION, AddressNetwork.IPV4))
    await onion.learn([ONE, ONION, OURS])
    await ipv4.learn([TWO])
    assert OURS not in book

    book.add([OURS], AddressNetwork.ONION)  # from before it was known as ours
    assert set(await onion.sample(10)) == {ONE, ONION}
    assert list(await ipv4.sample(10)) == [TWO]


async def test_new_addresses_are_announced_and_known_ones_are_not() -> None:
    new = list[str]()
    book = AddressManager(rng=random.Random(1))
    part = FlowAddressBook(book, AddressNetwork.IPV4, usable, lambda: new.append("new"))
    for _ in range(2):
        await part.learn([ONE, OURS])
    assert new == ["new"]
    await part.learn([TWO])
    assert new == ["new"] * 2


def test_what_may_not_be_used_is_neither_stored_nor_dialled() -> None:
    book = AddressManager(rng=random.Random(1))
    dials = DialAddressBook(book, usable)

    assert dials.add([ONE, TWO, OURS]) == 2
    book.add([OURS])
    assert set(dials.pick_order()) == {ONE, TWO}
    assert dials.pick_order([ONE]) == [TWO]
    assert book.sample(told_by=AddressNetwork.IPV6) == []  # seeders count as ipv4
