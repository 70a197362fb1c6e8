from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.address import NetAddress, OnionNetAddress
from ziggurat.node.address_manager.weights import bucket_of, pick_order, weights
from ziggurat.services.onion import OnionAddress


def at(text: str) -> NetAddress:
    return NetAddress.parse(text, 16111)


A, B, C = at("10.0.0.1"), at("10.1.0.1"), at("10.2.0.1")

books = st.dictionaries(
    st.builds(NetAddress, ip=st.integers(0, 2**32 - 1).map(IPv4Address), port=st.integers(0, 65535)),
    st.integers(0, 3),
    max_size=30,
)


def weight_of(book: dict[NetAddress, int]) -> dict[NetAddress, float]:
    return dict(zip(book, weights(list(book.items())), strict=True))


def order_of(book: dict[NetAddress, int], rng: random.Random) -> list[NetAddress]:
    return pick_order(list(book.items()), rng)


def test_each_failure_divides_the_weight_by_64() -> None:
    assert weight_of({A: 0, B: 1, C: 3}) == {A: 64.0**4, B: 64.0**3, C: 64.0}


def test_a_bucket_shares_its_weight() -> None:
    crowd = {at(f"10.9.0.{n}"): 1 for n in range(1, 5)}

    assert weight_of({A: 1, **crowd}) == {A: 64.0**3, **dict.fromkeys(crowd, 64.0**3 / 4)}


def test_two_ports_of_a_host_share_a_bucket() -> None:
    assert weight_of({at("10.0.0.1:1"): 3, at("10.0.0.1:2"): 3}) == {at("10.0.0.1:1"): 32.0, at("10.0.0.1:2"): 32.0}


@settings(deadline=None)
@given(books, st.integers())
def test_every_address_is_drawn_once(book: dict[NetAddress, int], seed: int) -> None:
    drawn = order_of(book, random.Random(seed))

    assert sorted(map(str, drawn)) == sorted(map(str, book))


@settings(deadline=None)
@given(books, st.integers())
def test_the_same_seed_gives_the_same_order(book: dict[NetAddress, int], seed: int) -> None:
    assert order_of(book, random.Random(seed)) == order_of(book, random.Random(seed))


def test_the_order_is_a_weighted_draw_without_replacement() -> None:
    # Weights of 64, 64 and 32 + 32: the frequency of each of the 24 orders is the product of its shares.
    book = {A: 3, B: 3, at("10.2.0.1"): 3, at("10.2.0.2"): 3}
    weight = weight_of(book)
    rng = random.Random(7)
    rounds = 20_000
    seen = Counter(tuple(order_of(book, rng)) for _ in range(rounds))

    assert len(seen) == 24
    for order, count in seen.items():
        expected, left = 1.0, sum(weight.values())
        for address in order:
            expected *= weight[address] / left
            left -= weight[address]
        assert count / rounds == pytest.approx(expected, abs=0.01)


def test_an_address_without_failures_nearly_always_precedes_one_with_a_failure() -> None:
    rng = random.Random(1)
    first = Counter(order_of({A: 0, B: 1}, rng)[0] for _ in range(6500))

    # About 1 in 65.
    assert 50 < first[B] < 160


def test_an_empty_book_gives_an_empty_order() -> None:
    assert order_of({}, random.Random(0)) == []


# --- buckets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "neighbours"),
    [
        ("10.1.2.3", "10.1.255.0", True),
        ("10.1.2.3", "10.2.2.3", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("10.1.2.3", "::ffff:10.1.9.9", True),
        ("10.1.2.3", "::10.1.9.9", True),
        ("::10.1.2.3", "::10.2.2.3", False),
    ],
)
def test_neighbours_share_a_bucket(one: str, other: str, neighbours: bool) -> None:
    addresses = (NetAddress(ip_address(text), 1) for text in (one, other))

    assert (len(set(map(bucket_of, addresses))) == 1) is neighbours


@given(st.integers(0, 2**32 - 1), st.integers(2**32 + 2**48, 2**128 - 1))
def test_ipv4_and_ipv6_addresses_never_share_a_bucket(v4: int, v6: int) -> None:
    assert bucket_of(NetAddress(IPv4Address(v4), 1)) != bucket_of(NetAddress(IPv6Address(v6), 1))


def test_onion_services_have_sixteen_buckets_of_their_own() -> None:
    """They cost nothing to make: with a bucket each, an attacker's would be all that a node dials."""
    onions = [OnionNetAddress(OnionAddress(bytes([n]) * 32), 1) for n in range(256)]
    buckets = set(map(bucket_of, onions))

    assert len(buckets) == 16
    assert not any(bucket_of(NetAddress(IPv4Address(n << 16), 1)) in buckets for n in range(1, 4096))
