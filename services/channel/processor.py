"""What each event of the engine means for the streams of one connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import AbstractHandler, EventsProcessor
from grpclib.protocol import Stream as GrpclibStream
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
)

from ziggurat.services.channel.connection import Connection
from ziggurat.services.channel.stream import CallRefused, Stream
from ziggurat.services.errors import one_line

__all__ = ["Owner", "Processor"]

SAFE = "the call was not processed, so it is safe to send it again"


class Owner(Protocol):
    """Who is told about the connection as a whole."""

    def settings_arrived(self) -> None:
        """The peer's SETTINGS are there."""
        ...

    def draining_began(self) -> None:
        """The peer takes no new call; those in flight go on."""
        ...

    def fail(self, reason: str) -> None:
        """The connection has come to a bad end."""
        ...


def error_name(code: ErrorCodes | int) -> str:
    """Return the name of an HTTP/2 error code, or its number where it has none."""
    return code.name if isinstance(code, ErrorCodes) else f"error code {code:#x}"


class Processor(EventsProcessor):
    """grpclib's processor, which ends what has ended and nothing else."""

    connection: Connection  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, handler: AbstractHandler, connection: Connection, owner: Owner) -> None:
        super().__init__(handler, connection)
        self._owner = owner
        self._processes: dict[type[Event], Callable[[Any], None]] = vars(self)["processors"]
        self._draining = False

    def register(self, stream: GrpclibStream) -> Callable[[], None]:
        """Take up a stream; what is returned lets go of it."""
        self.streams[cast(int, stream.id)] = stream
        return partial(self._release, cast(Stream, stream))

    def _release(self, stream: Stream) -> None:
        connection = self.connection
        self.streams.pop(cast(int, stream.id), None)
        connection.stream_close_waiter.set()
        connection.ack(cast(int, stream.id), stream.buffer.unacked_size())
        if self._draining and not self.streams:
            self.close("Connection closed")

    def process(self, event: Event) -> None:
        """Deal with one event. One that means nothing to gRPC is skipped: a 1xx response, an unknown frame."""
        if (process := self._processes.get(event.__class__)) is not None:
            process(event)

    def process_request_received(self, event: RequestReceived) -> None:
        """A client calls."""
        stream = self.connection.create_stream(stream_id=event.stream_id)
        stream.headers = cast("list[tuple[str, str]]", event.headers)  # the encoding is judged by them
        self.handler.accept(stream, stream.headers, self.register(stream))

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        """The peer has changed its limits: whoever waits for one looks again."""
        super().process_remote_settings_changed(event)
        self.connection.stream_close_waiter.set()
        self._owner.settings_arrived()

    def process_stream_reset(self, event: StreamReset) -> None:
        """A stream was reset, by the peer or by the engine after a violation."""
        stream = cast("Stream | None", self.streams.get(event.stream_id))
        self.connection.streams_failed += 1
        if stream is None:
            return
        code = event.error_code or ErrorCodes.NO_ERROR
        if not event.remote_reset:
            stream.terminate(StreamTerminatedError(f"Protocol error ({error_name(code)})"))
        elif code == ErrorCodes.REFUSED_STREAM:
            stream.terminate(CallRefused(f"Stream reset by remote party, REFUSED_STREAM: {SAFE}"))
        else:
            stream.terminate(
                StreamTerminatedError(f"Stream reset by remote party, error_code: {int(code)} ({error_name(code)})")
            )
        self.handler.cancel(stream)

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        """A GOAWAY (RFC 9113 6.8). With NO_ERROR, calls up to ``last_stream_id`` finish; it may come more than once."""
        debug = one_line((event.additional_data or b"").decode("utf-8", "backslashreplace"))[:200]
        code = event.error_code or ErrorCodes.NO_ERROR
        reason = f"GOAWAY {error_name(code)}" + (f" ({debug})" if debug else "")
        first = not self._draining
        self._draining = True
        self.connection.refuse_new(f"The peer has sent {reason}")
        last = event.last_stream_id or 0
        for stream_id, stream in list(self.streams.items()):
            if stream_id > last and self.connection.client_side:  # a client's GOAWAY is about pushed streams
                cast(Stream, stream).terminate(CallRefused(f"The peer has sent {reason}: {SAFE}"))
        if code != ErrorCodes.NO_ERROR:
            self._owner.fail(reason)
            return
        if first:
            self._owner.draining_began()
        if not self.streams:
            self.close("Connection closed")

    def close(self, reason: str = "Connection closed") -> None:
        """End the connection, and every call that is not complete with ``reason``."""
        self.connection.close()
        self.end(reason)

    def end(self, reason: str) -> None:
        """End every call that is not complete with ``reason``; the connection is ending already."""
        self.handler.close()
        for stream in list(self.streams.values()):
            stream.__terminated__(reason)
        self._processes.clear()  # a cycle; and what arrives now is for nobody
