"""Task factories that run a task's first step at once: asyncio's own, of Python 3.12, and one for any version."""

from __future__ import annotations

import asyncio
import sys
from asyncio import tasks
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["EAGER", "eagerly"]


def start_at_once(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
    """Return a task that has run up to where it first suspends; for loops written in Python."""
    task = asyncio.Task(coro, loop=loop, **kwargs)
    first_step = loop._ready.pop()  # type: ignore[attr-defined]
    parent = tasks.current_task(loop)
    if parent is not None:
        tasks._leave_task(loop, parent)
    try:
        first_step._run()
    finally:
        if parent is not None:
            tasks._enter_task(loop, parent)
    return task


EAGER = [
    pytest.param(start_at_once, id="own"),
    pytest.param(
        getattr(asyncio, "eager_task_factory", None),
        id="asyncio",
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.eager_task_factory is new in Python 3.12"),
    ),
]
"""Parameters for a test."""


@contextmanager
def eagerly(factory: Callable[..., asyncio.Task[Any]]) -> Iterator[None]:
    """Use a task factory for the block."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    try:
        yield
    finally:
        loop.set_task_factory(before)
