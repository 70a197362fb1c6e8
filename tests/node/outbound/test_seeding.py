from __future__ import annotations

import random

import anyio

from ziggurat.node.outbound.seeding import Seeders, SeedResult
from ziggurat.services import ConnectRefused, ProxyAuthError, ProxyRefused, ResolveError

SEEDERS = ("one.example", "two.example", "three.example", "four.example")


class Dns:
    """Answers with three addresses a name, after a second."""

    def __init__(self, *broken: str, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.broken = broken
        self.error = error or ResolveError("no such name")

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        await anyio.sleep(1)
        if name in self.broken:
            raise self.error
        return [f"192.0.2.{SEEDERS.index(name) * 10 + n}" for n in range(2)] + ["2001:db8::1"]


async def ask(dns: Dns, *, missing: int, target: int = 8) -> SeedResult:
    found = await Seeders(SEEDERS, 16111, dns, random.Random(1)).ask(missing=missing, target=target)
    assert found is not None
    return found


async def test_all_are_asked_at_once_when_more_than_half_is_missing() -> None:
    dns = Dns()
    started = anyio.current_time()
    found = await ask(dns, missing=5)

    assert sorted(dns.asked) == sorted(SEEDERS)
    assert anyio.current_time() - started == 1
    assert len(found.addresses) == 12
    assert {address.port for address in found.addresses} == {16111}


async def test_else_one_after_the_other_until_there_are_two_for_each_that_is_missing() -> None:
    dns = Dns()
    found = await ask(dns, missing=2)

    assert len(dns.asked) == 2
    assert len(found.addresses) == 6


async def test_their_order_is_random() -> None:
    orders = set()
    for seed in range(20):
        dns = Dns()
        await Seeders(SEEDERS, 1, dns, random.Random(seed)).ask(missing=1, target=8)
        orders.add(tuple(dns.asked))

    assert len(orders) == 4


async def test_a_seeder_that_fails_is_passed_over() -> None:
    dns = Dns(*SEEDERS[:3])
    found = await ask(dns, missing=1)

    assert {address.port for address in found.addresses} == {16111}
    assert found.names == []


async def test_a_seeder_that_the_proxy_does_not_look_up_can_be_dialled_by_name() -> None:
    found = await ask(Dns(*SEEDERS, error=ProxyRefused("no such command", reply_code=7)), missing=8)

    assert {str(address) for address in found.names} == {f"{name}:16111" for name in SEEDERS}
    assert found.addresses == []


async def test_with_a_proxy_that_is_not_there_no_seeder_is_dialled_by_name() -> None:
    found = await ask(Dns(*SEEDERS, error=ConnectRefused("nobody listens")), missing=8)
    assert (found.addresses, found.names) == ([], [])


async def test_a_proxy_that_does_not_let_us_in_is_asked_for_no_name() -> None:
    found = await ask(Dns(*SEEDERS, error=ProxyAuthError("wrong password")), missing=8)
    assert (found.addresses, found.names) == ([], [])
