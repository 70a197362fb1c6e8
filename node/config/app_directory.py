"""Where a node keeps what it has: one directory a network, for one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DirectoryInUse", "default_app_directory", "locked", "make_private"]

LOCK_FILE = "ziggurat.lock"


class DirectoryInUse(OSError):
    """Another process works in the directory. ``pid`` is its number, ``None`` when it has not said it."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        super().__init__(f"{directory} is in use by {'another process' if pid is None else f'pid {pid}'}")
        self.directory = directory
        self.pid = pid


def default_app_directory(environ: Mapping[str, str]) -> Path:
    """Where things are kept when nobody says where.

    Args:
        environ: ``STATE_DIRECTORY`` is systemd's (systemd.exec(5), a list with colons); ``XDG_STATE_HOME`` is the
            XDG base directory specification's, by which a path that is not absolute is not used.
    """
    if state := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(state)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "ziggurat"
    base = Path(environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "ziggurat"


def make_private(directory: Path) -> None:
    """Make a directory, and what is missing above it, for its owner alone. One that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if not directory.is_dir():
        if directory.parent != directory:
            make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def locked(directory: Path) -> Generator[Path, None, None]:
    """Make the directory when it is not there, and keep other processes out of it for the length of a ``with`` block.

    The lock goes with the process, so that nothing is left to clean up after a ``kill -9``. The file stays: to remove
    it would let two processes lock two files of one name.

    Raises:
        DirectoryInUse: another process has it.
        OSError: it cannot be made, or written to; or this system has no ``flock`` (Windows).
    """
    try:
        import fcntl  # here: only a running node needs POSIX
    except ImportError:
        raise OSError("a node needs file locks as POSIX systems have them; this system has none") from None
    make_private(directory)
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).strip()
            raise DirectoryInUse(directory, int(holder) if holder.isdigit() else None) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield directory
    finally:
        os.close(descriptor)
