"""Where the command line's log goes: stderr, an event a line, and a file. The library never configures structlog."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ziggurat.node.cli.console import ConsoleRenderer
from ziggurat.node.cli.terminal import paint_for
from ziggurat.node.config import LogFormat, LogLevel, make_private

__all__ = ["LogFormat", "configure_log"]

LEVELS = {
    "off": logging.CRITICAL,  # the highest that structlog knows; nothing of ours is that loud
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.NOTSET,
}

LOG_FILE = "ziggurat.log"

FILE_SIZE = 10 * 1024 * 1024
"""Bytes of one log file, and `OLD_FILES` older ones beside it: a busy month of a node with some hundred peers."""

OLD_FILES = 4


def configure_log(
    log_format: LogFormat = "auto", level: LogLevel = "info", directory: Path | None = None
) -> Callable[[], None]:
    """Send events to stderr: ``console`` for people, ``json`` an object a line, ``auto`` as suits a terminal or not.

    Args:
        log_format: as above.
        level: the least important events that are shown.
        directory: where log files go, as JSON; ``None`` for none. It is made when it is not there.

    Returns:
        What closes the file; events that come later are lost to it.

    Raises:
        OSError: the file cannot be written.
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
    """A full disk costs the line, and never the dial that it is about."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _FileCopy:
    """Writes each event to a file, too."""

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
        self._closed = True  # the handler itself would open the file again
        self._file.close()
