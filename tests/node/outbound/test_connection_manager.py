"""The manager with a fake adaptor and a fake DNS, in virtual time."""

from __future__ import annotations

import errno
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog

from ziggurat.node.address import NamedAddress, NetAddress, OnionNetAddress, PeerAddress, parse_peer_address
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.outbound.connection_manager import TICK_INTERVAL, ConnectionManager, ConnectionManagerConfig
from ziggurat.node.peer.info import Direction, PeerInfo, PeerKey
from ziggurat.services import (
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    OnionAddress,
    ProxyAuthError,
    ProxyRefused,
    ResolveError,
)

PROXY = "127.0.0.1:9050"

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
        self.delays: dict[PeerAddress, float] = {}
        self.at_once = self.most_at_once = 0

    async def connect_peer(self, address: PeerAddress) -> PeerInfo:
        self.dials.append((anyio.current_time(), address))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.delays.get(address, self.delay))
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
        self.delay = 0.0

    async def __call__(self, name: str) -> list[str]:
        await anyio.lowlevel.checkpoint()
        self.asked.append(name)
        await anyio.sleep(self.delay)
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
    async with running(outbound=1, via=lambda _: PROXY):
        await anyio.sleep(5 * TICK_INTERVAL)

    assert book.failures(at(0)) == 1


async def test_a_dead_proxy_is_tried_once_per_interval_and_not_with_each_address(
    network: Network, book: AddressManager, running: Any
) -> None:
    network.error = lambda address: ProxyAuthError("wrong password")
    book.add([at(n) for n in range(100)])
    async with running(outbound=4, via=lambda _: PROXY):
        await anyio.sleep(4)
        assert len(network.dials) == 4
        await anyio.sleep(600)
    assert 4 + 15 <= len(network.dials) <= 4 + 25  # one each 30 s in the end


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
    async with running(outbound=2, seeders=("a.example", "b.example", "c.example"), port=5, via=lambda _: PROXY):
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


# --- whatever one waits for, the others go on ------------------------------------------------------------------------


async def test_a_silent_requested_peer_delays_nothing_of_our_own(
    network: Network, book: AddressManager, running: Any
) -> None:
    """lndg#458, lnd#5628: a dead onion service among the requested peers held up the first dial by 300 s."""
    onion = OnionNetAddress(OnionAddress(bytes(32)), 16111)
    network.delays[onion] = 300.0
    book.add([at(n) for n in range(8)])
    async with running(outbound=8, via=lambda _: PROXY) as manager:
        manager.add_request(onion, permanent=True)
        await anyio.sleep(1)
        assert manager.status().outbound == 8


async def test_every_requested_peer_is_retried_when_it_is_due_whatever_others_wait_for(
    network: Network, running: Any
) -> None:
    """dcrd#133."""
    network.error = lambda address: ConnectRefused("no")
    network.delays[at(0)] = 300.0
    async with running(outbound=0) as manager:
        manager.add_request(at(0), permanent=True)
        manager.add_request(at(1), permanent=True)
        await anyio.sleep(300)
    assert network.times(at(1)) == [0, 30, 90, 210]


async def test_silent_seeders_do_not_delay_a_lost_requested_peer(
    network: Network, book: AddressManager, dns: Dns, running: Any
) -> None:
    """Nine seeders that take ten seconds each held up a redial by 117 s."""
    dns.delay = 10.0
    dns.error = ResolveError("silent", transient=True)
    book.add([at(n) for n in range(5)])
    seeders = tuple(f"s{n}.example" for n in range(9))
    mine = parse_peer_address("192.0.2.99:2")
    async with running(outbound=8, seeders=seeders) as manager:
        manager.add_request(mine, permanent=True)
        await anyio.sleep(3)
        network.drop(mine)
        await anyio.sleep(TICK_INTERVAL + 1)
        assert manager.status().outbound == 6
    assert len(network.times(mine)) == 2


# --- what fails for all is told once, and counts against none ---------------------------------------------------------


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    structlog.configure()
    told: list[tuple[str, str]] = []
    with structlog.testing.capture_logs() as events:
        yield told
    told += [(str(event["event"]), str(event["log_level"])) for event in events if event["log_level"] != "debug"]


def no_route() -> ConnectError:
    error = ConnectError("network is unreachable")
    error.phase = "tcp"
    error.__cause__ = OSError(errno.ENETUNREACH, "network is unreachable")
    return error


async def test_without_a_network_there_is_one_line_and_the_book_stays(
    network: Network, book: AddressManager, dns: Dns, running: Any
) -> None:
    """BitcoinUnlimited#1383, bitcoin#8491, #28061: 24,579 lines in 95 s, and an empty book."""
    book.add([at(n) for n in range(200)])
    network.error = lambda address: no_route()
    with logged() as told:
        async with running(outbound=8, seeders=("a.example",)) as manager:
            await anyio.sleep(600)
            assert len(network.dials) < 40
            assert dns.asked == []
            network.error = lambda address: None
            await anyio.sleep(30)
            assert manager.status().outbound == 8  # at once, when one got through
    assert told == [("network.unreachable", "warning"), ("network.reachable", "info")]
    assert all(book.failures(at(n)) in (0, 1) for n in range(200))


async def test_a_network_that_this_machine_lacks_is_left_alone_and_the_other_is_used(
    network: Network, book: AddressManager, running: Any
) -> None:
    sixes = [NetAddress.parse(f"[2001:db8::{n:x}]:16111") for n in range(1, 200)]
    network.error = lambda address: no_route() if address in sixes else None
    book.add([*sixes, *(at(n) for n in range(8))])
    with logged() as told:
        async with running(outbound=8) as manager:
            await anyio.sleep(40)
            assert manager.status().outbound == 8
    assert told == [("network.unreachable", "warning")]
    assert sum(address in sixes for _, address in network.dials) < 20
    assert all(book.failures(address) == 1 for address in sixes)


async def test_an_outage_in_which_every_dial_times_out_does_not_empty_the_book(
    network: Network, book: AddressManager, running: Any
) -> None:
    """smoldot#1475, gocoin#13: the route is there, and nothing answers."""
    book.add([at(n) for n in range(20)])
    network.error = lambda address: ConnectTimeout(1.0, "reach peer")
    async with running(outbound=8):
        await anyio.sleep(3600)
        assert all(book.failures(at(n)) == 1 for n in range(20))
        network.error = lambda address: None if address == at(7) else ConnectTimeout(1.0, "reach peer")
        await anyio.sleep(120)
    assert sorted({book.failures(at(n)) for n in range(20)} - {None}) != [1]  # now it counts


async def test_a_proxy_that_was_away_is_back_for_all_within_a_retry(network: Network, running: Any) -> None:
    """Its failure doubled each peer's own wait: after four minutes away it was tried again up to eight minutes late."""
    down = ConnectRefused("no")
    down.phase = "tcp"
    network.error = lambda address: down
    with logged() as told:
        async with running(outbound=0, via=lambda _: PROXY) as manager:
            for number in range(4):
                manager.add_request(at(number), permanent=True)
            await anyio.sleep(240)
            network.error = lambda address: None
            await anyio.sleep(31)
            assert manager.status().outbound == 4
    assert told == [("proxy.down", "warning"), ("proxy.up", "info")]


async def test_a_proxy_that_refuses_requests_is_not_away_and_the_seeders_are_asked(
    network: Network, book: AddressManager, dns: Dns, running: Any
) -> None:
    """One peer gossips private addresses, for which Tor replies 0x01: that left a node without peers for good."""
    dns.texts = ["203.0.113.1", "203.0.113.2"]
    good = {NetAddress.parse(f"{text}:16111") for text in dns.texts}
    refused = ProxyRefused("general failure", reply_code=1)
    refused.phase = "proxy.connect"
    network.error = lambda address: None if address in good else refused
    book.add([at(n) for n in range(30)])
    with logged() as told:
        async with running(outbound=3, via=lambda _: PROXY, seeders=("a.example",)) as manager:
            await anyio.sleep(40)
            assert manager.status().outbound == 2
            await anyio.sleep(TICK_INTERVAL)
    assert ("proxy.down", "warning") not in told
    assert any(book.failures(at(n)) != 1 for n in range(30))  # the proxy opened other tunnels, so it counts


async def test_a_seeder_that_fails_again_and_again_is_one_warning(network: Network, dns: Dns, running: Any) -> None:
    dns.error = ResolveError("no such name", transient=True)
    with logged() as told:
        async with running(outbound=1, seeders=("a.example", "b.example")):
            await anyio.sleep(20 * TICK_INTERVAL)
    assert told == [("seeder.failed", "warning")] * 2
    assert len(dns.asked) > 20
