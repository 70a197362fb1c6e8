"""Exceptions that nothing handles: an event each, where Python would print a traceback to stderr."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

from ziggurat.layers.events import write_event
from ziggurat.services.errors import one_line

__all__ = ["UnhandledErrors"]

INTERVAL = 1.0
"""Seconds between two events about the same error at the same place."""

MAX_KINDS = 100
"""Kinds of errors to remember."""

Context: TypeAlias = dict[str, object]


class UnhandledErrors:
    """Writes ``error.unhandled`` (``message``, ``error``, ``where``, ``more``): at most one a second of a kind.

    Args:
        clock: the clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, str, str | None], tuple[float, int]] = {}

    @contextmanager
    def reported(self) -> Generator[None, None, None]:
        """Report errors of the running loop, of threads and of destructors, for the length of a ``with`` block."""
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler(), threading.excepthook, sys.unraisablehook
        loop.set_exception_handler(lambda _, context: self.in_loop(context))
        threading.excepthook = self.in_thread
        sys.unraisablehook = lambda args: self.write("an exception that could not be raised", args.exc_value)
        try:
            yield
        finally:
            threading.excepthook, sys.unraisablehook = before[1:]
            loop.set_exception_handler(before[0])

    def in_loop(self, context: Context) -> None:
        """Report what asyncio passes to an exception handler."""
        error = context.get("exception")
        # asyncio's text shows the callback's arguments, which may be anything, data of peers included.
        message = "an exception in a callback" if "handle" in context else str(context.get("message")).partition("<")[0]
        self.write(message.strip(), error if isinstance(error, BaseException) else None)

    def in_thread(self, args: threading.ExceptHookArgs) -> None:
        """Report the exception that ended a thread."""
        if args.exc_type is not SystemExit:
            self.write("an exception in a thread", args.exc_value)

    def write(self, message: str, error: BaseException | None) -> None:
        """Write the event, unless the same was written within the last second."""
        text = one_line(repr(error))
        where = None
        if error is not None and (frames := traceback.extract_tb(error.__traceback__)):
            where = f"{frames[-1].filename}:{frames[-1].lineno}"
        kind = message, type(error).__name__, where
        now = self._clock()
        last, more = self._kinds.get(kind, (now - INTERVAL, 0))
        if now - last < INTERVAL:
            self._kinds[kind] = last, more + 1
            return
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[kind] = now, 0
        write_event(
            None,
            "warning",
            "error.unhandled",
            message=message,
            error=None if error is None else text,
            where=where,
            more=more or None,
        )
