"""The event loop's clock, found once.

`anyio.current_time` finds out at each look which event loop runs, which takes twenty times as long as the look itself;
a dial looks about ten times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import sniffio

__all__ = ["running_clock"]


def running_clock() -> Callable[[], float]:
    """Answer with the running loop's clock: what `anyio.current_time` answers with, for as long as that loop runs."""
    if sniffio.current_async_library() == "asyncio":
        return asyncio.get_running_loop().time
    return anyio.current_time
