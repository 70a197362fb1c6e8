"""The five states of a channel, and how to await them (gRPC's document "connectivity-semantics-and-api")."""

from __future__ import annotations

import asyncio
import enum
import weakref

__all__ = ["ChannelState", "StateChanges", "StateWatch"]


class ChannelState(enum.Enum):
    """What a channel is doing about its connection."""

    IDLE = "idle"
    """No connection, and nobody has asked for one; the next call dials. Also after a connection was lost."""

    CONNECTING = "connecting"
    """A dial is under way."""

    READY = "ready"
    """Connected: the peer's SETTINGS have come."""

    TRANSIENT_FAILURE = "transient failure"
    """The last dial failed. The first call after the backoff dials again."""

    SHUTDOWN = "shutdown"
    """Closed, for good."""


class StateChanges:
    """The state at first, then every change in order, none left out; ends behind `ChannelState.SHUTDOWN`."""

    def __init__(self, watch: StateWatch) -> None:
        self._seen: asyncio.Queue[ChannelState] = asyncio.Queue()
        self._seen.put_nowait(watch.state)
        self._ended = False
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
    """A state and who looks at it. Watchers are held weakly: who stops looking need not say so."""

    __slots__ = ("__weakref__", "queues", "state")

    def __init__(self) -> None:
        self.state = ChannelState.IDLE
        self.queues: weakref.WeakSet[asyncio.Queue[ChannelState]] = weakref.WeakSet()

    def enter(self, state: ChannelState) -> None:
        """Change the state and tell all watchers. Nothing leads out of SHUTDOWN."""
        if state is not self.state and self.state is not ChannelState.SHUTDOWN:
            self.state = state
            for queue in tuple(self.queues):
                queue.put_nowait(state)
