"""The address book: what was heard of, how often it failed, and what to try next.

All of it is in memory, and every method but the last three returns at once; a file follows behind, see `AddressStore`.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType

from ziggurat.layers.events import EventLogger, write_event
from ziggurat.node.address import IpAddress, NetAddress, canonical_ip
from ziggurat.node.address_manager.store import AddressStore, StoreEvents
from ziggurat.node.address_manager.weights import MAX_FAILURES, pick_order
from ziggurat.node.wire import MAX_ADDRESSES_SENT

__all__ = ["MAX_ADDRESSES", "AddressManager"]

MAX_ADDRESSES = 4096
"""In the book. Beyond it, those go first that failed most."""

FIRST_FAILURES = 1
"""Of an address that was only heard of: it counts less than one that answered, and more than one that did not."""


class AddressManager:
    """The address book. Belongs to one event loop, once it was opened.

    Events: ``addresses.loaded`` (``count``), ``addresses.stored`` (``count`` that are new in the file, ``total`` in it)
    once they are durable, so that they survive whatever happens next; ``addresses.not_stored`` (``error``) when the
    file cannot be written, which is tried again; ``addresses.set_aside`` (``path``, ``moved_to``, ``error``) when it
    was damaged.

    Args:
        rng: where chance comes from; ``None`` takes the system's.
        logger: as in `write_event`.
    """

    def __init__(self, *, rng: random.Random | None = None, logger: EventLogger | None = None) -> None:
        self._rng = random.SystemRandom() if rng is None else rng
        self._logger = logger
        self._failures: dict[NetAddress, int] = {}
        # The same by the number of failures, each in the order of arrival, so that eviction needs no search: a peer may
        # send 2500 addresses at once to a book that is full.
        self._by_failures = tuple(OrderedDict[NetAddress, None]() for _ in range(MAX_FAILURES + 1))
        self._store: AddressStore | None = None
        self._scheduled_save: asyncio.Handle | None = None

    @classmethod
    async def open(
        cls, path: Path, *, rng: random.Random | None = None, logger: EventLogger | None = None
    ) -> AddressManager:
        """Open the book that is in a file, or begin one. A damaged file is renamed, and the log says so.

        Args:
            path: of the file; its directory is there.
            rng: as above.
            logger: as above.

        Raises:
            StoreError: the file can neither be read nor made; the message names it.
        """
        book = cls(rng=rng, logger=logger)
        events = StoreEvents(book._on_stored, book._on_failed, book._on_damaged)
        book._store, known = await AddressStore.open(path, events)
        for address, failures in known.items():
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
        """How often it failed since it last answered, 0 to 3; ``None`` when it is unknown."""
        return self._failures.get(address)

    def add(self, addresses: Iterable[NetAddress]) -> int:
        """Take up what is new. Loopback and unspecified addresses are skipped, private ones are not.

        Returns:
            How many were new.
        """
        added = 0
        for address in addresses:
            if address not in self._failures and not (address.ip.is_loopback or address.ip.is_unspecified):
                self._insert(address, FIRST_FAILURES)
                added += 1
        if added:
            self._schedule_save()
        return added

    def mark_success(self, address: NetAddress) -> None:
        """A dial to it went well: forget its failures. Nothing happens when it is unknown."""
        if self._failures.get(address):
            self._move(address, 0)

    def mark_failure(self, address: NetAddress) -> None:
        """A dial to it failed. It is removed when it had 3 failures already. Nothing happens when it is unknown."""
        failures = self._failures.get(address)
        if failures is None:
            return
        if failures < MAX_FAILURES:
            self._move(address, failures + 1)
        else:
            self._remove(address)
            self._schedule_save()

    def remove_ip(self, ip: IpAddress) -> int:
        """Forget all addresses of an IP, whatever their ports, and answer how many there were."""
        ip = canonical_ip(ip)
        gone = [address for address in self._failures if address.ip == ip]
        for address in gone:
            self._remove(address)
        if gone:
            self._schedule_save()
        return len(gone)

    def pick_order(self, exclude: Collection[NetAddress] = ()) -> list[NetAddress]:
        """Answer with all addresses but the excluded ones, in the order in which to try them: at random, by weight."""
        candidates = [entry for entry in self._failures.items() if not exclude or entry[0] not in exclude]
        return pick_order(candidates, self._rng)

    def sample(self, limit: int = MAX_ADDRESSES_SENT) -> list[NetAddress]:
        """Answer with what to tell a peer: at most ``limit`` addresses, each as likely as the others."""
        known = list(self._failures)
        return self._rng.sample(known, min(limit, len(known)))

    async def flush(self) -> None:
        """Return when all that is known is durable. Without a file, at once."""
        if self._store is not None:
            self._save()
            await self._store.flush()

    async def aclose(self) -> None:
        """Write what is not written yet, and close the file. Nothing is stored afterwards."""
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

    def _insert(self, address: NetAddress, failures: int) -> None:
        if len(self._failures) >= MAX_ADDRESSES:
            worst = next(group for group in reversed(self._by_failures) if group)
            evicted, _ = worst.popitem(last=False)
            del self._failures[evicted]
        self._failures[address] = failures
        self._by_failures[failures][address] = None

    def _remove(self, address: NetAddress) -> None:
        del self._by_failures[self._failures.pop(address)][address]

    def _move(self, address: NetAddress, failures: int) -> None:
        del self._by_failures[self._failures[address]][address]
        self._failures[address] = failures
        self._by_failures[failures][address] = None
        self._schedule_save()

    def _schedule_save(self) -> None:
        # Once for all changes of this iteration of the loop.
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
