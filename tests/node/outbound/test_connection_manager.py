"""The manager with a fake adaptor and a fake DNS, in virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog

from ziggurat.node.address import NamedAddress, NetAddress, PeerAddress, parse_peer_address
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.outbound.connection_manager import TICK_INTERVAL, ConnectionManager, ConnectionManagerConfig
from ziggurat.node.peer.info import Direction, PeerInfo, PeerKey
from ziggurat.services import ConnectError, ConnectRefused, ProxyAuthError, ProxyRefused

pytestmark = pytest.mark.asyncio_only


def at(number: int) -> NetAddress:
    return NetAddress.parse(f"192.0.{2 + number // 250}.{1 + number % 250}:16111")


def in_handshake(error: HandshakeError) -> HandshakeError:
    error.phase = "handshake"
    return error


def info(address: PeerAddress, direction: Direction = "outbound") -> PeerInfo:
    id = random.Random(str(address)).randbytes(16)
    return PeerInfo(id, address, direction, None, "/x:1/", 11, "kaspa-devnet", 0, anyio.current_time())


class Network:
    """A fake adaptor: ``error`` decides the outcome of each dial, and ``dials`` records it with its time."""

    def __init__(self) -> None:
        self.connected: dict[PeerKey, PeerInfo] = {}
        self.dials: list[tuple[float, PeerAddress]] = []
        self.error: Callable[[PeerAddress], ConnectError | None] = lambda address: None
        self.delay = 0.0
        self.at_once = self.most_at_once = 0

    async def connect_peer(self, address: PeerAddress) -> PeerInfo:
        self.dials.append((anyio.current_time(), address))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.delay)
        finally:
            self.at_once -= 1
        if error := self.error(address):
            raise error
        peer = info(address)
        self.connected[peer.key] = peer
        return peer

    def peers(self) -> list[PeerInfo]:
        return list(self.connected.values())

    def drop(self, address: PeerAddress) -> None:
        self.connected = {key: peer for key, peer in self.connected.items() if peer.address != address}

    def times(self, address: PeerAddress) -> list[float]:
        return [round(time) for time, dialled in self.dials if dialled == address]


class Dns:
    def __init__(self, *texts: str, error: ConnectError | None = None) -> None:
        self.texts = list(texts)
        self.error = error
        self.asked: list[str] = []

    async def __call__(self, name: str) -> list[str]:
        await anyio.lowlevel.checkpoint()
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return self.texts


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def book() -> AddressManager:
    return AddressManager(rng=random.Random(3))


@pytest.fixture
def dns() -> Dns:
    return Dns()


@pytest.fixture
def running(network: Network, book: AddressManager, dns: Dns) -> Any:
    @asynccontextmanager
    async def run(**config: Any) -> AsyncIterator[ConnectionManager]:
        manager = ConnectionManager(ConnectionManagerConfig(**config), network, book, dns, random.Random(7))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(manager.run)
            yield manager
            tasks.cancel_scope.cancel()

    return run


async def test_missing_peers_are_dialled_immediately_and_in_parallel(
    network: Network, book: AddressManager, running: Any
) -> None:
    network.delay = 1.0
    book.add([at(n) for n in range(20)])
    async with running(outbound=8) as manager:
        await anyio.sleep(1.5)

        assert manager.status().outbound == 8
        assert network.most_at_once == 8
        assert len(network.dials) == 8


async def test_batches_are_dialled_until_the_target_is_reached(
    network: Network, book: AddressManager, running: Any
) -> None:
    network.delay = 1.0
    good = {at(n) for n in range(0, 20, 2)}
    network.error = lambda address: None if address in good else ConnectRefused("no")
    book.add([at(n) for n in range(20)])
    async with running(outbound=8) as manager:
        await anyio.sleep(20)

        assert manager.status().outbound == 8
        assert network.most_at_once == 8
        dialled = [address for _, address in network.dials]
        assert len(dialled) == len(set(dialled)) > 8


async def test_failures_and_successes_are_recorded_in_the_book(
    network: Network, book: AddressManager, running: Any
) -> None:
    network.error = lambda address: ConnectRefused("no") if address == at(0) else None
    book.add([at(0), at(1)])
    async with running(outbound=2):
        await anyio.sleep(1)

    assert (book.failures(at(0)), book.failures(at(1))) == (2, 0)


@pytest.mark.parametrize(
    "error",
    [
        HandshakeError(Kind.DUPLICATE, "DUPLICATE_CONNECTION", by_peer=True),
        ProxyAuthError("wrong password"),
        ProxyRefused("general failure", reply_code=1),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_duplicate_and_a_proxys_failure_do_not_count_against_the_address(
    network: Network, book: AddressManager, running: Any, error: ConnectError
) -> None:
    network.error = lambda address: error
    book.add([at(0)])
    async with running(outbound=1, proxied=True):
        await anyio.sleep(5 * TICK_INTERVAL)

    assert book.failures(at(0)) == 1


async def test_a_dead_proxy_is_not_tried_with_each_address_in_turn(
    network: Network, book: AddressManager, running: Any
) -> None:
    network.error = lambda address: ProxyAuthError("wrong password")
    book.add([at(n) for n in range(100)])
    async with running(outbound=4, proxied=True):
        await anyio.sleep(TICK_INTERVAL - 1)
        assert len(network.dials) == 4
        await anyio.sleep(TICK_INTERVAL)
        assert len(network.dials) == 8


async def test_a_lost_peer_is_replaced_at_the_next_tick(network: Network, book: AddressManager, running: Any) -> None:
    book.add([at(n) for n in range(9)])
    async with running(outbound=8) as manager:
        await anyio.sleep(1)
        network.drop(network.peers()[0].address)
        assert manager.status().outbound == 7
        await anyio.sleep(TICK_INTERVAL)

        assert manager.status().outbound == 8


async def test_gossiped_addresses_without_a_port_are_never_dialled(
    network: Network, book: AddressManager, running: Any
) -> None:
    book.add([NetAddress(at(0).ip, 0), at(1)])
    async with running(outbound=8):
        await anyio.sleep(1)

    assert [address for _, address in network.dials] == [at(1)]


async def test_a_permanent_peer_is_redialled_after_30_60_120_240_and_then_480_seconds(
    network: Network, running: Any
) -> None:
    network.error = lambda address: ConnectRefused("no")
    async with running(outbound=0) as manager:
        start = round(anyio.current_time())
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(2000)

    assert [time - start for time in network.times(at(0))] == [0, 30, 90, 210, 450, 930, 1410, 1890]


async def test_the_retry_delay_counts_from_the_end_of_a_dial(network: Network, running: Any) -> None:
    network.error = lambda address: ConnectRefused("no")
    network.delay = 5.0
    async with running(outbound=0) as manager:
        start = round(anyio.current_time())
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(120)

    assert [time - start for time in network.times(at(0))] == [0, 35, 100]


async def test_a_lost_permanent_peer_is_dialled_at_the_next_tick(network: Network, running: Any) -> None:
    async with running(outbound=0) as manager:
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(100)
        assert len(network.dials) == 1
        network.drop(at(0))
        await anyio.sleep(TICK_INTERVAL)

        assert len(network.dials) == 2
        assert manager.status().outbound == 1


async def test_a_one_time_request_ends_with_its_first_dial(network: Network, running: Any) -> None:
    network.error = lambda address: ConnectRefused("no") if address == at(0) else None
    async with running(outbound=0) as manager:
        manager.add_request(at(0), permanent=False)
        manager.add_request(at(1), permanent=False)
        await anyio.sleep(1)
        assert manager.status().requests == 0
        network.drop(at(1))
        await anyio.sleep(1000)

    assert len(network.dials) == 2


async def test_a_request_during_a_tick_starts_the_next_one_at_once(network: Network, running: Any) -> None:
    network.delay = 2.0
    async with running(outbound=0) as manager:
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(1)
        manager.add_request(NamedAddress("peer.example", 16111), permanent=True)
        await anyio.sleep(2)

        assert len(network.dials) == 2


async def test_a_one_time_request_does_not_replace_a_permanent_one(network: Network, running: Any) -> None:
    async with running(outbound=0) as manager:
        manager.add_request(at(0), permanent=True)
        manager.add_request(at(0), permanent=False)
        await anyio.sleep(1)

        assert manager.status().requests == 1


async def test_an_inbound_peer_at_the_same_address_does_not_fulfil_a_request(network: Network, running: Any) -> None:
    peer = info(at(0), "inbound")
    network.connected[peer.key] = peer
    async with running(outbound=0) as manager:
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(1)

    assert len(network.dials) == 1


async def test_requested_peers_are_not_dialled_from_the_book_as_well(
    network: Network, book: AddressManager, running: Any
) -> None:
    network.error = lambda address: ConnectRefused("no")
    book.add([at(0)])
    async with running(outbound=8) as manager:
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(1)

    assert len(network.dials) == 1


async def test_many_dead_addresses_do_not_delay_a_request(network: Network, book: AddressManager, running: Any) -> None:
    network.error = lambda address: ConnectRefused("no") if address != at(999) else None
    network.delay = 1.0
    book.add([at(n) for n in range(500)])
    async with running(outbound=2) as manager:
        await anyio.sleep(5.5)
        manager.add_request(at(999), permanent=False)
        await anyio.sleep(3)

        assert at(999) in {peer.address for peer in network.peers()}


async def test_seeders_are_queried_when_the_book_runs_out_and_their_nodes_dialled_in_the_same_tick(
    network: Network, dns: Dns, running: Any
) -> None:
    dns.texts = ["192.0.2.7", "192.0.2.8"]
    async with running(outbound=2, seeders=("seed.example",), port=16611) as manager:
        await anyio.sleep(1)

        assert dns.asked == ["seed.example"]
        assert {str(peer.address) for peer in network.peers()} == {"192.0.2.7:16611", "192.0.2.8:16611"}
        assert manager.status().outbound == 2


async def test_seeders_are_not_queried_when_the_book_suffices(
    network: Network, book: AddressManager, dns: Dns, running: Any
) -> None:
    book.add([at(n) for n in range(8)])
    async with running(outbound=8, seeders=("seed.example",)):
        await anyio.sleep(10 * TICK_INTERVAL)

    assert dns.asked == []


async def test_a_seeder_that_the_proxy_cannot_look_up_is_dialled_by_name(
    network: Network, dns: Dns, running: Any
) -> None:
    dns.error = ProxyRefused("command not supported", reply_code=7)
    async with running(outbound=2, seeders=("a.example", "b.example", "c.example"), port=5, proxied=True):
        await anyio.sleep(1)

    assert len(network.dials) == 2
    assert all(isinstance(address, NamedAddress) and address.port == 5 for _, address in network.dials)


async def test_a_bug_in_one_dial_does_not_end_the_node(network: Network, book: AddressManager, running: Any) -> None:
    def trip(address: PeerAddress) -> ConnectError | None:
        if address == at(0):
            raise ZeroDivisionError("a bug")
        return None

    network.error = trip
    book.add([at(1)])
    async with running(outbound=2) as manager:
        manager.add_request(at(0), permanent=True)
        await anyio.sleep(100)

        assert manager.status().outbound == 1
        assert len(network.times(at(0))) == 3


async def test_a_refused_handshake_is_logged_with_its_reason(network: Network, running: Any) -> None:
    network.error = lambda address: in_handshake(
        HandshakeError(Kind.BANNED, "peer is banned", by_peer=True, hint="wait a day")
    )
    structlog.configure()
    with structlog.testing.capture_logs() as events:
        async with running(outbound=0) as manager:
            manager.add_request(at(0), permanent=False)
            await anyio.sleep(1)

    assert [(e["event"], e["peer"], e["direction"], e["hint"]) for e in events] == [
        ("peer.refused", str(at(0)), "outbound", "wait a day")
    ]
    assert "peer is banned" in events[0]["reason"]


async def test_a_failed_dial_is_left_to_the_stack_to_log(network: Network, running: Any) -> None:
    refused = ConnectRefused("connection refused")
    refused.phase = "tcp"
    network.error = lambda address: refused
    structlog.configure()
    with structlog.testing.capture_logs() as events:
        async with running(outbound=0) as manager:
            manager.add_request(at(0), permanent=False)
            await anyio.sleep(1)

    assert events == []


async def test_with_a_target_of_zero_only_requests_are_dialled(
    network: Network, book: AddressManager, dns: Dns, running: Any
) -> None:
    book.add([at(0)])
    async with running(outbound=0, seeders=("seed.example",)) as manager:
        manager.add_request(parse_peer_address("192.0.2.99:1"), permanent=True)
        await anyio.sleep(10 * TICK_INTERVAL)

    assert [str(address) for _, address in network.dials] == ["192.0.2.99:1"]
    assert dns.asked == []
