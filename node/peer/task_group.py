"""The tasks of one connection. asyncio's, not anyio's: there, a task takes 2 KiB more, and a connection has ten."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

__all__ = ["TaskGroup"]


class TaskGroup(asyncio.TaskGroup):
    """A task group that can be cancelled as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work`` in a task; drop it if the group is ending."""
        try:
            task = self.create_task(work)
        except RuntimeError:
            work.close()
        else:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        """Cancel all tasks, once."""
        for task in self._running:
            task.cancel()
