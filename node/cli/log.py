"""The command's log: one event per line, on stderr and in a file. The library itself never configures structlog."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ziggurat.layers.events import write_event
from ziggurat.node.cli.console import ConsoleRenderer
from ziggurat.node.cli.line_writer import LineWriter
from ziggurat.node.cli.log_file import LogFile
from ziggurat.node.cli.terminal import paint_for, unbuffered
from ziggurat.node.config import LogFormat, LogLevel
from ziggurat.services.errors import one_line

__all__ = ["Log", "LogFormat", "configure_log"]

LEVELS = {
    "off": logging.CRITICAL,  # structlog's highest level; we log nothing at it
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.NOTSET,
}

STAMPS: tuple[Processor, ...] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


class Log:
    """The log of a running command."""

    def __init__(self) -> None:
        self.writers: list[LineWriter] = []
        self.file: LogFile | None = None
        self.records: _Records | None = None

    def reopen(self) -> None:
        """Open the log file again by its name. It may be called in a signal handler."""
        if self.file is not None:
            self.writers[-1].call(self._reopen)

    def close(self) -> None:
        """Write what is still to be written, as far as that is possible within a second. Later events are discarded."""
        if self.records is not None:
            logging.getLogger().removeHandler(self.records)
            logging.captureWarnings(False)
        written = [writer.close() for writer in self.writers]
        if self.file is not None and written[-1]:
            self.file.close()
        self.writers, self.file, self.records = [], None, None

    def _reopen(self) -> None:
        assert self.file is not None
        path = str(self.file.path)
        try:
            self.file.reopen()
        except OSError as error:
            write_event(None, "warning", "log.not_reopened", path=path, error=error.strerror)
        else:
            write_event(None, "info", "log.reopened", path=path)


def configure_log(
    log_format: LogFormat = "auto", level: LogLevel = "info", directory: Path | None = None, *, queued: bool = False
) -> Log:
    """Send events to stderr, and with a ``directory`` to a file as well.

    Args:
        log_format: ``console`` is for people, ``json`` one object per line; ``auto`` is ``console`` on a terminal.
        level: the minimum level of events.
        directory: the directory for log files, always JSON; ``None`` writes none. It is created if it is missing.
        queued: whether a thread writes to stderr, so that a full pipe stops nothing. What libraries log then becomes
            events, too (``library.logged``). A command that ends after its result does without: its lines come in
            order with what it prints.

    Raises:
        OSError: the file cannot be opened.
    """
    log = Log()
    if directory is not None:
        log.file = LogFile(directory)
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    render = ConsoleRenderer(paint_for(sys.stderr), moving=moving) if log_format == "console" else _to_json
    write = unbuffered(sys.stderr)
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        *STAMPS,
        structlog.processors.format_exc_info,
    ]
    if queued:
        log.writers.append(LineWriter(write, _dropped_line(render), "ziggurat-log-stderr"))
        log.records = _Records(logging.WARNING)
        logging.getLogger().addHandler(log.records)
        logging.captureWarnings(True)
    lines = _Lines(log.writers[0].write if queued else _direct(write))
    if log.file is not None:
        log.writers.append(LineWriter(log.file.write, _dropped_line(_to_json), "ziggurat-log-file"))
        processors.append(_Copy(log.writers[-1]))
    structlog.configure(
        processors=[*processors, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *names: lines,
    )
    return log


class _Render(Protocol):
    def __call__(self, logger: WrappedLogger, method: str, event: EventDict, /) -> str: ...


def _to_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return json.dumps(event, default=repr)


class _Lines:
    """structlog's innermost logger: takes rendered lines."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = write


class _Copy:
    """A structlog processor that copies each event to a file."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        self._writer.write(_to_json(logger, method, event))
        return event


class _Records(logging.Handler):
    """Writes what libraries log, and Python's warnings, as events: elsewhere they would go past the queue."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:  # the library's mistake: its arguments do not fit
            message = f"{record.msg!r}: {type(error).__name__}"
        write_event(None, "warning", "library.logged", logger=record.name, message=one_line(message))


def _direct(write: Callable[[str], None]) -> Callable[[str], None]:
    def write_line(line: str) -> None:
        try:
            write(f"{line}\n")
        except OSError:  # nobody can be told
            pass

    return write_line


def _dropped_line(render: _Render) -> Callable[[int], str]:
    """Return a function that renders ``log.dropped``, for one writer alone."""

    def dropped_line(count: int) -> str:
        rendered: list[str] = []
        processors: Sequence[Processor] = [*STAMPS, render]
        logger = structlog.wrap_logger(
            _Lines(rendered.append),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        )
        write_event(logger, "warning", "log.dropped", count=count)
        return rendered[0]

    return dropped_line
