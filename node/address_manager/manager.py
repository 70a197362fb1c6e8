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
from ziggurat.node.address import IpAddress, NetAddress, canonical_ip, why_undiallable
from ziggurat.node.address_manager.ranking import Ranking
from ziggurat.node.address_manager.store import AddressStore, StoreEvents
from ziggurat.node.address_manager.weights import MAX_FAILURES, pick_order
from ziggurat.node.wire import MAX_ADDRESSES_SENT

__all__ = ["MAX_ADDRESSES", "AddressManager"]

MAX_ADDRESSES = 4096
"""Capacity of the book. When it is full, an address is evicted for each new one; see `Ranking`."""

SHARED_PERCENT = 23
"""The part of the book that peers may learn at once, as in Bitcoin Core."""

SHARED_AT_LEAST = 100
"""Addresses that peers may learn whatever the size of the book. A network that small hides nothing from its members."""

FIRST_FAILURES = 1
"""Failures of a new address: it ranks below one that was reached, and above one that was not."""


class AddressManager:
    """The address book. Once opened, it belongs to one event loop.

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
        accepts: Callable[[NetAddress], bool] | None = None,
    ) -> None:
        self._rng = random.SystemRandom() if rng is None else rng
        self._accepts = accepts
        self._logger = logger
        self._failures: dict[NetAddress, int] = {}
        self._ranking = Ranking()  # the same addresses
        self._store: AddressStore | None = None
        self._scheduled_save: asyncio.Handle | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        rng: random.Random | None = None,
        logger: EventLogger | None = None,
        accepts: Callable[[NetAddress], bool] | None = None,
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
        for address, failures in known.items():
            if book._keeps(address):
                book._insert(address, failures)
        if known:
            write_event(logger, "info", "addresses.loaded", count=len(book))
        return book

    def __len__(self) -> int:
        return len(self._failures)

    def __contains__(self, address: NetAddress) -> bool:
        return address in self._failures

    def __repr__(self) -> str:
        return f"<AddressManager with {len(self)} of {MAX_ADDRESSES} addresses>"

    def failures(self, address: NetAddress) -> int | None:
        """Return the number of failures since the last success, 0 to 3; ``None`` for an unknown address."""
        return self._failures.get(address)

    def add(self, addresses: Iterable[NetAddress]) -> int:
        """Add new addresses that the book accepts.

        Returns:
            The number of new addresses.
        """
        added = 0
        for address in addresses:
            if address not in self._failures and self._keeps(address):
                self._insert(address, FIRST_FAILURES)
                added += 1
        if added:
            self._schedule_save()
        return added

    def mark_success(self, address: NetAddress) -> None:
        """Reset the failures after a successful dial. Unknown addresses are ignored."""
        if self._failures.get(address):
            self._move(address, 0)

    def mark_failure(self, address: NetAddress) -> None:
        """Count a failed dial; the fourth failure removes the address. Unknown addresses are ignored."""
        failures = self._failures.get(address)
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
        gone = [address for address in self._failures if address.ip == ip]
        for address in gone:
            self._remove(address)
        if gone:
            self._schedule_save()
        return len(gone)

    def pick_order(self, exclude: Collection[NetAddress] = ()) -> list[NetAddress]:
        """Return all addresses but the excluded ones, in the order in which to dial them: a weighted random order."""
        candidates = [entry for entry in self._failures.items() if not exclude or entry[0] not in exclude]
        return pick_order(candidates, self._rng)

    def sample(self, limit: int = MAX_ADDRESSES_SENT) -> list[NetAddress]:
        """Return at most ``limit`` addresses to send to a peer, chosen uniformly at random.

        Of a book that is not small they are `SHARED_PERCENT` at most.
        """
        known = list(self._failures)
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

    def _keeps(self, address: NetAddress) -> bool:
        if address.ip.is_loopback or address.ip.is_unspecified or why_undiallable(address.ip) is not None:
            return False
        return self._accepts is None or self._accepts(address)

    def _insert(self, address: NetAddress, failures: int) -> None:
        if len(self._failures) >= MAX_ADDRESSES:
            del self._failures[self._ranking.pop_worst()]
        self._failures[address] = failures
        self._ranking.add(address, failures)

    def _remove(self, address: NetAddress) -> None:
        self._ranking.remove(address, self._failures.pop(address))

    def _move(self, address: NetAddress, failures: int) -> None:
        self._ranking.remove(address, self._failures[address])
        self._failures[address] = failures
        self._ranking.add(address, failures)
        self._schedule_save()

    def _schedule_save(self) -> None:
        # One save for all changes in this iteration of the event loop.
        if self._store is not None and self._scheduled_save is None:
            self._scheduled_save = asyncio.get_running_loop().call_soon(self._save)

    def _save(self) -> None:
        if self._scheduled_save is not None and self._store is not None:
            self._scheduled_save.cancel()
            self._scheduled_save = None
            self._store.submit(self._failures.copy())

    def _on_stored(self, added: int, total: int) -> None:
        if added:
            write_event(self._logger, "info", "addresses.stored", count=added, total=total)

    def _on_failed(self, problem: str) -> None:
        write_event(self._logger, "warning", "addresses.not_stored", error=problem)

    def _on_damaged(self, path: Path, aside: Path, problem: str) -> None:
        write_event(self._logger, "warning", "addresses.set_aside", path=str(path), moved_to=str(aside), error=problem)

    def _on_lost(self, path: Path) -> None:
        write_event(self._logger, "warning", "addresses.lost", path=str(path))
