"""The address book: known addresses, how often they failed, and which to dial next.

All of it is in memory, and only opening, flushing and closing wait for the file, which `AddressStore` keeps up to date.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType

from ziggurat.layers.events import EventLogger, write_event
from ziggurat.node.address import (
    AddressNetwork,
    IpAddress,
    NetAddress,
    NodeAddress,
    canonical_ip,
    why_undiallable,
)
from ziggurat.node.address_manager.ranking import Ranking
from ziggurat.node.address_manager.record import Record
from ziggurat.node.address_manager.store import AddressStore, StoreEvents
from ziggurat.node.address_manager.weights import MAX_FAILURES, pick_order
from ziggurat.node.wire import MAX_ADDRESSES_SENT

__all__ = ["MAX_ADDRESSES", "AddressManager"]

MAX_ADDRESSES = 4096
"""Capacity of each network's part of the book. When one is full, an address of it is evicted for each new one, see
`Ranking`: whoever floods one network, e.g. with onion services, which cost nothing, displaces nothing of another."""

SHARED_PERCENT = 23
"""The part of what a network's peers told that its peers may learn at once, as in Bitcoin Core."""

SHARED_AT_LEAST = 100
"""Addresses that peers may learn whatever the size of the book. A network that small hides nothing from its members."""

FIRST_FAILURES = 1
"""Failures of a new address: it ranks below one that was reached, and above one that was not."""


class AddressManager:
    """The address book. Once opened, it belongs to one event loop.

    Each network (ipv4, ipv6, onion) has a part of its own. The book remembers the networks of the peers that told an
    address, so that one face of the node does not tell what another has learned: see `sample`.

    Events: ``addresses.loaded`` (``count``); ``addresses.stored`` (``count`` new in the file, ``total`` in it), once
    they are durable, even against ``kill -9``; ``addresses.not_stored`` (``error``) when a write failed, which is
    retried; ``addresses.set_aside`` (``path``, ``moved_to``, ``error``) when the file was damaged and has been renamed;
    ``addresses.lost`` (``path``) when it was deleted while open, and is written anew.

    Args:
        rng: the source of randomness; ``None`` takes the system's.
        logger: the logger for the events, as in `write_event`.
        accepts: which addresses are kept, of those that other machines can dial; ``None`` keeps them all.
    """

    def __init__(
        self,
        *,
        rng: random.Random | None = None,
        logger: EventLogger | None = None,
        accepts: Callable[[NodeAddress], bool] | None = None,
    ) -> None:
        self._rng = random.SystemRandom() if rng is None else rng
        self._accepts = accepts
        self._logger = logger
        self._records: dict[NodeAddress, Record] = {}
        self._rankings = {network: Ranking() for network in AddressNetwork}  # the same addresses
        self._store: AddressStore | None = None
        self._scheduled_save: asyncio.Handle | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        rng: random.Random | None = None,
        logger: EventLogger | None = None,
        accepts: Callable[[NodeAddress], bool] | None = None,
    ) -> AddressManager:
        """Open the book in a file, or create one. A damaged file is renamed, and the log says so.

        Args:
            path: the file, in an existing directory.
            rng: as above.
            logger: as above.
            accepts: as above; what the file has beside is forgotten.

        Raises:
            StoreError: the file can neither be read nor created; the message names it.
        """
        book = cls(rng=rng, logger=logger, accepts=accepts)
        events = StoreEvents(book._on_stored, book._on_failed, book._on_damaged, book._on_lost)
        book._store, known = await AddressStore.open(path, events)
        for address, record in known.items():
            if book._keeps(address):
                book._insert(address, record)
        if known:
            write_event(logger, "info", "addresses.loaded", count=len(book))
        return book

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, address: NodeAddress) -> bool:
        return address in self._records

    def __repr__(self) -> str:
        parts = ", ".join(f"{len(part)} {network}" for network, part in self._rankings.items())
        return f"<AddressManager with {parts}, of {MAX_ADDRESSES} each>"

    def failures(self, address: NodeAddress) -> int | None:
        """Return the number of failures since the last success, 0 to 3; ``None`` for an unknown address."""
        record = self._records.get(address)
        return None if record is None else record.failures

    def add(self, addresses: Iterable[NodeAddress], told_by: AddressNetwork | None = None) -> int:
        """Add new addresses that the book accepts.

        Args:
            addresses: the addresses.
            told_by: the network of the peer that told them; ``None`` is each address's own.

        Returns:
            The number of new addresses.
        """
        added, changed = 0, False
        for address in addresses:
            network = address.network if told_by is None else told_by
            known = self._records.get(address)
            if known is not None:
                if network not in known.told_by:
                    self._records[address] = known._replace(told_by=known.told_by | {network})
                    changed = True
            elif self._keeps(address):
                self._insert(address, Record(FIRST_FAILURES, frozenset({network})))
                added += 1
        if added or changed:
            self._schedule_save()
        return added

    def mark_success(self, address: NodeAddress) -> None:
        """Reset the failures after a successful dial. Unknown addresses are ignored."""
        if self.failures(address):
            self._move(address, 0)

    def mark_failure(self, address: NodeAddress) -> None:
        """Count a failed dial; the fourth failure removes the address. Unknown addresses are ignored."""
        failures = self.failures(address)
        if failures is None:
            return
        if failures < MAX_FAILURES:
            self._move(address, failures + 1)
        else:
            self._remove(address)
            self._schedule_save()

    def remove_ip(self, ip: IpAddress) -> int:
        """Remove all addresses of an IP, whatever their ports, and return how many there were."""
        ip = canonical_ip(ip)
        gone = [address for address in self._records if isinstance(address, NetAddress) and address.ip == ip]
        for address in gone:
            self._remove(address)
        if gone:
            self._schedule_save()
        return len(gone)

    def pick_order(self, exclude: Collection[NodeAddress] = ()) -> list[NodeAddress]:
        """Return all addresses but the excluded ones, in the order in which to dial them: a weighted random order."""
        candidates = [
            (address, record.failures)
            for address, record in self._records.items()
            if not exclude or address not in exclude
        ]
        return pick_order(candidates, self._rng)

    def sample(self, limit: int = MAX_ADDRESSES_SENT, told_by: AddressNetwork | None = None) -> list[NodeAddress]:
        """Return at most ``limit`` addresses to send to a peer, chosen uniformly at random.

        Of many they are `SHARED_PERCENT` at most.

        Args:
            limit: the maximum number.
            told_by: the network of the peer, which gets what other peers of that network told; ``None`` draws from all.
        """
        known = [a for a, record in self._records.items() if told_by is None or told_by in record.told_by]
        shared = max(SHARED_AT_LEAST, len(known) * SHARED_PERCENT // 100)
        return self._rng.sample(known, min(limit, shared, len(known)))

    async def flush(self) -> None:
        """Wait until all changes are durable. Return at once without a file."""
        if self._store is not None:
            self._save()
            await self._store.flush()

    async def aclose(self) -> None:
        """Write the last changes and close the file. Later changes are not stored."""
        if self._store is not None:
            self._save()
            store, self._store = self._store, None
            await store.aclose()

    async def __aenter__(self) -> AddressManager:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _keeps(self, address: NodeAddress) -> bool:
        if isinstance(address, NetAddress):
            ip = address.ip
            if ip.is_loopback or ip.is_unspecified or why_undiallable(ip) is not None:
                return False
        return self._accepts is None or self._accepts(address)

    def _insert(self, address: NodeAddress, record: Record) -> None:
        ranking = self._rankings[address.network]
        if len(ranking) >= MAX_ADDRESSES:
            del self._records[ranking.pop_worst()]
        self._records[address] = record
        ranking.add(address, record.failures)

    def _remove(self, address: NodeAddress) -> None:
        self._rankings[address.network].remove(address, self._records.pop(address).failures)

    def _move(self, address: NodeAddress, failures: int) -> None:
        record, ranking = self._records[address], self._rankings[address.network]
        ranking.remove(address, record.failures)
        self._records[address] = record._replace(failures=failures)
        ranking.add(address, failures)
        self._schedule_save()

    def _schedule_save(self) -> None:
        # One save for all changes in this iteration of the event loop.
        if self._store is not None and self._scheduled_save is None:
            self._scheduled_save = asyncio.get_running_loop().call_soon(self._save)

    def _save(self) -> None:
        if self._scheduled_save is not None and self._store is not None:
            self._scheduled_save.cancel()
            self._scheduled_save = None
            self._store.submit(self._records.copy())

    def _on_stored(self, added: int, total: int) -> None:
        if added:
            write_event(self._logger, "info", "addresses.stored", count=added, total=total)

    def _on_failed(self, problem: str) -> None:
        write_event(self._logger, "warning", "addresses.not_stored", error=problem)

    def _on_damaged(self, path: Path, aside: Path, problem: str) -> None:
        write_event(self._logger, "warning", "addresses.set_aside", path=str(path), moved_to=str(aside), error=problem)

    def _on_lost(self, path: Path) -> None:
        write_event(self._logger, "warning", "addresses.lost", path=str(path))
