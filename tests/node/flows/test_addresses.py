from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.node.lines import FakeStream, running_router, settle
from ziggurat.node.address import NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.flows.address_answers import AddressAnswers
from ziggurat.node.flows.addresses import AddressesReceiver, AddressesSender, NoAddressBook
from ziggurat.node.flows.onions import OnionGossip
from ziggurat.node.peer.router import Router
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

ASK = KaspadMessage(requestAddresses=p2p.RequestAddressesMessage(), request_id=5)


OURS = OnionNetAddress.parse("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16111")
OTHER = OnionNetAddress.parse("pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:16111")


class Book:
    def __init__(self, count: int = 2) -> None:
        self.known: list[NodeAddress] = [NetAddress(IPv4Address(0x0A000000 + number), 16611) for number in range(count)]
        self.learned: list[NodeAddress] = []

    async def sample(self, count: int) -> Sequence[NodeAddress]:
        return self.known  # ignores ``count``

    async def learn(self, addresses: Sequence[NodeAddress]) -> None:
        self.learned += addresses


def answer(count: int, ip: bytes = bytes(4)) -> KaspadMessage:
    entries = [p2p.NetAddress(ip=ip, port=number % 65536) for number in range(count)]
    return KaspadMessage(addresses=p2p.AddressesMessage(addressList=entries))


async def test_every_request_is_answered_with_at_most_1000_addresses() -> None:
    async with running_router() as (router, line):
        router.start_flow(AddressesSender(router, AddressAnswers(Book(1500))))
        line.feed(ASK, ASK)
        await settle()
        assert [(len(m.addresses.addressList), m.response_id) for m in line.sent] == [(1000, 5)] * 2


async def test_an_empty_book_is_answered_with_an_empty_list() -> None:
    async with running_router() as (router, line):
        router.start_flow(AddressesSender(router, AddressAnswers(NoAddressBook())))
        line.feed(ASK)
        await settle()
        assert line.names() == ["addresses"]
        assert len(line.sent[0].addresses.addressList) == 0


async def test_we_request_once_and_store_the_reply() -> None:
    async with running_router() as (router, line):
        book, received = Book(), []

        async def on_received(addresses: tuple[NodeAddress, ...]) -> None:
            received.extend(addresses)

        router.start_flow(AddressesReceiver(router, book, on_received))
        await settle()
        assert line.names() == ["requestAddresses"]
        line.feed(answer(2500))
        await settle()
        assert len(book.learned) == 2500
        assert received == book.learned
        assert router.reason is None
        line.feed(answer(1))
        await router.closed.wait()
        assert router.reason == "unexpected message: addresses"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (answer(2501), "address count 2501 exceeded 2500"),
        (answer(3, b"123"), "IP has illegal length 3"),
        (
            KaspadMessage(addresses=p2p.AddressesMessage(addressList=[p2p.NetAddress(ip=bytes(4), port=65536)])),
            "Integer parsing error: out of range integral type conversion attempted",
        ),
    ],
)
async def test_a_malformed_reply_is_rejected_and_not_stored(message: KaspadMessage, reason: str) -> None:
    async with running_router() as (router, line):
        book = Book()

        async def on_received(addresses: tuple[NodeAddress, ...]) -> None:
            raise AssertionError

        router.start_flow(AddressesReceiver(router, book, on_received))
        line.feed(message)
        await router.closed.wait()
        assert book.learned == []
        assert line.sent[-1].reject.reason == reason


async def test_the_empty_address_book_stays_empty() -> None:
    book = NoAddressBook()
    await book.learn(Book().known)
    assert await book.sample(10) == ()


def agree_on_onions(router: Router) -> None:
    """Let the peer be an onion service that we have dialled, and both sides have set the bit."""
    router.info = replace(router.info, address=OTHER, onions=True)


async def told(router: Router, line: FakeStream, book: Book, onions: OnionGossip | None = None) -> list[str]:
    """Return the hosts in the answer to a request, in alphabetical order: that of our own is random."""
    router.start_flow(AddressesSender(router, AddressAnswers(book), onions))
    line.feed(ASK)
    await settle()
    (answer,) = line.sent
    return sorted(entry.onion or str(IPv4Address(entry.ip)) for entry in answer.addresses.addressList)


async def test_a_peer_that_did_not_set_the_bit_is_told_of_no_onion_service() -> None:
    async with running_router() as (router, line):
        book = Book(1)
        book.known.append(OTHER)

        assert await told(router, line, book) == ["10.0.0.0"]


async def test_a_peer_that_set_the_bit_is_told_of_onion_services() -> None:
    async with running_router() as (router, line):
        book = Book(1)
        book.known.append(OTHER)
        agree_on_onions(router)

        assert await told(router, line, book) == ["10.0.0.0", OTHER.host]


async def published() -> OnionNetAddress:
    return OURS


async def test_our_own_onion_service_is_told_once_beside_others() -> None:
    async with running_router() as (router, line):
        book = Book(1)
        book.known.append(OURS)
        agree_on_onions(router)

        assert await told(router, line, book, OnionGossip(lambda: True, lambda: OURS, published)) == [
            *("10.0.0.0", OURS.host)
        ]


async def test_our_own_is_not_told_to_others_even_if_peers_have_told_it() -> None:
    async with running_router() as (router, line):
        book = Book(1)
        book.known += [OURS, replace(OURS, port=1), OTHER]
        router.info = replace(router.info, onions=True)  # at an IP address

        assert await told(router, line, book, OnionGossip(lambda: True, lambda: OURS, published)) == [
            *("10.0.0.0", OTHER.host)
        ]


async def test_with_our_own_an_answer_has_1000_addresses_at_most() -> None:
    async with running_router() as (router, line):
        agree_on_onions(router)
        hosts = await told(router, line, Book(1500), OnionGossip(lambda: True, lambda: OURS, published))

        assert len(hosts) == 1000
        assert OURS.host in hosts


@pytest.mark.parametrize("agreed", [True, False])
async def test_onion_services_are_stored_if_they_were_agreed_on_and_else_dropped(agreed: bool) -> None:
    async with running_router() as (router, line):
        book = Book()
        if agreed:
            agree_on_onions(router)

        async def on_received(addresses: tuple[NodeAddress, ...]) -> None:
            assert addresses == tuple(book.learned)

        router.start_flow(AddressesReceiver(router, book, on_received))
        message = answer(1)
        message.addresses.addressList.add(onion=OTHER.host, port=OTHER.port)
        message.addresses.addressList.add(onion="no.onion", port=OTHER.port)
        line.feed(message)
        await settle()
        assert book.learned == [NetAddress(IPv4Address(0), 0), *([OTHER] if agreed else [])]
        assert router.reason is None
