"""Keep the configured number of outbound peers: those that the user requests, and others from the address book.

Every requested peer has a task of its own, the book has one, and the seeders have one: whatever one of them waits for,
a dead onion service or a silent name server, the others go on.

A failed dial counts against what failed. A proxy or a network that is away is an `Outage`: one line when it begins and
one when it ends, one dial per interval in between, and nothing of it counts against a peer. Nor does a failure count
while no dial at all gets through, since a lost uplink looks like that: addresses are marked once there is a sign that
others can be reached.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from ziggurat.layers.events import write_event
from ziggurat.node.address import NamedAddress, NodeAddress, PeerAddress
from ziggurat.node.outbound.dial_book import DialBook
from ziggurat.node.outbound.failure import Cause, cause_of
from ziggurat.node.outbound.outage import Outages
from ziggurat.node.outbound.peer_request import PeerRequest
from ziggurat.node.outbound.seeding import Seeders
from ziggurat.node.peer import PeerInfo
from ziggurat.services import ConnectError, ConnectRefused, Http2Error
from ziggurat.services.errors import one_line

__all__ = ["ConnectionManager", "ConnectionManagerConfig", "ConnectionStatus", "Peers"]

TICK_INTERVAL = 30.0
"""Seconds between two looks at how many peers are missing, as in kaspad."""


class Peers(Protocol):
    """The part of an adaptor that the manager uses."""

    async def connect_peer(self, address: PeerAddress, /) -> PeerInfo: ...
    def peers(self) -> list[PeerInfo]: ...


@dataclass(frozen=True, slots=True)
class ConnectionManagerConfig:
    """Settings of a `ConnectionManager`.

    Attributes:
        outbound: the number of outbound peers to keep, requested ones included.
        inbound: the limit of inbound peers, for `ConnectionManager.status`.
        seeders: DNS seeders, looked up when the address book yields too few peers.
        port: the port of the nodes that seeders return.
        via: returns the proxy that a dial goes through; ``None`` for a direct one. A seeder that the proxy cannot look
            up is dialled by name.
        dials: returns whether to dial an address that the user has not named.
        is_tor: returns whether the proxy of an address is known to be Tor.
    """

    outbound: int = 8
    inbound: int = 128
    seeders: Sequence[str] = ()
    port: int = 16111
    via: Callable[[PeerAddress], str | None] = lambda _: None
    dials: Callable[[PeerAddress], bool] = lambda _: True
    is_tor: Callable[[PeerAddress], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """The numbers of peers and of pending requests, beside the configured ones."""

    outbound: int
    outbound_target: int
    inbound: int
    inbound_limit: int
    requests: int


class ConnectionManager:
    """The component that dials peers and redials lost ones.

    Events: ``network.unreachable`` and ``network.reachable`` (``network``: ipv4 or ipv6), ``proxy.down`` and
    ``proxy.up`` (``via``), ``peer.refused``, ``outbound.missing``, ``dial.crashed``, and those of seeding.

    Args:
        config: the numbers to keep, and the seeders.
        peers: the adaptor.
        addresses: the address manager.
        resolve: looks a seeder up, through the proxy when there is one.
        rng: the source of randomness; ``None`` takes the system's.
    """

    def __init__(
        self,
        config: ConnectionManagerConfig,
        peers: Peers,
        addresses: DialBook,
        resolve: Callable[[str], Awaitable[list[str]]],
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._peers = peers
        self._addresses = addresses
        rng = random.SystemRandom() if rng is None else rng
        self._seeders = Seeders(config.seeders, config.port, resolve, rng)
        self._requests: dict[PeerAddress, PeerRequest] = {}
        self._wake = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._seed_at = float("-inf")  # not before
        self._dialling = 0  # dials of our own choice that are under way
        self._suspects: dict[NodeAddress, None] = {}  # failed, and not marked yet
        self._outages = Outages(config.via)

    def add_request(self, address: PeerAddress, *, permanent: bool) -> None:
        """Request a connection, to be dialled right away; a permanent one is redialled whenever it fails or is lost."""
        known = self._requests.get(address)
        request = PeerRequest(address, permanent or (known is not None and known.permanent))
        self._requests[address] = request
        if self._tasks is not None:
            self._tasks.start_soon(self._serve, request)

    def look(self) -> None:
        """Look now whether peers are missing, instead of within `TICK_INTERVAL`: for a book that has new addresses."""
        self._wake.set()

    def on_tor_up(self) -> None:
        """Dial at once what waits for Tor to be back."""
        self._outages.end_of_proxies()
        self.look()

    def status(self) -> ConnectionStatus:
        """Return the current numbers."""
        peers = self._peers.peers()
        outbound = sum(peer.direction == "outbound" for peer in peers)
        config = self._config
        return ConnectionStatus(outbound, config.outbound, len(peers) - outbound, config.inbound, len(self._requests))

    async def run(self) -> None:
        """Run until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                for request in tuple(self._requests.values()):
                    tasks.start_soon(self._serve, request)
                tasks.start_soon(self._keep_filled)
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    # -- requests

    async def _serve(self, request: PeerRequest) -> None:
        """Keep a requested peer connected, for as long as the request stands."""
        while self._requests.get(request.address) is request:  # else it was requested again
            if request.address in self._outbound():
                request.succeeded()
            elif request.due <= anyio.current_time():
                await self._dial_request(request)
            if not request.permanent:
                self._requests.pop(request.address, None)
                return
            until_due = request.due - anyio.current_time()
            connected = request.address in self._outbound()
            await anyio.sleep(until_due if until_due > 0 else TICK_INTERVAL if connected else 0)

    async def _dial_request(self, request: PeerRequest) -> None:
        outage = self._outages.of(request.address)
        while not outage.permits():
            await outage.wait()
        cause = await self._dial(request.address)
        if cause is None:
            request.succeeded()
        elif cause in (Cause.TARGET, Cause.NEUTRAL):
            request.failed(anyio.current_time())
        # Else it was not the peer, which is dialled again as soon as the proxy or the network is back.

    # -- outbound

    async def _keep_filled(self) -> None:
        while True:
            self._wake = wake = anyio.Event()
            await self._fill(anyio.current_time() + TICK_INTERVAL)
            with anyio.move_on_after(self._pause()):
                await wake.wait()

    def _pause(self) -> float:
        """Seconds to the next look, which during an outage is when a dial may try whether it is over."""
        return min(TICK_INTERVAL, self._outages.until_retry) if self._missing() > 0 else TICK_INTERVAL

    async def _fill(self, until: float) -> None:
        """Dial addresses from the book, as many at once as peers are missing; ask the seeders if some still are."""
        missing = self._missing()
        if missing <= 0:
            return
        write_event(None, "debug", "outbound.missing", count=missing, target=self._config.outbound)
        excluded = {a for a in (*self._outbound(), *self._requests) if not isinstance(a, NamedAddress)}
        order = iter(self._addresses.pick_order(excluded))
        async with anyio.create_task_group() as tasks:
            for _ in range(missing):
                tasks.start_soon(self._dial_from_book, order, until)
        self._suspects.clear()  # a round in which every dial failed says nothing of the targets
        if self._missing() > 0 and not self._outages.are_total and not self._wake.is_set():
            self._start_seeding()

    async def _dial_from_book(self, order: Iterator[NodeAddress], until: float) -> None:
        while self._missing() > self._dialling and anyio.current_time() < until:
            address = next((each for each in order if self._may_dial(each)), None)
            if address is None:
                return
            await self._dial_own(address)

    def _may_dial(self, address: NodeAddress) -> bool:
        # Peers may gossip port 0, which cannot be dialled.
        return bool(address.port) and self._config.dials(address) and self._outages.of(address).permits()

    async def _dial_own(self, address: PeerAddress) -> None:
        self._dialling += 1
        try:
            await self._dial(address)
        finally:
            self._dialling -= 1

    def _start_seeding(self) -> None:
        now = anyio.current_time()
        if self._tasks is not None and now >= self._seed_at:
            self._seed_at = now + TICK_INTERVAL
            self._tasks.start_soon(self._seed)

    async def _seed(self) -> None:
        found = await self._seeders.ask(missing=self._missing(), target=self._config.outbound)
        if found is None:
            return  # they are being asked already
        for error in found.errors:
            name = NamedAddress(self._config.seeders[0], self._config.port)  # all names go the same way
            if cause_of(error, proxied=self._config.via(name) is not None) is Cause.PROXY:
                self._outages.of(name).report_failure(error)
        if self._addresses.add(found.addresses):
            self._wake.set()
        names = [each for each in found.names if each not in self._outbound() and self._config.dials(each)]
        async with anyio.create_task_group() as tasks:
            for address in names[: max(0, self._missing() - self._dialling)]:
                tasks.start_soon(self._dial_own, address)

    # -- one dial, and what it tells

    async def _dial(self, address: PeerAddress) -> Cause | None:
        """Dial a peer; return what made it fail, or ``None``."""
        try:
            await self._peers.connect_peer(address)
        except ConnectError as error:
            if error.phase == "handshake":
                _log_refusal(address, error)  # the stack has logged any other failure
            cause = cause_of(error, proxied=self._config.via(address) is not None, tor=self._config.is_tor(address))
            self._learn(address, error, cause)
            return cause
        except Exception as error:
            # A bug, ours or a library's. One peer's data must not bring down a node that has other peers.
            write_event(None, "warning", "dial.crashed", target=str(address), error=one_line(repr(error)))
            return Cause.NEUTRAL
        self._works(address)
        self._mark_suspects()
        if not isinstance(address, NamedAddress):
            self._addresses.mark_success(address)
        return None

    def _learn(self, address: PeerAddress, error: ConnectError, cause: Cause) -> None:
        if cause is Cause.PROXY or cause is Cause.NETWORK:
            self._outages.of(address).report_failure(error)
            return
        if cause is Cause.NEUTRAL:
            return
        self._works(address)  # there is a route, or the proxy has answered
        if not isinstance(address, NamedAddress):
            self._suspects[address] = None
        answered = error.phase == "handshake" or isinstance(error, Http2Error | ConnectRefused)
        if answered or self._outbound():
            self._mark_suspects()

    def _works(self, address: PeerAddress) -> None:
        if self._outages.of(address).report_success():
            self._wake.set()

    def _mark_suspects(self) -> None:
        """Count the failures so far against their targets: some other target was reached."""
        for address in self._suspects:
            self._addresses.mark_failure(address)
        self._suspects.clear()

    def _outbound(self) -> set[PeerAddress]:
        return {peer.address for peer in self._peers.peers() if peer.direction == "outbound"}

    def _missing(self) -> int:
        return self._config.outbound - len(self._outbound())


def _log_refusal(address: PeerAddress, error: ConnectError) -> None:
    peer, reason = str(address), error.message
    write_event(None, "info", "peer.refused", peer=peer, direction="outbound", reason=reason, hint=error.hint)
