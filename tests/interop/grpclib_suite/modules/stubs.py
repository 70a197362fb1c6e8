"""What grpclib's tests know as ``stubs``: a transport in front of an engine of h2, and a handler that does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grpclib.protocol import AbstractHandler
from h2.connection import ConnectionState, H2Connection


class TransportStub(asyncio.Transport):
    """Hands all that is written to an engine, and keeps the engine's events.

    Attributes:
        flush: called before the events are looked at: our channel writes once the loop has gone round.
    """

    def __init__(self, engine: H2Connection) -> None:
        super().__init__()
        self._engine = engine
        self._events: list[Any] = []
        self._error: type[Exception] | None = None
        self.flush: Callable[[], None] = lambda: None

    def __raise_on_write__(self, error: type[Exception]) -> None:
        self._error = error

    def write(self, data: Any) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        self._events += self._engine.receive_data(bytes(data))

    def events(self) -> list[Any]:
        """Return what has happened at the engine since the last time."""
        self.flush()
        events, self._events = self._events, []
        return events

    def process(self, processor: Any) -> list[Any]:
        """Do the same, and let grpclib's processor see each event."""
        events = self.events()
        for event in events:
            processor.process(event)
        return events

    def is_closing(self) -> bool:
        return self._engine.state_machine.state is ConnectionState.CLOSED

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class DummyHandler(AbstractHandler):
    """Keeps what it was last given."""

    stream: Any = None
    headers: Any = None
    release_stream: Any = None

    def accept(self, stream: Any, headers: Any, release_stream: Any) -> None:
        self.stream, self.headers, self.release_stream = stream, headers, release_stream

    def cancel(self, stream: Any) -> None:
        pass

    def close(self) -> None:
        pass
