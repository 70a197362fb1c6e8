"""The address book as a file of SQLite. Everything here blocks, and belongs to the writer's thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from ziggurat.node.address import NetAddress

__all__ = ["Damaged", "connect", "is_damage", "move_damaged_file", "read", "write"]

VERSION = 1
"""``user_version`` of the file."""

BUSY_TIMEOUT = 2.0
"""Seconds, less than a node has to stop. Somebody may look into the file with the sqlite3 command."""

SCHEMA = f"""
BEGIN;
CREATE TABLE addresses (
    ip TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    failures INTEGER NOT NULL CHECK (failures BETWEEN 0 AND 3),
    PRIMARY KEY (ip, port)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""

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
"""The disk, its rights, or the moment are bad, and the file may be good."""


class Damaged(Exception):
    """The file is there and is no address book that we can read."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether what cannot be read or written is bad itself: torn, overwritten, or with other tables in it."""
    # The lower byte is the primary code, the rest its details. An error of Python's own has none: text that is no text.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in ENVIRONMENT_ERRORS


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or make it.

    Raises:
        Damaged: it is no address book, or of a version that we do not know.
        sqlite3.Error: it cannot be opened.
    """
    # Whom a node knows is nobody else's business.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
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
    # In this mode a commit is one append to the log and one fsync, and with FULL it has the fsync before it returns.
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(str(verdict))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables == 0:
        connection.executescript(SCHEMA)
    elif version != VERSION:
        raise Damaged(f"it is of version {version}, and this program knows version {VERSION}")


def read(connection: sqlite3.Connection) -> dict[NetAddress, int]:
    """Read all: the failures of each address.

    Raises:
        Damaged: a row is not what `write` writes.
        sqlite3.Error: the disk failed.
    """
    try:
        rows = connection.execute("SELECT ip, port, failures FROM addresses").fetchall()
        return {NetAddress(ip_address(str(ip)), port): int(failures) for ip, port, failures in rows}
    except ValueError as error:
        raise Damaged(str(error)) from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise


def write(connection: sqlite3.Connection, stored: Mapping[NetAddress, int], wanted: Mapping[NetAddress, int]) -> int:
    """Make the file, which holds ``stored``, hold ``wanted``, in one transaction. When this returns, it is durable.

    Returns:
        How many addresses are new in the file.

    Raises:
        sqlite3.Error: nothing of it was written.
    """
    gone = [(str(address.ip), address.port) for address in stored if address not in wanted]
    changed = [
        (str(address.ip), address.port, failures)
        for address, failures in wanted.items()
        if stored.get(address) != failures
    ]
    if not gone and not changed:
        return 0
    # Entered as a context, a connection commits, or rolls back when it leaves by an error.
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM addresses WHERE ip = ? AND port = ?", gone)
        connection.executemany("INSERT OR REPLACE INTO addresses VALUES (?, ?, ?)", changed)
    return len(wanted) - len(stored) + len(gone)


def move_damaged_file(path: Path) -> Path:
    """Rename a damaged file, its log too, so that a new one can take its place and nobody's data are deleted.

    Returns:
        The new path: ``addresses.db.damaged-1`` or the first number that is free.

    Raises:
        OSError: it cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    # The logs first: were they left beside a new file, SQLite would take them for the new one's.
    for suffix in ("-wal", "-shm", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists():
            log.rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    return aside
