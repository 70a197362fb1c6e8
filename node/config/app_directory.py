"""The app directory: one subdirectory per network, each used by one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DirectoryInUse", "default_app_directory", "locked", "make_private"]

LOCK_FILE = "ziggurat.lock"


class DirectoryInUse(OSError):
    """Another process uses the directory. ``pid`` is its process ID; ``None`` if it has not written one."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        super().__init__(f"{directory} is in use by {'another process' if pid is None else f'pid {pid}'}")
        self.directory = directory
        self.pid = pid


def default_app_directory(environ: Mapping[str, str]) -> Path:
    """Return the app directory to use by default.

    Args:
        environ: the environment. ``STATE_DIRECTORY`` is set by systemd (systemd.exec(5); a colon-separated list);
            ``XDG_STATE_HOME`` is from the XDG base directory specification, which ignores relative paths.
    """
    if state := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(state)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "ziggurat"
    base = Path(environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "ziggurat"


def make_private(directory: Path) -> None:
    """Create a directory and its missing parents with mode 0700. Existing directories are not changed.

    Raises:
        OSError: the directory cannot be created.
    """
    if not directory.is_dir():
        if directory.parent != directory:
            make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def locked(directory: Path) -> Generator[Path, None, None]:
    """Create the directory if it is missing, and hold its lock for the length of a ``with`` block.

    The kernel releases the lock when the process ends, even after ``kill -9``. The file is never removed: otherwise two
    processes could each lock a different file of the same name.

    Raises:
        DirectoryInUse: another process holds the lock.
        OSError: the directory cannot be created or written to, or the system has no ``flock`` (Windows).
    """
    try:
        import fcntl  # here: only a running node needs POSIX
    except ImportError:
        raise OSError("a node needs POSIX file locks (fcntl.flock), which this system lacks") from None
    make_private(directory)
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).strip()
            raise DirectoryInUse(directory, int(holder) if holder.isdigit() else None) from None
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:  # a full disk; the error of a descriptor does not name its file
            raise OSError(error.errno, error.strerror, str(directory / LOCK_FILE)) from error
        yield directory
    finally:
        os.close(descriptor)
