"""Keep the configured number of outbound peers: those that the user requests, and others from the address book.

It works in ticks: one at the start, every 30 seconds, when a peer is requested, and when a requested peer is due for a
retry. Each dials requested peers first, as kaspad does.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol, TypeAlias

import anyio

from ziggurat.layers.events import write_event
from ziggurat.node.address import NetAddress, PeerAddress
from ziggurat.node.outbound.failure import counts_against_target, is_proxy_failure
from ziggurat.node.outbound.peer_request import PeerRequest
from ziggurat.node.outbound.seeding import ask_seeders
from ziggurat.node.peer import PeerInfo
from ziggurat.services import ConnectError
from ziggurat.services.errors import one_line

__all__ = ["AddressBook", "ConnectionManager", "ConnectionManagerConfig", "ConnectionStatus", "Peers"]

TICK_INTERVAL = 30.0
"""Seconds between ticks, as in kaspad."""

Outcome: TypeAlias = Literal["connected", "failed", "proxy"]


class Peers(Protocol):
    """The part of an adaptor that the manager uses."""

    async def connect_peer(self, address: PeerAddress, /) -> PeerInfo: ...
    def peers(self) -> list[PeerInfo]: ...


class AddressBook(Protocol):
    """The part of an address manager that the manager uses."""

    def add(self, addresses: Iterable[NetAddress], /) -> int: ...
    def mark_success(self, address: NetAddress, /) -> None: ...
    def mark_failure(self, address: NetAddress, /) -> None: ...
    def pick_order(self, exclude: Collection[NetAddress] = (), /) -> list[NetAddress]: ...


@dataclass(frozen=True, slots=True)
class ConnectionManagerConfig:
    """Settings of a `ConnectionManager`.

    Attributes:
        outbound: the number of outbound peers to keep, requested ones included.
        inbound: the limit of inbound peers, for `ConnectionManager.status`.
        seeders: DNS seeders, looked up when the address book yields too few peers.
        port: the port of the nodes that seeders return.
        proxied: whether dials go through a proxy. Its failures do not count against peers, and a seeder that it cannot
            look up is dialled by name.
    """

    outbound: int = 8
    inbound: int = 128
    seeders: Sequence[str] = ()
    port: int = 16111
    proxied: bool = False


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
        addresses: AddressBook,
        resolve: Callable[[str], Awaitable[list[str]]],
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._peers = peers
        self._addresses = addresses
        self._resolve = resolve
        self._rng = random.SystemRandom() if rng is None else rng
        self._requests: dict[PeerAddress, PeerRequest] = {}
        self._wake = anyio.Event()

    def add_request(self, address: PeerAddress, *, permanent: bool) -> None:
        """Request a connection, to be dialled right away; a permanent one is redialled whenever it fails or is lost."""
        known = self._requests.get(address)
        self._requests[address] = PeerRequest(address, permanent or (known is not None and known.permanent))
        self._wake.set()

    def status(self) -> ConnectionStatus:
        """Return the current numbers."""
        peers = self._peers.peers()
        outbound = sum(peer.direction == "outbound" for peer in peers)
        config = self._config
        return ConnectionStatus(outbound, config.outbound, len(peers) - outbound, config.inbound, len(self._requests))

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._wake = anyio.Event()  # before the tick, so that a request made during it starts another
            until = anyio.current_time() + TICK_INTERVAL
            await self._dial_requests()
            await self._fill_outbound(until)
            with anyio.move_on_after(self._until_next_tick()):
                await self._wake.wait()

    # -- requests

    async def _dial_requests(self) -> None:
        connected = self._outbound()
        now = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for request in list(self._requests.values()):
                if request.address in connected:
                    self._connected(request)
                elif request.due <= now:
                    tasks.start_soon(self._dial_request, request)

    async def _dial_request(self, request: PeerRequest) -> None:
        if await self._dial(request.address) == "connected":
            self._connected(request)
            return
        request.failed(anyio.current_time())
        if not request.permanent:
            self._remove(request)

    def _connected(self, request: PeerRequest) -> None:
        request.succeeded()
        if not request.permanent:
            self._remove(request)

    def _remove(self, request: PeerRequest) -> None:
        if self._requests.get(request.address) is request:  # else it has been requested again meanwhile
            del self._requests[request.address]

    def _until_next_tick(self) -> float:
        now = anyio.current_time()
        connected = self._outbound()
        waiting = [r.due - now for r in self._requests.values() if r.address not in connected and r.due > now]
        return min([TICK_INTERVAL, *waiting])

    # -- outbound

    async def _fill_outbound(self, until: float) -> None:
        if self._missing() <= 0:
            return
        write_event(None, "debug", "outbound.missing", count=self._missing(), target=self._config.outbound)
        if not await self._dial_from_book(until) or self._missing() <= 0 or not self._config.seeders:
            return
        found = await ask_seeders(
            self._resolve,
            self._config.seeders,
            self._config.port,
            missing=self._missing(),
            target=self._config.outbound,
            rng=self._rng,
        )
        self._addresses.add(found.addresses)
        if found.addresses:
            await self._dial_from_book(until)
        connected = self._outbound()
        names = [address for address in found.names if address not in connected]
        await self._dial_all(names[: max(0, self._missing())])

    async def _dial_from_book(self, until: float) -> bool:
        """Dial addresses from the book, as many at once as peers are missing. Return ``False`` if cut short."""
        excluded = {a for a in (*self._outbound(), *self._requests) if isinstance(a, NetAddress)}
        # Peers may gossip port 0, which cannot be dialled.
        order = (address for address in self._addresses.pick_order(excluded) if address.port)
        while (missing := self._missing()) > 0:
            if anyio.current_time() >= until or self._wake.is_set():
                return False  # requests come first: a book of thousands must not delay them
            batch = list(islice(order, missing))
            if not batch:
                return True
            outcomes = await self._dial_all(batch)
            if all(outcome == "proxy" for outcome in outcomes):
                return False  # the proxy would fail for the other addresses too
        return True

    async def _dial_all(self, addresses: Iterable[PeerAddress]) -> list[Outcome]:
        outcomes: list[Outcome] = []

        async def dial(address: PeerAddress) -> None:
            outcomes.append(await self._dial(address))

        async with anyio.create_task_group() as tasks:
            for address in addresses:
                tasks.start_soon(dial, address)
        return outcomes

    async def _dial(self, address: PeerAddress) -> Outcome:
        try:
            await self._peers.connect_peer(address)
        except ConnectError as error:
            proxied = self._config.proxied
            if error.phase == "handshake":
                _log_refusal(address, error)  # the stack has logged any other failure
            if isinstance(address, NetAddress) and counts_against_target(error, proxied=proxied):
                self._addresses.mark_failure(address)
            return "proxy" if is_proxy_failure(error, proxied=proxied) else "failed"
        except Exception as error:
            # A bug, ours or a library's. One peer's data must not bring down a node that has other peers.
            write_event(None, "warning", "dial.crashed", target=str(address), error=one_line(repr(error)))
            return "failed"
        if isinstance(address, NetAddress):
            self._addresses.mark_success(address)
        return "connected"

    def _outbound(self) -> set[PeerAddress]:
        return {peer.address for peer in self._peers.peers() if peer.direction == "outbound"}

    def _missing(self) -> int:
        return self._config.outbound - len(self._outbound())


def _log_refusal(address: PeerAddress, error: ConnectError) -> None:
    peer, reason = str(address), error.message
    write_event(None, "info", "peer.refused", peer=peer, direction="outbound", reason=reason, hint=error.hint)
