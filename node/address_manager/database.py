"""The address book as an SQLite file. All calls block, and run in the writer thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from ziggurat.node.address import AddressNetwork, NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.address_manager.record import Record
from ziggurat.services.onion import OnionAddress, is_onion

__all__ = [
    "Damaged",
    "FileId",
    "connect",
    "file_id",
    "is_damage",
    "move_damaged_file",
    "read",
    "remove_orphaned_log",
    "write",
]

VERSION = 2
"""Schema version, kept in the file's ``user_version``. Version 1 had IP addresses only, told by anybody."""

BUSY_TIMEOUT = 2.0
"""Seconds to wait for a lock, such as that of the sqlite3 command. Shorter than the time that a node has to stop."""

MAX_ROWS = 65_536
"""Rows that are read; no book has as many. A file with more is not ours."""

MAX_FILE_SIZE = 64 * 1024 * 1024
"""Bytes of a file that is read; a full book has less than one hundredth."""

MAX_OPERATIONS = 20_000_000
"""Instructions of SQLite's virtual machine for one statement, about a second: checking a full book takes a fiftieth.
Views and triggers that another program has left in the file may never end."""

TABLE = """\
CREATE TABLE addresses (
    host TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    failures INTEGER NOT NULL CHECK (failures BETWEEN 0 AND 3),
    told_by TEXT NOT NULL,
    PRIMARY KEY (host, port)
) WITHOUT ROWID"""

SCHEMA = f"""
BEGIN;
{TABLE};
PRAGMA user_version = {VERSION};
COMMIT;
"""

TABLE_1 = """\
CREATE TABLE addresses (
    ip TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    failures INTEGER NOT NULL CHECK (failures BETWEEN 0 AND 3),
    PRIMARY KEY (ip, port)
) WITHOUT ROWID"""
"""The table of version 1."""

FROM_1_TO_2 = f"""
BEGIN IMMEDIATE;
ALTER TABLE addresses RENAME TO addresses_1;
{TABLE};
INSERT INTO addresses
    SELECT ip, port, failures, CASE WHEN instr(ip, ':') THEN 'ipv6' ELSE 'ipv4' END FROM addresses_1;
DROP TABLE addresses_1;
PRAGMA user_version = {VERSION};
COMMIT;
"""
"""Peers of one family are told of its own addresses then: it is not known from which ones each came."""

ENVIRONMENT_ERRORS = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""Errors of the disk, of permissions, or of the moment: the file itself may be intact."""


class Damaged(Exception):
    """The file exists, but is not an address book that this version can read."""


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error means a damaged file: torn, overwritten, or with other tables."""
    # The low byte is the primary code. Errors raised by Python itself have no code: text that is not UTF-8.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in ENVIRONMENT_ERRORS


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or create it.

    Raises:
        Damaged: the file is not an address book, or has an unknown version.
        sqlite3.Error: the file cannot be opened.
    """
    # The peers of a node are private: only the owner may read the file.
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > MAX_FILE_SIZE:
        raise Damaged(f"{size} bytes are too many for an address book")
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        _prepare(connection)
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.set_progress_handler(lambda: 1, MAX_OPERATIONS)
    # With WAL a commit is one append and one fsync; with FULL the fsync is done before the commit returns.
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(str(verdict))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    # Names that begin with sqlite_ are SQLite's own: statistics, for one.
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'").fetchmany(9)
    if version == 0 and not found:
        connection.executescript(SCHEMA)
        return
    if version not in (1, VERSION):
        raise Damaged(f"version {version}, but this program reads versions 1 to {VERSION} only")
    table = TABLE_1 if version == 1 else TABLE
    if [(kind, name, _without_spaces(sql)) for kind, name, sql in found] != [
        ("table", "addresses", _without_spaces(table))
    ]:
        names = ", ".join(f"{kind} {name}" for kind, name, _ in found) or "nothing"
        raise Damaged(f"not the table of an address book, but {names}")
    if version == 1:
        _convert(connection)


def _convert(connection: sqlite3.Connection) -> None:
    """Turn a file of version 1 into one of this version: all of it, or nothing."""
    try:
        connection.executescript(FROM_1_TO_2)
    except sqlite3.Error:
        if connection.in_transaction:
            connection.rollback()
        raise


def _without_spaces(sql: str | None) -> str:
    """Return a definition as it compares: SQLite keeps it as it was written."""
    return "".join((sql or "").split())


def read(connection: sqlite3.Connection) -> dict[NodeAddress, Record]:
    """Return the record of each address in the file. An onion service's name is verified.

    Raises:
        Damaged: a row is not one that `write` writes.
        sqlite3.Error: the disk failed.
    """
    try:
        rows = connection.execute("SELECT host, port, failures, told_by FROM addresses").fetchmany(MAX_ROWS + 1)
        if len(rows) > MAX_ROWS:
            raise Damaged(f"more than {MAX_ROWS} rows")
        return dict(map(_entry, rows))
    except ValueError as error:
        raise Damaged(str(error)) from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise


def _entry(row: tuple[object, object, object, object]) -> tuple[NodeAddress, Record]:
    host, port, failures, told_by = row
    if (
        isinstance(host, str)
        and type(port) is int
        and type(failures) is int
        and 0 <= failures <= 3
        and isinstance(told_by, str)
    ):
        onion = is_onion(host)
        address = OnionNetAddress(OnionAddress.parse(host), port) if onion else NetAddress(ip_address(host), port)
        networks = frozenset(map(AddressNetwork, told_by.split()))
        if address.host == host and _text(networks) == told_by:
            return address, Record(failures, networks)
    raise ValueError(f"a row of another program: {row!r}")


def _text(networks: frozenset[AddressNetwork]) -> str:
    return " ".join(network for network in AddressNetwork if network in networks)


def write(
    connection: sqlite3.Connection, stored: Mapping[NodeAddress, Record], wanted: Mapping[NodeAddress, Record]
) -> int:
    """Turn the file's contents from ``stored`` into ``wanted``, in one transaction, durable on return.

    Returns:
        The number of addresses new in the file.

    Raises:
        sqlite3.Error: the write failed; the file is unchanged.
    """
    gone = [(address.host, address.port) for address in stored if address not in wanted]
    changed = [
        (address.host, address.port, record.failures, _text(record.told_by))
        for address, record in wanted.items()
        if stored.get(address) != record
    ]
    if not gone and not changed:
        return 0
    # The connection's context manager commits, or rolls back on an exception.
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM addresses WHERE host = ? AND port = ?", gone)
        connection.executemany("INSERT OR REPLACE INTO addresses VALUES (?, ?, ?, ?)", changed)
    return len(wanted) - len(stored) + len(gone)


FileId: TypeAlias = tuple[tuple[int, int] | None, tuple[int, int] | None]


def file_id(path: Path) -> FileId:
    """Return what identifies the file and its log: another value means that one was deleted or replaced.

    An open connection does not notice that: it goes on writing to a file that has no name any more.
    """
    return _inode(path), _inode(path.with_name(f"{path.name}-wal"))


def remove_orphaned_log(path: Path, before: FileId) -> None:
    """Remove the log of a file that has been deleted or replaced: SQLite would apply it to the new file.

    Args:
        path: the file, whose connection has been closed.
        before: its `file_id` while it was open.

    Raises:
        OSError: the log cannot be removed.
    """
    file, log = file_id(path)
    if file != before[0] and log is not None and log == before[1]:
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def move_damaged_file(path: Path) -> Path:
    """Rename a damaged file and its logs, which makes room for a new file without deleting data.

    Returns:
        The new path: ``addresses.db.damaged-1``, or the first free number.

    Raises:
        OSError: the file cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    # The logs first: left beside a new file, they would be applied to it by SQLite.
    for suffix in ("-wal", "-shm", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists():
            log.rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    return aside
