from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.node.address_manager.test_database import ENDLESS_TRIGGER, ENDLESS_VIEW
from ziggurat.node.address import NetAddress, NodeAddress
from ziggurat.node.address_manager import database, store
from ziggurat.node.address_manager.record import Record
from ziggurat.node.address_manager.store import AddressStore, StoreError, StoreEvents

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

A, B, C = (NetAddress.parse(f"10.{n}.0.1:16111") for n in range(3))


class Log:
    """The events of the store, in order."""

    def __init__(self) -> None:
        self.entries: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
        self.callbacks = StoreEvents(
            lambda added, total: self.entries.put_nowait(("stored", added, total)),
            lambda problem: self.entries.put_nowait(("failed", problem)),
            lambda path, aside, problem: self.entries.put_nowait(("damaged", path.name, aside.name, problem)),
            lambda path: self.entries.put_nowait(("lost", path.name)),
        )

    async def next(self) -> tuple[object, ...]:
        async with asyncio.timeout(20):
            return await self.entries.get()

    def rest(self) -> list[tuple[object, ...]]:
        return [self.entries.get_nowait() for _ in range(self.entries.qsize())]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "addresses.db"


@asynccontextmanager
async def opened(path: Path, log: Log) -> AsyncIterator[tuple[AddressStore, dict[NodeAddress, Record]]]:
    writer, book = await AddressStore.open(path, log.callbacks)
    try:
        yield writer, book
    finally:
        await writer.aclose()


def held(path: Path) -> dict[NodeAddress, Record]:
    with closing(database.connect(path)) as connection:
        return database.read(connection)


def overwrite(path: Path) -> None:
    path.write_bytes(b"x" * 5000)


def writers() -> list[Any]:
    return [thread for thread in threading.enumerate() if thread.name == "address-store"]


async def test_a_reopened_store_has_the_same_book(path: Path) -> None:
    async with opened(path, Log()) as (writer, book):
        assert book == {}
        writer.submit({A: Record(1), B: Record(3)})
    async with opened(path, Log()) as (_, book):
        assert book == {A: Record(1), B: Record(3)}


async def test_what_is_reported_as_stored_is_in_the_file(path: Path) -> None:
    log = Log()
    async with opened(path, log) as (writer, _):
        for book in ({A: Record(1)}, {A: Record(2), B: Record(1)}, {B: Record(1), C: Record(1)}):
            writer.submit(book)
            assert await log.next() == ("stored", 1, len(book))
            assert held(path) == book


async def test_flush_waits_until_all_is_in_the_file(path: Path) -> None:
    async with opened(path, Log()) as (writer, _):
        for failures in range(4):
            writer.submit({A: Record(failures)})
            await writer.flush()
            assert held(path) == {A: Record(failures)}
        await writer.flush()


async def test_closing_writes_the_last_snapshot_and_ends_the_thread(path: Path) -> None:
    writer, _ = await AddressStore.open(path, Log().callbacks)
    writer.submit({A: Record(1)})
    await writer.aclose()

    assert held(path) == {A: Record(1)}
    assert not writers()
    assert not path.with_name(path.name + "-wal").exists()
    await writer.aclose()


async def test_a_locked_file_blocks_neither_the_loop_nor_later_snapshots(path: Path) -> None:
    """Another program locks the file; of the snapshots submitted meanwhile only the last is written."""
    log = Log()
    async with opened(path, log) as (writer, _):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.submit({A: Record(0)})
            flushed = asyncio.create_task(writer.flush())
            for failures in (1, 2, 3):
                writer.submit({A: Record(failures), B: Record(failures)})
                await asyncio.sleep(0)
            assert not flushed.done()
            assert log.rest() == []
            other.execute("ROLLBACK")
        await flushed
        await writer.flush()

        assert held(path) == {A: Record(3), B: Record(3)}
    # The snapshot that the thread was writing when the file was locked, if any, and the last; none in between.
    assert log.rest() in (
        [("stored", 1, 1), ("stored", 1, 2)],  # the first
        [("stored", 2, 2), ("stored", 0, 2)],  # one of the next two
        [("stored", 2, 2)],
    )


async def test_a_failed_write_is_reported_and_made_up_for_by_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.0)
    log = Log()
    async with opened(path, log) as (writer, _):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.submit({A: Record(1)})
            assert await log.next() == ("failed", f"{path}: database is locked")
            other.execute("ROLLBACK")
        writer.submit({A: Record(1), B: Record(1)})
        assert await log.next() == ("stored", 2, 2)
        assert held(path) == {A: Record(1), B: Record(1)}


async def test_a_failed_write_is_retried(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.0)
    monkeypatch.setattr(store, "RETRY_INTERVAL", 0.001)
    log = Log()
    async with opened(path, log) as (writer, _):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.submit({A: Record(1)})
            assert (await log.next())[0] == "failed"
            assert (await log.next())[0] == "failed"
            other.execute("ROLLBACK")
        await writer.flush()

        assert held(path) == {A: Record(1)}
        assert log.rest()[-1] == ("stored", 1, 1)


async def test_closing_does_not_wait_for_a_file_that_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.0)
    log = Log()
    async with opened(path, log) as (writer, _):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writer.submit({A: Record(1)})
        flushed = asyncio.create_task(writer.flush())
        assert (await log.next())[0] == "failed"
    other.close()

    # The waiting flush returns. The failure is reported again, unless the first report came from the last attempt.
    await flushed
    assert [entry[0] for entry in log.rest()] in ([], ["failed"])
    assert held(path) == {}


async def test_a_damaged_file_is_renamed_and_the_book_is_empty(path: Path) -> None:
    overwrite(path)
    log = Log()
    async with opened(path, log) as (writer, book):
        assert book == {}
        assert log.rest() == [("damaged", "addresses.db", "addresses.db.damaged-1", "file is not a database")]
        writer.submit({A: Record(1)})

    assert held(path) == {A: Record(1)}
    assert path.with_name("addresses.db.damaged-1").read_bytes() == b"x" * 5000


async def test_a_file_damaged_while_open_is_written_anew(path: Path) -> None:
    log = Log()
    async with opened(path, log) as (writer, _):
        writer.submit({A: Record(1), B: Record(1)})
        await writer.flush()
        with closing(sqlite3.connect(path)) as other:
            other.executescript("DROP TABLE addresses")
        writer.submit({A: Record(1), B: Record(1), C: Record(1)})
        await writer.flush()

        assert held(path) == {A: Record(1), B: Record(1), C: Record(1)}
    assert log.rest() == [
        ("stored", 2, 2),
        ("damaged", "addresses.db", "addresses.db.damaged-1", "no such table: addresses"),
        ("stored", 3, 3),
    ]


@pytest.mark.parametrize("names", [["addresses.db"], ["addresses.db-wal"], ["addresses.db", "addresses.db-wal"]])
async def test_a_file_deleted_while_open_is_noticed_before_anything_is_reported_as_stored(
    path: Path, names: list[str]
) -> None:
    log = Log()
    async with opened(path, log) as (writer, _):
        writer.submit({A: Record(1), B: Record(1)})
        await writer.flush()
        for name in names:
            path.with_name(name).unlink()
        writer.submit({A: Record(1), B: Record(1), C: Record(1)})
        await writer.flush()

        assert held(path) == {A: Record(1), B: Record(1), C: Record(1)}
    assert [entry[:2] for entry in log.rest()] in (
        [("stored", 2), ("lost", "addresses.db"), ("stored", 3)],
        [("stored", 2), ("lost", "addresses.db"), ("stored", 0)],  # the file was there, and only its log was new
    )


async def test_a_file_replaced_while_open_is_written_anew(path: Path) -> None:
    async with opened(path.with_name("other.db"), Log()) as (writer, _):
        writer.submit({A: Record(3)})
    log = Log()
    async with opened(path, log) as (writer, _):
        writer.submit({A: Record(1), B: Record(1)})
        await writer.flush()
        path.with_name("other.db").replace(path)
        writer.submit({B: Record(2)})
        await writer.flush()

        assert held(path) == {B: Record(2)}
    assert log.rest() == [("stored", 2, 2), ("lost", "addresses.db"), ("stored", 1, 1)]


async def test_a_directory_deleted_while_open_is_a_failed_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RETRY_INTERVAL", 0.001)
    folder = path.parent / "node"
    folder.mkdir()
    log = Log()
    async with opened(folder / path.name, log) as (writer, _):
        shutil.rmtree(folder)
        writer.submit({A: Record(1)})
        assert await log.next() == ("lost", "addresses.db")
        assert (await log.next())[0] == "failed"
        folder.mkdir()
        await writer.flush()

        assert held(folder / path.name) == {A: Record(1)}


async def test_a_file_whose_table_becomes_an_endless_view_is_written_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_OPERATIONS", 100_000)
    log = Log()
    async with opened(path, log) as (writer, _):
        writer.submit({A: Record(1)})
        await writer.flush()
        with closing(sqlite3.connect(path)) as other:
            other.executescript(f"DROP TABLE addresses; {ENDLESS_VIEW} {ENDLESS_TRIGGER}")
        writer.submit({A: Record(2)})
        await writer.flush()

        assert held(path) == {A: Record(2)}
    assert [entry[0] for entry in log.rest()] == ["stored", "damaged", "stored"]


async def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open the address book .*missing.addresses\.db: "):
        await AddressStore.open(tmp_path / "missing" / "addresses.db", Log().callbacks)

    assert not writers()


async def test_a_cancelled_open_leaves_no_thread(path: Path) -> None:
    opening = asyncio.create_task(AddressStore.open(path, Log().callbacks))
    await asyncio.sleep(0)
    (thread,) = writers()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive()


async def test_the_thread_ends_silently_when_the_loop_is_closed(path: Path) -> None:
    """A program that ends without closing the store: no traceback, no hang."""

    def die() -> None:
        loop = asyncio.new_event_loop()
        writer, _ = loop.run_until_complete(AddressStore.open(path, Log().callbacks))
        writer.submit({A: Record(1)})
        loop.close()
        (thread,) = writers()
        thread.close()
        thread.join()

    await asyncio.to_thread(die)

    assert held(path) == {A: Record(1)}
