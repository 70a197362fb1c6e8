from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.address import AddressNetwork, NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.address_manager import database
from ziggurat.node.address_manager.database import Damaged
from ziggurat.node.address_manager.record import Record
from ziggurat.services.onion import OnionAddress

BOOK = {NetAddress.parse(f"10.0.{n % 256}.{n // 256}", 16111): Record(n % 4) for n in range(300)}
SIX = NetAddress.parse("[2001:db8::1]:7")
ONIONS = [OnionNetAddress(OnionAddress(bytes([n]) * 32), 16111) for n in range(3)]
IPV4, IPV6, ONION = AddressNetwork


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
ENDLESS_VIEW = (
    f"CREATE VIEW addresses AS {NUMBERS} SELECT '10.0.0.1' AS host, i % 9 AS port, 0 AS failures, '' AS told_by FROM n;"
)
ENDLESS_TRIGGER = f"""
CREATE TRIGGER endless INSTEAD OF INSERT ON addresses BEGIN
    INSERT INTO elsewhere {NUMBERS} SELECT i FROM n;
END;
CREATE TABLE elsewhere (i);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "addresses.db"


def fill(path: Path, book: dict[NodeAddress, Record]) -> None:
    with closing(database.connect(path)) as connection:
        database.write(connection, {}, book)


def held(path: Path) -> dict[NodeAddress, Record]:
    with closing(database.connect(path)) as connection:
        return database.read(connection)


def script(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(text)

    return change


def test_what_was_written_is_read_back(path: Path) -> None:
    fill(path, {**BOOK, SIX: Record(2)})

    assert held(path) == {**BOOK, SIX: Record(2)}


def test_onion_services_and_who_told_an_address_are_read_back(path: Path) -> None:
    book = {
        ONIONS[0]: Record(0, frozenset({ONION})),
        ONIONS[1]: Record(3, frozenset({IPV4, ONION})),
        SIX: Record(1, frozenset(AddressNetwork)),
    }
    fill(path, book)

    assert held(path) == book


VERSION_1 = """
CREATE TABLE addresses (
    ip TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    failures INTEGER NOT NULL CHECK (failures BETWEEN 0 AND 3),
    PRIMARY KEY (ip, port)
) WITHOUT ROWID;
INSERT INTO addresses VALUES ('10.0.0.1', 16111, 0), ('10.0.0.1', 5, 3), ('2001:db8::1', 7, 2);
PRAGMA user_version = 1;
"""
"""A file as version 0.1.0 wrote it."""


def test_a_book_of_the_first_version_loses_nothing(path: Path) -> None:
    script(VERSION_1)(path)
    four = NetAddress.parse("10.0.0.1:16111")
    converted = {
        four: Record(0, frozenset({IPV4})),
        NetAddress(four.ip, 5): Record(3, frozenset({IPV4})),
        SIX: Record(2, frozenset({IPV6})),
    }

    assert held(path) == converted
    assert held(path) == converted  # and again, now as of this version
    with closing(database.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        database.write(connection, converted, {SIX: Record(1)})
    assert held(path) == {SIX: Record(1)}


@pytest.mark.parametrize(
    "damage",
    [
        "CREATE TABLE wallet (secret)",
        "ALTER TABLE addresses RENAME COLUMN port TO door",
        "CREATE TRIGGER t AFTER INSERT ON addresses BEGIN DELETE FROM addresses; END",
    ],
)
def test_another_table_is_not_taken_for_that_of_the_first_version(path: Path, damage: str) -> None:
    script(VERSION_1 + damage)(path)

    with pytest.raises(Damaged, match="not the table of an address book"):
        held(path)


def test_a_conversion_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    """A disk that is full, or a lock of another program."""
    script(VERSION_1)(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL").fetchone()
        other.execute("BEGIN IMMEDIATE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "BUSY_TIMEOUT", 0.0)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                held(path)
        other.rollback()
        assert other.execute("SELECT count(*) FROM addresses").fetchone() == (3,)
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
    assert len(held(path)) == 3


def test_a_commit_waits_for_the_disk(path: Path) -> None:
    with closing(database.connect(path)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    fill(path, BOOK)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


records = st.builds(Record, st.integers(0, 3), st.frozensets(st.sampled_from(AddressNetwork)))
books = st.dictionaries(st.sampled_from([*sorted(BOOK, key=str)[:9], SIX, *ONIONS]), records)


@settings(deadline=None, max_examples=60)
@given(st.lists(books, max_size=5))
def test_each_write_makes_the_file_equal_to_the_book(history: list[dict[NodeAddress, Record]]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(database.SCHEMA)
        stored: dict[NodeAddress, Record] = {}
        for book in history:
            assert database.write(connection, stored, book) == len(set(book) - set(stored))
            assert database.read(connection) == book
            stored = book


def test_a_failed_write_changes_nothing(path: Path) -> None:
    with closing(database.connect(path)) as connection:
        database.write(connection, {}, BOOK)
        with pytest.raises(sqlite3.IntegrityError):
            database.write(connection, BOOK, {SIX: Record(1), next(iter(BOOK)): Record(9)})
        assert database.read(connection) == BOOK


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite_all(path: Path) -> None:
    path.write_bytes(b"not a database, but some text that is longer than a header " * 50)


def overwrite_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        overwrite_all,
        overwrite_a_page,
        script("PRAGMA user_version = 3"),
        script("PRAGMA user_version = 0"),
        script("DROP TABLE addresses"),
        script("ALTER TABLE addresses RENAME COLUMN port TO door"),
        script(f"DROP TABLE addresses; {ENDLESS_VIEW}"),
        script("CREATE TRIGGER t AFTER INSERT ON addresses BEGIN DELETE FROM addresses; END"),
        script("CREATE TABLE wallet (secret)"),
        script("UPDATE addresses SET host = 'nonsense' WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET host = '::ffff:10.0.0.0' WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET host = X'0a000000' WHERE host = '10.0.0.0'"),
        script(f"UPDATE addresses SET host = '{'a' * 56}.onion' WHERE host = '10.0.0.0'"),
        script(f"UPDATE addresses SET host = '{str(ONIONS[0].onion).upper()}' WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET told_by = 'ipv5' WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET told_by = 'onion ipv4' WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET port = 1.5 WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET failures = 1.5 WHERE host = '10.0.0.0'"),
        script("UPDATE addresses SET host = CAST(X'FF' AS TEXT) WHERE host = '10.0.0.0'"),
        script("PRAGMA ignore_check_constraints = 1; UPDATE addresses SET port = 70000 WHERE host = '10.0.0.0'"),
        script("PRAGMA ignore_check_constraints = 1; UPDATE addresses SET failures = 4 WHERE host = '10.0.0.0'"),
    ],
)
def test_damage_is_detected_when_the_file_is_opened_or_read(path: Path, damage: Callable[[Path], None]) -> None:
    fill(path, BOOK)
    damage(path)

    with pytest.raises(Damaged):
        held(path)


def test_a_file_with_too_many_rows_or_bytes_is_not_an_address_book(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, BOOK)
    monkeypatch.setattr(database, "MAX_ROWS", len(BOOK))
    assert held(path) == BOOK

    monkeypatch.setattr(database, "MAX_ROWS", len(BOOK) - 1)
    with pytest.raises(Damaged, match="more than 299 rows"):
        held(path)

    os.truncate(path, database.MAX_FILE_SIZE + 1)
    with pytest.raises(Damaged, match="67108865 bytes"):
        held(path)


def test_a_statement_that_does_not_end_is_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MAX_OPERATIONS", 100_000)
    with closing(database.connect(path)) as connection:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute(f"{NUMBERS} SELECT count(*) FROM n").fetchone()
        assert database.is_damage(caught.value)


def test_the_file_of_a_full_book_is_checked_in_a_fiftieth_of_what_one_statement_may_take(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_OPERATIONS", database.MAX_OPERATIONS // 50)
    everybody = frozenset(AddressNetwork)
    full: dict[NodeAddress, Record] = {}
    for n in range(1, 4097):
        onion = OnionNetAddress(OnionAddress(n.to_bytes(32)), 65535)
        for address in (NetAddress(IPv4Address(n << 16), 65535), NetAddress(IPv6Address(n << 64), 65535), onion):
            full[address] = Record(n % 4, everybody)
    fill(path, full)

    assert held(path) == full
    assert path.stat().st_size < database.MAX_FILE_SIZE // 30


def test_a_table_that_is_written_differently_is_the_same_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(" ".join(database.SCHEMA.split()))

    assert held(path) == {}


def test_statistics_of_sqlite_are_no_damage(path: Path) -> None:
    fill(path, BOOK)
    script("ANALYZE")(path)

    assert held(path) == BOOK


def test_an_empty_file_is_a_new_book(path: Path) -> None:
    path.touch()

    assert held(path) == {}


def test_a_file_that_cannot_be_opened_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        database.connect(tmp_path / "missing" / "addresses.db")
    with pytest.raises(IsADirectoryError):
        database.connect(tmp_path)


def test_a_locked_file_is_not_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.0)
    fill(path, BOOK)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            held(path)


def test_a_damaged_file_is_renamed_with_its_logs_and_overwrites_nothing(path: Path) -> None:
    for number in (1, 2):
        path.write_bytes(b"file %d" % number)
        path.with_name("addresses.db-wal").write_bytes(b"log %d" % number)
        assert database.move_damaged_file(path) == path.with_name(f"addresses.db.damaged-{number}")

    assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == {
        "addresses.db.damaged-1": b"file 1",
        "addresses.db.damaged-1-wal": b"log 1",
        "addresses.db.damaged-2": b"file 2",
        "addresses.db.damaged-2-wal": b"log 2",
    }
