from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ziggurat.node.address import AddressNetwork, NetAddress, OnionNetAddress
from ziggurat.node.address_manager import MAX_ADDRESSES, AddressManager, database, is_worth_dialling
from ziggurat.node.address_manager.record import Record
from ziggurat.services.onion import OnionAddress

IPV4, IPV6, ONION = AddressNetwork


def at(text: str) -> NetAddress:
    return NetAddress.parse(text, 16111)


def many(count: int, start: int = 0) -> list[NetAddress]:
    return [NetAddress(IPv4Address((10 << 24) + n), 16111) for n in range(start, start + count)]


class Log:
    """A logger that records events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, /, **fields: object) -> None:
        self.events.append(("debug", event, fields))

    def info(self, event: str, /, **fields: object) -> None:
        self.events.append(("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        self.events.append(("warning", event, fields))


@pytest.fixture
def book() -> AddressManager:
    return AddressManager(rng=random.Random(5))


def test_a_new_address_starts_with_one_failure(book: AddressManager) -> None:
    assert book.add([at("203.0.113.1")]) == 1
    assert book.failures(at("203.0.113.1")) == 1
    assert book.failures(at("203.0.113.2")) is None


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"])
def test_loopback_and_unspecified_addresses_are_skipped(book: AddressManager, ip: str) -> None:
    assert book.add([NetAddress(ip_address(ip), 16111)]) == 0
    assert len(book) == 0


@pytest.mark.parametrize("ip", ["224.0.0.1", "255.255.255.255", "ff02::1", "fe80::1"])
def test_addresses_that_no_connection_can_be_opened_to_are_skipped(book: AddressManager, ip: str) -> None:
    """A dial of most of them fails as if the network was away, and one peer's gossip would stop all dials."""
    assert book.add([NetAddress(ip_address(ip), 16111)]) == 0


@pytest.mark.parametrize("ip", ["10.0.0.1", "192.168.0.1", "fd00::1", "192.0.2.1", "169.254.0.1"])
def test_private_and_all_other_addresses_are_added(book: AddressManager, ip: str) -> None:
    assert book.add([NetAddress(ip_address(ip), 0)]) == 1


def test_a_v4_mapped_address_is_the_same_as_the_ipv4_address(book: AddressManager) -> None:
    book.add([at("10.0.0.1")])

    assert book.add([NetAddress(IPv6Address("::ffff:10.0.0.1"), 16111)]) == 0
    assert len(book) == 1


def test_adding_a_known_address_changes_nothing(book: AddressManager) -> None:
    book.add([at("10.0.0.1")])
    book.mark_failure(at("10.0.0.1"))

    assert book.add([at("10.0.0.1")]) == 0
    assert book.failures(at("10.0.0.1")) == 2


def test_failures_add_up_until_the_address_is_removed(book: AddressManager) -> None:
    book.add([at("10.0.0.1")])
    seen: list[int | None] = []
    for _ in range(4):
        book.mark_failure(at("10.0.0.1"))
        seen.append(book.failures(at("10.0.0.1")))

    assert seen == [2, 3, None, None]


def test_a_success_resets_the_failures(book: AddressManager) -> None:
    book.add([at("10.0.0.1")])
    book.mark_failure(at("10.0.0.1"))
    book.mark_success(at("10.0.0.1"))

    assert book.failures(at("10.0.0.1")) == 0


def test_outcomes_of_unknown_addresses_are_ignored(book: AddressManager) -> None:
    book.mark_success(at("10.0.0.1"))
    book.mark_failure(at("10.0.0.1"))

    assert at("10.0.0.1") not in book


def test_a_full_book_evicts_the_addresses_with_the_most_failures(book: AddressManager) -> None:
    book.add(many(MAX_ADDRESSES))
    proven, bad, worse = many(3)
    book.mark_success(proven)
    book.mark_failure(bad)
    book.mark_failure(worse)
    book.mark_failure(worse)

    fresh = many(3, start=MAX_ADDRESSES)
    book.add(fresh[:1])
    assert (worse in book, bad in book) == (False, True)
    book.add(fresh[1:2])
    assert bad not in book
    book.add(fresh[2:])
    assert len(book) == MAX_ADDRESSES
    assert proven in book
    assert all(address in book for address in fresh)


def test_a_flood_of_addresses_does_not_evict_reached_ones(book: AddressManager) -> None:
    proven = many(100)
    book.add(proven)
    for address in proven:
        book.mark_success(address)
    book.add(many(20_000, start=1000))

    assert len(book) == MAX_ADDRESSES
    assert all(address in book for address in proven)


def onions(count: int, start: int = 0) -> list[OnionNetAddress]:
    return [OnionNetAddress(OnionAddress(n.to_bytes(32)), 16111) for n in range(start, start + count)]


def test_a_flood_in_one_network_displaces_nothing_of_another(book: AddressManager) -> None:
    """On a host without IPv6, failed dials of IPv6 addresses do not count against them; onion services cost nothing."""
    ipv4 = many(MAX_ADDRESSES)
    book.add(ipv4)
    for address in ipv4:
        book.mark_failure(address)
    book.add([NetAddress(IPv6Address((0x2600 << 112) + (n << 64)), 16111) for n in range(2 * MAX_ADDRESSES)])
    book.add(onions(2 * MAX_ADDRESSES))

    assert all(address in book for address in ipv4)
    assert len(book) == 3 * MAX_ADDRESSES


def test_onion_services_are_kept_dialled_and_forgotten_like_others(book: AddressManager) -> None:
    (onion,) = onions(1)
    assert book.add([onion, onion]) == 1
    assert book.pick_order() == [onion]
    assert book.pick_order([onion]) == []
    book.mark_success(onion)
    assert book.failures(onion) == 0
    assert book.remove_ip(IPv4Address("10.0.0.1")) == 0
    for _ in range(4):
        book.mark_failure(onion)
    assert onion not in book


def test_peers_of_a_network_are_told_what_peers_of_that_network_told(book: AddressManager) -> None:
    four, six, (onion, other) = at("10.0.0.1:1"), at("[2600::1]:1"), onions(2)
    book.add([four, onion], IPV4)
    book.add([six, other], ONION)
    assert set(book.sample(told_by=IPV4)) == {four, onion}
    assert set(book.sample(told_by=ONION)) == {six, other}
    assert book.sample(told_by=IPV6) == []
    assert set(book.sample()) == {four, six, onion, other}

    assert book.add([four], ONION) == 0  # known, and now to both
    assert set(book.sample(told_by=ONION)) == {four, six, other}
    book.mark_failure(four)
    assert four in book.sample(told_by=IPV4)


def test_an_address_of_which_nobody_told_counts_as_told_in_its_own_network(book: AddressManager) -> None:
    book.add([at("10.0.0.1:1"), *onions(1)])

    assert book.sample(told_by=ONION) == onions(1)


def test_what_is_shared_is_a_part_of_what_that_network_told(book: AddressManager) -> None:
    book.add(many(1000), IPV4)
    book.add(onions(110), ONION)

    assert len(book.sample(told_by=IPV4)) == 230
    assert len(book.sample(told_by=ONION)) == 100


def test_all_addresses_of_an_ip_can_be_removed(book: AddressManager) -> None:
    book.add([at("10.0.0.1:1"), at("10.0.0.1:2"), at("10.0.0.2:1")])

    assert book.remove_ip(IPv6Address("::ffff:10.0.0.1")) == 2
    assert book.remove_ip(IPv4Address("10.0.0.1")) == 0
    assert book.pick_order() == [at("10.0.0.2:1")]


def test_excluded_addresses_are_not_picked(book: AddressManager) -> None:
    book.add(many(20))
    connected = set(many(5))

    assert set(book.pick_order(exclude=connected)) == set(many(20)) - connected


def test_reached_addresses_are_picked_first(book: AddressManager) -> None:
    # Each in its own bucket.
    addresses = [at(f"10.{n}.0.1") for n in range(40)]
    book.add(addresses)
    for address in addresses[:3]:
        book.mark_success(address)
    for address in addresses[3:]:
        book.mark_failure(address)

    assert set(book.pick_order()[:3]) == set(addresses[:3])


def test_a_sample_is_a_quarter_of_the_book_at_most(book: AddressManager) -> None:
    book.add(many(1500))
    sample = book.sample()

    assert len(sample) == len(set(sample)) == 345
    assert len(book.sample(10)) == 10


def test_a_sample_of_a_small_book_is_all_of_it(book: AddressManager) -> None:
    book.add(many(5))

    assert sorted(map(str, book.sample())) == sorted(map(str, many(5)))


def test_a_sample_does_not_depend_on_failures(book: AddressManager) -> None:
    book.add(many(10))
    proven, bad = many(2)
    book.mark_success(proven)
    book.mark_failure(bad)
    seen = Counter(address for _ in range(4000) for address in book.sample(3))

    assert all(1050 < count < 1350 for count in seen.values()), seen


def test_the_repr_shows_the_number_of_addresses(book: AddressManager) -> None:
    book.add(many(3))

    assert repr(book) == "<AddressManager with 3 ipv4, 0 ipv6, 0 onion, of 4096 each>"


class Book(RuleBasedStateMachine):
    """The book against a model: a plain dict."""

    def __init__(self) -> None:
        super().__init__()
        self.book = AddressManager(rng=random.Random(0))
        self.model: dict[NetAddress, int] = {}

    some = st.sampled_from(many(6))

    @rule(address=some)
    def add(self, address: NetAddress) -> None:
        assert self.book.add([address]) == int(address not in self.model)
        self.model.setdefault(address, 1)

    @rule(address=some)
    def fail(self, address: NetAddress) -> None:
        self.book.mark_failure(address)
        if address in self.model:
            self.model[address] += 1
            if self.model[address] > 3:
                del self.model[address]

    @rule(address=some)
    def succeed(self, address: NetAddress) -> None:
        self.book.mark_success(address)
        if address in self.model:
            self.model[address] = 0

    @rule(address=some)
    def forget(self, address: NetAddress) -> None:
        assert self.book.remove_ip(address.ip) == int(self.model.pop(address, None) is not None)

    @invariant()
    def they_agree(self) -> None:
        assert {address: self.book.failures(address) for address in self.book.sample()} == self.model
        assert set(self.book.pick_order()) == set(self.model)


TestBook = Book.TestCase
TestBook.settings = settings(deadline=None, max_examples=50)


async def test_without_a_file_nothing_is_stored_or_logged() -> None:
    log = Log()
    async with AddressManager(logger=log) as book:
        book.add(many(3))
        await book.flush()

    assert log.events == []


@pytest.mark.real_io
@pytest.mark.asyncio_only
class TestWithAFile:
    async def test_a_reopened_book_has_the_same_addresses_and_failures(self, tmp_path: Path) -> None:
        async with await AddressManager.open(tmp_path / "addresses.db") as book:
            book.add([*many(4), NetAddress(IPv6Address("2001:db8::1"), 7)])
            book.mark_success(many(1)[0])
            book.mark_failure(many(2)[1])
            book.remove_ip(many(3)[2].ip)
        log = Log()
        async with await AddressManager.open(tmp_path / "addresses.db", logger=log) as book:
            assert [book.failures(address) for address in many(4)] == [0, 2, None, 1]
            assert NetAddress(IPv6Address("2001:db8::1"), 7) in book
        assert log.events == [("info", "addresses.loaded", {"count": 4})]

    async def test_the_number_of_stored_addresses_is_logged(self, tmp_path: Path) -> None:
        log = Log()
        async with await AddressManager.open(tmp_path / "addresses.db", logger=log) as book:
            book.add(many(3))
            book.add(many(5))
            await book.flush()
            book.mark_failure(many(1)[0])
            await book.flush()
            book.add(many(6))
            await book.flush()

        # One event for addresses added together, and none for a failure count.
        assert log.events == [
            ("info", "addresses.stored", {"count": 5, "total": 5}),
            ("info", "addresses.stored", {"count": 1, "total": 6}),
        ]

    async def test_a_damaged_file_is_logged_and_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "addresses.db"
        path.write_bytes(b"?" * 5000)
        log = Log()
        async with await AddressManager.open(path, logger=log) as book:
            book.add(many(1))
        (first, second) = log.events

        assert first == (
            "warning",
            "addresses.set_aside",
            {"path": str(path), "moved_to": f"{path}.damaged-1", "error": "file is not a database"},
        )
        assert second == ("info", "addresses.stored", {"count": 1, "total": 1})

    async def test_a_failed_write_is_logged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.0)
        path = tmp_path / "addresses.db"
        log = Log()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            async with await AddressManager.open(path, logger=log) as book:
                other.execute("BEGIN IMMEDIATE")
                book.add(many(1))

        assert log.events == [("warning", "addresses.not_stored", {"error": f"{path}: database is locked"})]

    async def test_after_closing_nothing_is_stored_and_calls_still_work(self, tmp_path: Path) -> None:
        log = Log()
        book = await AddressManager.open(tmp_path / "addresses.db", logger=log)
        await book.aclose()
        book.add(many(1))
        await book.flush()
        await book.aclose()

        assert log.events == []

    async def test_a_file_with_too_many_addresses_is_cut_to_the_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "addresses.db"
        with closing(database.connect(path)) as connection:
            database.write(connection, {}, dict.fromkeys(many(MAX_ADDRESSES + 10), Record(1)))
        async with await AddressManager.open(path) as book:
            assert len(book) == MAX_ADDRESSES
            book.add(many(1, start=2 * MAX_ADDRESSES))
        with closing(database.connect(path)) as connection:
            assert len(database.read(connection)) == MAX_ADDRESSES


@pytest.mark.asyncio_only
@pytest.mark.real_io
async def test_what_it_does_not_accept_is_neither_learned_nor_taken_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "addresses.db"
    good, private = NetAddress.parse("8.8.8.8:16111"), NetAddress.parse("10.0.0.1:16111")
    async with await AddressManager.open(path) as book:
        book.add([good, private])
    async with await AddressManager.open(path, accepts=is_worth_dialling) as book:
        assert (good in book, private in book) == (True, False)
        assert book.add([private, NetAddress.parse("9.9.9.9:22")]) == 0
