"""Keep the wanted number of outbound peers: those that the user names, and others of our own choice.

A tick comes every 30 seconds, at the start, when a peer is requested, and when a permanent peer is due for a retry. It
serves requests first, as kaspad does.
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
"""Seconds, as kaspad."""

Outcome: TypeAlias = Literal["connected", "failed", "proxy"]


class Peers(Protocol):
    """What the manager needs of an adaptor."""

    async def connect_peer(self, address: PeerAddress, /) -> PeerInfo: ...
    def peers(self) -> list[PeerInfo]: ...


class AddressBook(Protocol):
    """What the manager needs of an address manager."""

    def add(self, addresses: Iterable[NetAddress], /) -> int: ...
    def mark_success(self, address: NetAddress, /) -> None: ...
    def mark_failure(self, address: NetAddress, /) -> None: ...
    def pick_order(self, exclude: Collection[NetAddress] = (), /) -> list[NetAddress]: ...


@dataclass(frozen=True, slots=True)
class ConnectionManagerConfig:
    """How many peers there should be, and where first addresses come from.

    Attributes:
        outbound: peers of our own choice. Those that the user names count as well.
        inbound: at most.
        seeders: names to look up when the address book does not do.
        port: of the nodes that seeders name.
        proxied: whether dials go through a proxy: its failures are not the peers', and a seeder that it does not look
            up is dialled by name.
    """

    outbound: int = 8
    inbound: int = 128
    seeders: Sequence[str] = ()
    port: int = 16111
    proxied: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """How things stand: numbers of peers, and of peers that the user wants."""

    outbound: int
    outbound_target: int
    inbound: int
    inbound_limit: int
    requests: int


class ConnectionManager:
    """Dials, redials and lets go.

    Args:
        config: what to reach.
        peers: the adaptor.
        addresses: the address manager.
        resolve: looks a seeder up, the proxy's way when there is one.
        rng: where chance comes from; ``None`` takes the system's.
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
        """Ask for a connection, to be made at once; a permanent one is made again whenever it is lost."""
        known = self._requests.get(address)
        self._requests[address] = PeerRequest(address, permanent or (known is not None and known.permanent))
        self._wake.set()

    def status(self) -> ConnectionStatus:
        """How things stand now."""
        peers = self._peers.peers()
        outbound = sum(peer.direction == "outbound" for peer in peers)
        config = self._config
        return ConnectionStatus(outbound, config.outbound, len(peers) - outbound, config.inbound, len(self._requests))

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake = anyio.Event()  # before the tick: who is added during it is not forgotten
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
        if self._requests.get(request.address) is request:  # else it was asked for again meanwhile
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
        """Dial what is in the book, as many at a time as are missing. ``False``: there is more to try, later."""
        excluded = {a for a in (*self._outbound(), *self._requests) if isinstance(a, NetAddress)}
        # Peers may tell of port 0, which nothing can dial.
        order = (address for address in self._addresses.pick_order(excluded) if address.port)
        while (missing := self._missing()) > 0:
            if anyio.current_time() >= until or self._wake.is_set():
                return False  # the requests are due again: a book of thousands must not keep them waiting
            batch = list(islice(order, missing))
            if not batch:
                return True
            outcomes = await self._dial_all(batch)
            if all(outcome == "proxy" for outcome in outcomes):
                return False  # it would be the same for all the others
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
                _log_refusal(address, error)  # any other failure was logged by the stack
            if isinstance(address, NetAddress) and counts_against_target(error, proxied=proxied):
                self._addresses.mark_failure(address)
            return "proxy" if is_proxy_failure(error, proxied=proxied) else "failed"
        except Exception as error:
            # A bug, ours or a library's. What a peer sends must not be able to end a node that has other peers.
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
