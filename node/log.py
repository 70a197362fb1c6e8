"""Where the command line's log goes: stderr, an event a line. The library itself never configures structlog."""

from __future__ import annotations

import sys
from typing import Literal, TypeAlias

import structlog

from ziggurat.node.terminal import colours_wanted

__all__ = ["LogFormat", "configure_log"]

LogFormat: TypeAlias = Literal["auto", "console", "json"]


def configure_log(log_format: LogFormat = "auto") -> None:
    """Send events to stderr: ``console`` for people, ``json`` an object a line, ``auto`` as suits a terminal or not."""
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    render: structlog.types.Processor
    if log_format == "console":
        render = structlog.dev.ConsoleRenderer(colors=colours_wanted(sys.stderr))
    else:
        render = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
