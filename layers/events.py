"""Logging of the layers' events.

Events go to structlog if the program has configured it. Otherwise structlog would print them to stdout, so they go to
the standard library's logger ``ziggurat``, which by default shows only warnings, on stderr. Writing an event never
fails a dial.
"""

from __future__ import annotations

import logging
from typing import Literal, Protocol, TypeAlias, cast

import structlog

from ziggurat.services.errors import one_line

__all__ = ["EventLogger", "Level", "write_event"]

Level: TypeAlias = Literal["debug", "info", "warning"]

NAME = "ziggurat"
"""The logger's name, in structlog and in the standard library."""


class EventLogger(Protocol):
    """A logger for events. Every structlog logger is one; the standard library's loggers are not."""

    def debug(self, event: str, /, **fields: object) -> object: ...
    def info(self, event: str, /, **fields: object) -> object: ...
    def warning(self, event: str, /, **fields: object) -> object: ...


def write_event(logger: EventLogger | None, level: Level, event: str, /, **fields: object) -> None:
    """Write an event. An exception in the logger is reported to the standard library's logger and not raised.

    Args:
        logger: where to write; ``None`` for structlog, or the standard library's logger while structlog is not
            configured.
        level: the severity.
        event: a dotted name, e.g. ``dial.failed``.
        **fields: plain values.
    """
    try:
        if logger is None:
            if not structlog.is_configured():
                _write_plain(level, event, fields)
                return
            # Looked up each time: a program may configure structlog after it has built its stacks.
            logger = cast(EventLogger, structlog.get_logger(NAME))
        getattr(logger, level)(event, **fields)
    except Exception as error:
        # Without the error's text, which may reveal a masked target.
        logging.getLogger(NAME).warning("the event %s was lost: the logger raised %s", event, type(error).__name__)


def _write_plain(level: Level, event: str, fields: dict[str, object]) -> None:
    plain = logging.getLogger(NAME)
    number = getattr(logging, level.upper())
    if plain.isEnabledFor(number):
        shown = [f"{key}={value}" for key, value in fields.items() if value is not None]
        plain.log(number, "%s", one_line(" ".join([event, *shown])))
