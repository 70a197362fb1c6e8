"""A thread that writes lines, so that no reader, disk or terminal can stop the program."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["LineWriter"]

CAPACITY = 10_000
"""Lines that wait to be written."""

STALLED = 0.5
"""Seconds without a written line after which the end no longer waits."""

MAX_ROUNDS = 2
"""The end waits at most so many times `STALLED`."""


class LineWriter:
    """Writes lines in a thread of its own. Its methods never block, `close` aside, and never raise.

    When `CAPACITY` lines wait, further ones are dropped until all are written, so that what is missing is in one place
    and one line says how many. Lines that ``sink`` refuses, as on a full disk, are counted as well.

    Args:
        sink: writes a line that ends with a newline. An `OSError` loses that line and no other.
        dropped: makes the line that says how many lines are missing.
        name: the name of the thread.
    """

    def __init__(self, sink: Callable[[str], None], dropped: Callable[[int], str], name: str) -> None:
        self._sink = sink
        self._dropped_line = dropped
        self._changed = threading.Condition()  # its lock is reentrant: signal handlers use `call`
        self._waiting: deque[str | Callable[[], None]] = deque()
        self._dropped = 0
        self._written = 0
        self._closed = False
        # A daemon: the interpreter does not wait for a write that never returns.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Write a line, without its newline, or drop it."""
        with self._changed:
            if self._closed:
                return
            if self._dropped or len(self._waiting) >= CAPACITY:
                self._dropped += 1
                return
            self._waiting.append(f"{line}\n")
            self._changed.notify()

    def call(self, action: Callable[[], None]) -> None:
        """Call a function in the thread, after the lines so far. It may not raise."""
        with self._changed:
            if not self._closed:
                self._waiting.append(action)
                self._changed.notify()

    def close(self) -> bool:
        """Wait until everything is written, while it goes on and at most a second. Later lines are discarded.

        Returns:
            Whether everything was written, so that the sink is no longer in use.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        for _ in range(MAX_ROUNDS):
            before = self._written
            self._thread.join(STALLED)
            if not self._thread.is_alive() or self._written == before:
                break
        return not self._thread.is_alive()

    def _next(self) -> str | Callable[[], None] | int | None:
        """Return what is to be done next: a line, a call, a number of dropped lines; ``None`` at the end."""
        with self._changed:
            while not (self._waiting or self._dropped or self._closed):
                self._changed.wait()
            if self._waiting:
                return self._waiting.popleft()
            count, self._dropped = self._dropped, 0
            return count or None

    def _run(self) -> None:
        missing = 0
        while (item := self._next()) is not None:
            if callable(item):
                item()
                continue
            missing += item if isinstance(item, int) else 0
            try:
                if missing:
                    self._sink(f"{self._dropped_line(missing)}\n")
                    missing = 0
                if isinstance(item, str):
                    self._sink(item)
            except OSError:
                missing += isinstance(item, str)
            self._written += 1
