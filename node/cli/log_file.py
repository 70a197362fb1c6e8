"""The log's file, of bounded size. Nothing here may hang: it is opened without waiting, and has no buffer."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ziggurat.node.config import make_private

__all__ = ["LOG_FILE", "LogFile"]

LOG_FILE = "ziggurat.log"

FILE_SIZE = 10 * 1024 * 1024
"""Bytes of one log file. With `OLD_FILES` older ones, it holds a busy month of a node with a hundred peers."""

OLD_FILES = 4


class LogFile:
    """A file that lines are appended to. A full one becomes ``ziggurat.log.1``, and so on.

    Args:
        directory: the directory; it is created if it is missing.

    Raises:
        OSError: the file cannot be opened, or is a pipe.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOG_FILE
        self._torn = False
        self._descriptor = self._open()

    def write(self, line: str) -> None:
        """Append a line.

        Raises:
            OSError: it could not be written, as on a full disk.
        """
        data = line.encode("utf-8", "backslashreplace")
        if self._torn:  # the disk was full within a line
            data = b"\n" + data
        self._make_room(len(data))
        while data:
            written = os.write(self._descriptor, data)
            data = data[written:]
            self._torn = bool(data)

    def reopen(self) -> None:
        """Open the file again by its name, after logrotate(8) has renamed the old one.

        Raises:
            OSError: it cannot be opened; the old one stays in use.
        """
        before, self._descriptor = self._descriptor, self._open()
        self._torn = False
        os.close(before)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        make_private(self.path.parent)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISFIFO(self.path.stat().st_mode):  # it could only be opened while another program reads it
                raise OSError(None, f"{self.path.name} is a pipe, not a file")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        return os.open(self.path, flags, 0o666)

    def _make_room(self, size: int) -> None:
        """Start a new file if the line does not fit. If that fails, the old one grows further."""
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0 or status.st_size + size <= FILE_SIZE:
            return
        with contextlib.suppress(OSError):
            for number in range(OLD_FILES, 0, -1):
                newer = self.path if number == 1 else self.path.with_name(f"{LOG_FILE}.{number - 1}")
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(self.path.with_name(f"{LOG_FILE}.{number}"))
            self.reopen()
