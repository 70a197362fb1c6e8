"""The five states of a channel (gRPC's document "connectivity-semantics-and-api"), and how to watch them."""

from __future__ import annotations

import asyncio
import enum
import weakref

__all__ = ["ChannelState", "StateChanges", "StateWatch"]


class ChannelState(enum.Enum):
    """The state of a channel's connection."""

    IDLE = "idle"
    """Not connected: no call yet, or the connection was lost. The next call dials."""

    CONNECTING = "connecting"
    """A dial is under way."""

    READY = "ready"
    """Connected: the peer's SETTINGS have arrived."""

    TRANSIENT_FAILURE = "transient failure"
    """The last dial failed. The first call after the backoff dials again."""

    SHUTDOWN = "shutdown"
    """Closed for good."""


class StateChanges:
    """An iterator over the current state and every later one, in order; ends after `ChannelState.SHUTDOWN`."""

    def __init__(self, watch: StateWatch) -> None:
        self._seen: asyncio.Queue[ChannelState] = asyncio.Queue()
        self._seen.put_nowait(watch.state)
        self._ended = False
        if watch.queues is None:
            watch.queues = weakref.WeakSet()
        watch.queues.add(self._seen)

    def __aiter__(self) -> StateChanges:
        return self

    async def __anext__(self) -> ChannelState:
        if self._ended:
            raise StopAsyncIteration
        state = await self._seen.get()
        self._ended = state is ChannelState.SHUTDOWN
        return state


class StateWatch:
    """A state and its watchers, which are held weakly: they need not unsubscribe."""

    __slots__ = ("__weakref__", "queues", "state")

    def __init__(self) -> None:
        self.state = ChannelState.IDLE
        self.queues: weakref.WeakSet[asyncio.Queue[ChannelState]] | None = None  # most channels are not watched

    def enter(self, state: ChannelState) -> None:
        """Change the state and notify all watchers. SHUTDOWN is final."""
        if state is not self.state and self.state is not ChannelState.SHUTDOWN:
            self.state = state
            for queue in tuple(self.queues or ()):
                queue.put_nowait(state)
