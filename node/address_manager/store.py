"""A thread that writes the address book, so that the event loop never waits for the disk.

The thread gets snapshots of the whole book, never changes. A newer snapshot replaces one not written yet, and the next
write makes up for one that failed. So nothing piles up behind a slow disk, and a file that is damaged while the node
runs can be written anew.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVarTuple, Unpack

from ziggurat.node.address import NodeAddress
from ziggurat.node.address_manager import database
from ziggurat.node.address_manager.record import Record

__all__ = ["AddressStore", "StoreError", "StoreEvents"]

Ts = TypeVarTuple("Ts")

RETRY_INTERVAL = 30.0
"""Seconds until a failed write is retried, unless a newer snapshot comes first. A full disk tends to stay full."""


class StoreError(OSError):
    """The address book can neither be opened nor created. ``str`` names the file and the problem."""


@dataclass(frozen=True, slots=True)
class StoreEvents:
    """Callbacks for what the thread did, called on the event loop.

    Attributes:
        stored: called with the number of addresses new in the file and the number in it, once they are durable.
        failed: called with the error of a write that will be retried.
        damaged: called with the path of a damaged file, the path that it was moved to, and the error.
        lost: called with the path of a file that was deleted or replaced while it was open, and is written anew.
    """

    stored: Callable[[int, int], None]
    failed: Callable[[str], None]
    damaged: Callable[[Path, Path, str], None]
    lost: Callable[[Path], None]


class AddressStore:
    """The event loop's side of the writer thread. Made by `open`, on the loop that it then belongs to."""

    def __init__(self, path: Path, events: StoreEvents) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[dict[NodeAddress, Record] | StoreError] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._stored_number = 0
        self._submitted_number = 0
        self._flush_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._events = events
        self._writer = _Writer(path, self)

    @classmethod
    async def open(cls, path: Path, events: StoreEvents) -> tuple[AddressStore, dict[NodeAddress, Record]]:
        """Open or create the file, and read it. A damaged file is renamed, and the book is then empty.

        Raises:
            StoreError: the file cannot be opened or created.
        """
        store = cls(path, events)
        store._writer.start()
        try:
            book = await asyncio.shield(store._opened)
        except BaseException:
            store._writer.close()
            raise
        if isinstance(book, StoreError):
            await store.aclose()
            raise book
        return store, book

    def submit(self, book: Mapping[NodeAddress, Record]) -> None:
        """Write a snapshot of the book soon. The caller must not change it any more."""
        self._submitted_number += 1
        self._writer.submit(self._submitted_number, book)

    async def flush(self) -> None:
        """Wait until all submitted snapshots are durable, or the thread has ended."""
        if self._stored_number < self._submitted_number and not self._ended.done():
            done: asyncio.Future[None] = self._loop.create_future()
            self._flush_waiters.append((self._submitted_number, done))
            await done

    async def aclose(self) -> None:
        """Write the last snapshot, close the file, and end the thread. Cancellation stops only the wait for it."""
        self._writer.close()
        await asyncio.shield(self._ended)
        self._writer.join()

    # Called by the thread, on the loop.

    def on_opened(self, book: dict[NodeAddress, Record] | StoreError) -> None:
        if not self._opened.done():
            self._opened.set_result(book)

    def on_stored(self, number: int, added: int, total: int) -> None:
        self._stored_number = number
        # Before the waiters in flush() resume, so that the log is in order.
        self._events.stored(added, total)
        self._wake(number)

    def on_failed(self, problem: str) -> None:
        self._events.failed(problem)

    def on_damaged(self, path: Path, aside: Path, problem: str) -> None:
        self._events.damaged(path, aside, problem)

    def on_lost(self, path: Path) -> None:
        self._events.lost(path)

    def on_ended(self) -> None:
        self.on_opened(StoreError("the writer thread of the address book died"))
        self._ended.set_result(None)
        self._wake(self._submitted_number)

    def call_on_loop(self, callback: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        """Call a function on the loop, from the thread."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # the loop is closed

    def _wake(self, number: int) -> None:
        for wanted, done in self._flush_waiters:
            if wanted <= number and not done.done():
                done.set_result(None)
        self._flush_waiters = [entry for entry in self._flush_waiters if not entry[1].done()]


class _Writer(threading.Thread):
    """The writer thread. Other threads call only `submit`, `close` and the methods of `threading.Thread`."""

    def __init__(self, path: Path, store: AddressStore) -> None:
        # A daemon, so that an interpreter that exits without aclose() does not hang. What was reported is on disk.
        super().__init__(name="address-store", daemon=True)
        self._path = path
        self._store = store
        # Guards the two attributes below, which both threads use; held only briefly.
        self._condition = threading.Condition()
        self._pending: tuple[int, Mapping[NodeAddress, Record]] | None = None
        self._closing = False
        # Used by this thread only.
        self._connection: sqlite3.Connection | None = None
        self._stored: Mapping[NodeAddress, Record] = {}
        self._file_id: database.FileId | None = None

    def submit(self, number: int, book: Mapping[NodeAddress, Record]) -> None:
        with self._condition:
            self._pending = (number, book)
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._closing = True
            self._condition.notify()

    def run(self) -> None:
        call, store = self._store.call_on_loop, self._store
        try:
            self._open()
        except (OSError, sqlite3.Error, database.Damaged) as error:
            call(store.on_opened, StoreError(f"cannot open the address book {self._path}: {error}"))
        else:
            # A copy: the loop changes its book, while `_stored` mirrors the file.
            call(store.on_opened, dict(self._stored))
            self._write_submitted()
        finally:
            self._close_connection()
            call(store.on_ended)

    def _open(self) -> sqlite3.Connection:
        """Connect and read the file; replace a damaged one by a new one."""
        try:
            return self._load()
        except database.Damaged as error:
            self._move_damaged_file(str(error))
            return self._load()

    def _load(self) -> sqlite3.Connection:
        self._connection = database.connect(self._path)
        try:
            self._stored = database.read(self._connection)
            self._file_id = database.file_id(self._path)
        except BaseException:
            self._close_connection()
            raise
        return self._connection

    def _move_damaged_file(self, problem: str) -> None:
        aside = database.move_damaged_file(self._path)
        self._store.call_on_loop(self._store.on_damaged, self._path, aside, problem)

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write_submitted(self) -> None:
        while (job := self._next_job()) is not None:
            number, book = job
            try:
                added = self._write(book)
            except (OSError, sqlite3.Error, database.Damaged) as error:
                # The next attempt reads the file again, since its state is unknown.
                self._close_connection()
                self._store.call_on_loop(self._store.on_failed, f"{self._path}: {error}")
                if not self._wait_to_retry(job):
                    return
            else:
                self._stored = book
                self._store.call_on_loop(self._store.on_stored, number, added, len(book))

    def _write(self, book: Mapping[NodeAddress, Record]) -> int:
        added = self._write_once(book)
        if database.file_id(self._path) != self._file_id:
            self._store.call_on_loop(self._store.on_lost, self._path)
            self._close_connection()
            if self._file_id is not None:
                database.remove_orphaned_log(self._path, self._file_id)
            added = self._write_once(book)
            if database.file_id(self._path) != self._file_id:
                raise OSError("another program keeps deleting it")
        return added

    def _write_once(self, book: Mapping[NodeAddress, Record]) -> int:
        connection = self._connection or self._open()
        try:
            return database.write(connection, self._stored, book)
        except sqlite3.Error as error:
            if not database.is_damage(error):
                raise
            self._close_connection()
            self._move_damaged_file(str(error))
            return database.write(self._open(), self._stored, book)

    def _next_job(self) -> tuple[int, Mapping[NodeAddress, Record]] | None:
        with self._condition:
            while self._pending is None and not self._closing:
                self._condition.wait()
            job, self._pending = self._pending, None
            return job

    def _wait_to_retry(self, job: tuple[int, Mapping[NodeAddress, Record]]) -> bool:
        """Keep the snapshot for a retry unless there is a newer one, and wait. Return whether to retry."""
        with self._condition:
            if self._pending is None:
                if self._closing:
                    return False
                self._pending = job
                self._condition.wait(RETRY_INTERVAL)
            return True
