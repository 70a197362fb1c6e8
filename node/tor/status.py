"""What Tor's state is, said once when it changes, and who may dial meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ziggurat.layers.events import Level, write_event
from ziggurat.node.tor.controller import Bootstrap

__all__ = ["TorStatus"]

TRY_INTERVAL = 30.0
"""Seconds between two dials that go through to a Tor that is there but not ready. One that sleeps (it has had nothing
to do for a day, or has built no circuit since the clock jumped) wakes for nothing but a request, so to wait for it
would be to wait for ever. Without a network it is one failed dial each time."""


class TorStatus:
    """Tor's state, as the control port tells it.

    Events: ``tor.bootstrap`` (``progress``, ``tag``, ``summary``, ``error``) for each step of its start, a warning when
    it is hindered; ``tor.up`` (``control``, ``version``, ``via``, ``elapsed``) and ``tor.down`` (``control``,
    ``error``), each once per change.

    Args:
        control: the address of the control port.

    Attributes:
        is_up: whether Tor can be used.
    """

    def __init__(self, control: str) -> None:
        self.is_up = False
        self._control = control
        self._since = anyio.current_time()
        self._said: set[Bootstrap] = set()  # steps of this start
        self._said_down = False
        self._may_try = False
        self._changed = anyio.Event()
        self._callbacks: list[Callable[[], object]] = []

    def on_up(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` each time when Tor can be used from now on. It must not raise."""
        self._callbacks.append(callback)

    async def wait_up(self) -> None:
        """Wait until Tor can be used, or until one dial may try it, see `let_try`."""
        while not (self.is_up or self._may_try):
            await self._changed.wait()
        self._may_try = False

    def let_try(self) -> None:
        """Let one dial go, the first that waits or comes, although Tor is not up."""
        if not self.is_up:
            self._may_try = True
            self._change()

    async def keep_trying(self) -> None:
        """Let one dial go now and then, while there is a Tor to ask, until cancelled."""
        while True:
            await anyio.sleep(TRY_INTERVAL)
            self.let_try()

    def bootstrap(self, step: Bootstrap) -> None:
        """Note a step of Tor's start. One that was said is not said again: each relay that fails is a step."""
        if self.is_up or step in self._said:
            return
        self._said.add(step)
        write_event(
            None,
            "info" if step.warning is None else "warning",
            "tor.bootstrap",
            progress=step.progress,
            tag=step.tag,
            summary=step.summary,
            error=step.warning,
        )

    def up(self, version: str, via: str | None) -> None:
        """Note that Tor can be used, ``via`` this SOCKS port if it was asked for one."""
        if self.is_up:
            return
        self.is_up, self._said_down, self._may_try = True, False, False
        self._said.clear()
        elapsed = round(anyio.current_time() - self._since, 3)
        write_event(None, "info", "tor.up", control=self._control, version=version, via=via, elapsed=elapsed)
        self._change()
        for callback in self._callbacks:
            callback()

    def down(self, error: str) -> None:
        """Note that Tor cannot be used. Another error while it is down is of level debug: it is still down."""
        level: Level = "debug" if self._said_down else "warning"
        if self.is_up:
            self._since = anyio.current_time()
        self.is_up, self._said_down, self._may_try = False, True, False
        write_event(None, level, "tor.down", control=self._control, error=error)

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
