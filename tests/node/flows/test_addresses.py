from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from tests.node.lines import running_router, settle
from ziggurat.node.address import NetAddress
from ziggurat.node.flows.address_answers import AddressAnswers
from ziggurat.node.flows.addresses import AddressesReceiver, AddressesSender, NoAddressBook
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

ASK = KaspadMessage(requestAddresses=p2p.RequestAddressesMessage(), request_id=5)


class Book:
    def __init__(self, count: int = 2) -> None:
        self.known = [NetAddress(IPv4Address(0x0A000000 + number), 16611) for number in range(count)]
        self.learned: list[NetAddress] = []

    async def sample(self, count: int) -> Sequence[NetAddress]:
        return self.known  # ignores ``count``

    async def learn(self, addresses: Sequence[NetAddress]) -> None:
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

        async def on_received(addresses: tuple[NetAddress, ...]) -> None:
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

        async def on_received(addresses: tuple[NetAddress, ...]) -> None:
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
