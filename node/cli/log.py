"""The command's log: one event per line, on stderr and in a file. The library itself never configures structlog."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ziggurat.layers.events import write_event
from ziggurat.node.cli.console import ConsoleRenderer
from ziggurat.node.cli.terminal import paint_for
from ziggurat.node.config import LogFormat, LogLevel, make_private
from ziggurat.services.errors import one_line

__all__ = ["LogFormat", "configure_log"]

LEVELS = {
    "off": logging.CRITICAL,  # structlog's highest level; we log nothing at it
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.NOTSET,
}

LOG_FILE = "ziggurat.log"

FILE_SIZE = 10 * 1024 * 1024
"""Bytes of one log file. With `OLD_FILES` older ones, it holds a busy month of a node with a hundred peers."""

OLD_FILES = 4


def configure_log(
    log_format: LogFormat = "auto", level: LogLevel = "info", directory: Path | None = None
) -> Callable[[], None]:
    """Send events to stderr, and with a ``directory`` to a file as well.

    Args:
        log_format: ``console`` is for people, ``json`` one object per line; ``auto`` is ``console`` on a terminal.
        level: the minimum level of events.
        directory: the directory for log files, always JSON; ``None`` writes none. It is created if it is missing.

    Returns:
        A function that closes the file. Later events are not written to it.

    Raises:
        OSError: the file cannot be opened.
    """
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    close: Callable[[], None] = _no_file
    if directory is not None:
        copy = _FileCopy(directory)
        processors.append(copy)
        close = copy.close
    render: Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        render = ConsoleRenderer(paint_for(sys.stderr))
    structlog.configure(
        processors=[*processors, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    return close


def _no_file() -> None:
    pass


class _QuietFile(RotatingFileHandler):
    """A log file that drops a line it cannot write, as on a full disk, instead of failing the caller.

    The first such line is an event, ``log.not_written`` (``path``, ``error``), and so is the first after one that could
    be written.
    """

    _fails = False

    def emit(self, record: logging.LogRecord) -> None:
        failed_before, self._fails = self._fails, False
        super().emit(record)
        if self._fails and not failed_before:
            # It comes back here as a line, which fails silently.
            write_event(None, "warning", "log.not_written", path=self.baseFilename, error=self._error)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the last lines are still to be written, and the disk is still full
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        self._fails = True
        self._error = one_line(str(sys.exc_info()[1]))


class _FileCopy:
    """A structlog processor that copies each event to a file."""

    def __init__(self, directory: Path) -> None:
        make_private(directory)
        self._closed = False
        self._file = _QuietFile(directory / LOG_FILE, maxBytes=FILE_SIZE, backupCount=OLD_FILES, encoding="utf-8")
        self._file.setFormatter(logging.Formatter("%(message)s"))

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        line = json.dumps(event, default=repr)
        if not self._closed:
            self._file.handle(logging.LogRecord("ziggurat", logging.INFO, __file__, 0, "%s", (line,), None))
        return event

    def close(self) -> None:
        self._closed = True  # the handler would reopen the file
        self._file.close()
