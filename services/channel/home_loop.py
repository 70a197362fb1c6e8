"""The event loop that a channel belongs to: the first one that it is used on."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["HomeLoop"]


class HomeLoop:
    """Remembers a loop, and refuses all others: connections live on the loop that opened them.

    Raises:
        RuntimeError: trio is running here.
    """

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            if _on_trio():
                raise RuntimeError(NEEDS_ASYNCIO) from None

    def check(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, which is the home from the first time on.

        Raises:
            RuntimeError: it is another one, or none is running.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(NEEDS_ASYNCIO) from None
        if self._loop is not loop:
            if self._loop is not None:
                raise RuntimeError(
                    "this channel belongs to another event loop, the first that it was used on: "
                    "make one for each loop (each asyncio.run, each thread)"
                )
            self._loop = loop
        return loop

    def may_be_used(self) -> bool:
        """Return whether something can still be done on the loop: not after it was closed.

        Raises:
            RuntimeError: another one is running.
        """
        if self._loop is None:
            return True
        if self._loop.is_closed():
            return False
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        self.check()
        return True

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop; ``None`` before the first use."""
        return self._loop


NEEDS_ASYNCIO = "a channel needs asyncio, as grpclib does: use it on a running asyncio loop"


def _on_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
