"""Where layers write what happens.

Events go to structlog when the program has configured it. When it has not, structlog would print them into the
program's stdout, so they go to the standard library's logger ``ziggurat`` instead, which by default shows warnings on
stderr and nothing else. Writing an event never fails a dial.
"""

from __future__ import annotations

import logging
from typing import Literal, Protocol, TypeAlias, cast

import structlog

from ziggurat.services.errors import one_line

__all__ = ["EventLogger", "Level", "write_event"]

Level: TypeAlias = Literal["debug", "info", "warning"]

NAME = "ziggurat"
"""Of the logger, in structlog and in the standard library."""


class EventLogger(Protocol):
    """What an event is written to. Every structlog logger is one; one of the standard library's is not."""

    def debug(self, event: str, /, **fields: object) -> object: ...
    def info(self, event: str, /, **fields: object) -> object: ...
    def warning(self, event: str, /, **fields: object) -> object: ...


def write_event(logger: EventLogger | None, level: Level, event: str, /, **fields: object) -> None:
    """Write an event. A logger that fails is reported to the standard library's, and is no error of the caller.

    Args:
        logger: ``None`` takes structlog's, or the standard library's while structlog is not configured.
        level: how loud.
        event: dotted, e.g. ``dial.failed``.
        **fields: plain values.
    """
    try:
        if logger is None:
            if not structlog.is_configured():
                _write_plain(level, event, fields)
                return
            # Asked for each time: a program may configure structlog after it has built its stacks.
            logger = cast(EventLogger, structlog.get_logger(NAME))
        getattr(logger, level)(event, **fields)
    except Exception as error:
        # Without the error's text, which may quote what the event was to hide.
        logging.getLogger(NAME).warning("the event %s was lost: the logger raised %s", event, type(error).__name__)


def _write_plain(level: Level, event: str, fields: dict[str, object]) -> None:
    plain = logging.getLogger(NAME)
    number = getattr(logging, level.upper())
    if plain.isEnabledFor(number):
        shown = [f"{key}={value}" for key, value in fields.items() if value is not None]
        plain.log(number, "%s", one_line(" ".join([event, *shown])))
