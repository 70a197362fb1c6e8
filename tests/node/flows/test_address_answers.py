"""What many requests for addresses reveal, together."""

from __future__ import annotations

import random
from ipaddress import IPv4Address

import anyio
import pytest

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.flows.address_answers import ANSWER_LIFETIME, AddressAnswers

pytestmark = pytest.mark.asyncio_only

DAY = ANSWER_LIFETIME[0]


class Book:
    def __init__(self, count: int) -> None:
        self.manager = AddressManager(rng=random.Random(7))
        self.grow(count)

    def grow(self, count: int) -> None:
        self.manager.add(NetAddress(IPv4Address(0x0B000000 + number), 16111) for number in range(count))

    async def sample(self, count: int) -> list[NetAddress]:
        return self.manager.sample(count)


async def asked(answers: AddressAnswers, times: int, via: str | None = None) -> set[NetAddress]:
    told: set[NetAddress] = set()
    for _ in range(times):
        told.update(await answers.get(via))
        await anyio.sleep(DAY / times / 2)
    return told


async def test_a_hundred_requests_in_a_day_tell_no_more_than_one_and_less_than_a_quarter_of_the_book() -> None:
    answers = AddressAnswers(Book(3600), random.Random(1))

    first = await answers.get(None)
    assert len(first) == 828
    assert await asked(answers, 100) == set(first)


async def test_another_day_has_another_answer() -> None:
    answers = AddressAnswers(Book(3600), random.Random(1))
    first = await answers.get(None)
    for _ in range(2):  # the event loop of the tests sleeps for less than a day at a time
        await anyio.sleep(ANSWER_LIFETIME[1] / 2)

    assert set(await answers.get(None)) != set(first)


async def test_peers_through_a_proxy_get_another_answer_than_direct_ones() -> None:
    answers = AddressAnswers(Book(3600), random.Random(1))
    direct, proxied = set(await answers.get(None)), set(await answers.get("proxied"))

    # Two independent quarters of a book have about a quarter in common.
    assert len(direct & proxied) < 0.3 * len(direct)
    assert set(await answers.get(None)) == direct


async def test_the_answer_of_a_young_node_grows_with_its_book() -> None:
    book = Book(10)
    answers = AddressAnswers(book, random.Random(1))
    first = await answers.get(None)
    assert len(first) == 10
    for count, told in [(90, 90), (200, 100), (1000, 230), (4000, 920)]:
        book.grow(count)
        answer = await answers.get(None)
        assert len(answer) == told
        assert set(first) <= set(answer)
        first = answer


async def test_a_book_that_offers_too_many_is_cut_to_what_a_message_may_hold() -> None:
    class Generous:
        async def sample(self, count: int) -> list[NetAddress]:
            return [NetAddress(IPv4Address(0x0B000000 + number), 16111) for number in range(1500)]

    assert len(await AddressAnswers(Generous()).get(None)) == 1000
