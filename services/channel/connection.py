"""The bytes of one connection: one write for each turn of the event loop, backpressure, and a close that ends."""

from __future__ import annotations

import asyncio

from grpclib.config import Configuration
from grpclib.protocol import Connection as GrpclibConnection
from grpclib.utils import Wrapper
from h2.connection import ConnectionState, H2Connection
from h2.events import Event
from h2.exceptions import ProtocolError

from ziggurat.services.channel.engine import forget
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.stream import CallRefused, Stream
from ziggurat.services.errors import one_line

__all__ = ["Connection", "describe"]

HIGH_WATER = 65536
"""Bytes that may collect in the engine before they are written."""

MAX_UNREAD_ANSWERS = 256 * 1024
"""Bytes of answers to the peer's frames (to PING and SETTINGS) that may pile up while it reads nothing. They are no
part of flow control, so nothing else bounds them (CVE-2019-9512, CVE-2019-9515)."""


def describe(error: Exception) -> str:
    """Say what an error of h2, hpack or hyperframe says; some say only a number."""
    text = one_line(str(error))
    return text if " " in text else f"{type(error).__name__} ({text})" if text else type(error).__name__


class Connection(GrpclibConnection):
    """grpclib's connection between engine and transport.

    What streams send collects in the engine until the event loop has gone round once, so that a request's headers and
    its message, or the requests of fifty callers, leave in one system call.

    Attributes:
        refusal: why no new call may start here; ``None`` while one may.
        lifted: whether `lift_limits` was called.
        closing: whether `close` was called, or the connection is lost.
    """

    def __init__(
        self,
        engine: H2Connection,
        transport: asyncio.Transport,
        *,
        config: Configuration,
        options: ConnectionOptions,
        stream_class: type[Stream],
    ) -> None:
        super().__init__(engine, transport, config=config)
        self.options = options
        self.refusal: str | None = None
        self.lifted = False
        self.closing = False
        self.client_side = bool(engine.config.client_side)
        self._stream_class = stream_class
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._gone = False
        self._linger: asyncio.TimerHandle | None = None
        self._writers: set[asyncio.Future[None]] = set()
        self._unread_answers = 0

    def create_stream(self, *, stream_id: int | None = None, wrapper: Wrapper | None = None) -> Stream:
        """Make a stream; a client's gets its number with its request."""
        return self._stream_class(self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper)

    # Receiving

    def feed(self, data: bytes) -> list[Event]:
        """Give the engine what arrived; return what it means."""
        if self.write_ready.is_set():
            self._unread_answers = 0
            return super().feed(data)
        before = len(self._connection._data_to_send)  # pyright: ignore[reportPrivateUsage]
        events = super().feed(data)
        self._unread_answers += len(self._connection._data_to_send) - before  # pyright: ignore[reportPrivateUsage]
        return events

    # Sending

    def flush(self) -> None:
        """Write what the engine holds, once the loop has gone round; at once when it is much."""
        size = len(self._connection._data_to_send)  # pyright: ignore[reportPrivateUsage]
        if size >= HIGH_WATER:
            self.write_now()  # so that the transport can say when it is too much
        elif size and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def write_now(self) -> None:
        """Write what the engine holds."""
        if not self._transport.is_closing() and (data := self._connection.data_to_send()):
            self._transport.write(data)

    def _write(self) -> None:
        self._scheduled = False
        self.write_now()

    def ping(self) -> None:
        """Send a PING."""
        self._connection.ping(b"ziggurat")
        self.write_now()

    @property
    def violation(self) -> str | None:
        """How the peer broke the protocol, if it did."""
        if self._unread_answers > MAX_UNREAD_ANSWERS:
            return "the peer reads none of the answers that its frames ask for"
        error = getattr(self._connection, "error", None)  # stock h2 has raised it
        return None if error is None else describe(error)

    def ack(self, stream_id: int, size: int) -> None:
        """Give ``size`` bytes of flow control back to the peer."""
        if size and not self.is_closing():
            self._connection.acknowledge_received_data(size, stream_id)
            self.flush()

    def lift_limits(self) -> None:
        """Let the connection's window have its full size; see `ConnectionOptions.initial_message_size`."""
        if not self.lifted:
            self.lifted = True
            self.widen(self.options.connection_window - self.options.windows[1])

    def widen(self, size: int, stream_id: int | None = None) -> None:
        """Let the peer send ``size`` bytes more ahead, on the connection or on a stream, if that has not ended."""
        if size and not self.is_closing():
            try:
                self._connection.increment_flow_control_window(size, stream_id)
            except ProtocolError:
                return
            self.flush()

    def resume_writing(self) -> None:
        """The transport takes bytes again."""
        super().resume_writing()
        self.wake_writers()

    async def wait_writable(self) -> None:
        """Wait until the transport takes bytes, or somebody calls `wake_writers`: look again afterwards."""
        waiter = self._loop.create_future()
        self._writers.add(waiter)
        try:
            await waiter
        finally:
            self._writers.discard(waiter)

    def wake_writers(self) -> None:
        """Let everyone who waits for the transport look at the state of things again."""
        for waiter in self._writers:
            if not waiter.done():
                waiter.set_result(None)

    # New streams

    def check_accepting(self) -> None:
        """Raise `CallRefused` when no new call may start here."""
        if self.refusal is not None:
            raise CallRefused(f"{self.refusal}: the call was not sent, so it is safe to send it again")
        if self._transport.is_closing():
            raise CallRefused("Connection lost: the call was not sent, so it is safe to send it again")

    def refuse_new(self, reason: str) -> None:
        """Let no new call start, and tell those that wait for their turn."""
        if self.refusal is None:
            self.refusal = reason
        self.stream_close_waiter.set()
        self.wake_writers()

    # The end

    def is_closing(self) -> bool:
        """Whether nothing may be sent any more."""
        return self.closing or self._transport.is_closing()

    def close(self) -> None:
        """Say goodbye, write what is there, and close; abort when that has not come to an end after ``linger``."""
        if self.closing:
            return
        self.refuse_new("Connection closed")
        if self._connection.state_machine.state is not ConnectionState.CLOSED:  # else it has said its GOAWAY
            self._connection.close_connection()
        self.write_now()
        self.closing = True
        self._stop_grpclib_timers()
        # Armed whatever the buffer's size: closing TLS, or a stream behind a pump, waits for the peer as well.
        self._linger = self._loop.call_later(self.options.linger, self.abort)
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        self.refuse_new("Connection closed")
        self.closing = True
        self._stop_grpclib_timers()
        if not self._gone:  # a transport that is gone raises an AttributeError
            self._transport.abort()

    def lost(self) -> None:
        """The transport is gone."""
        self.refuse_new("Connection lost")
        self.closing = self._gone = True
        self._stop_grpclib_timers()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        forget(self._connection)

    def _stop_grpclib_timers(self) -> None:
        """A server's PINGs are grpclib's own."""
        for timer in (self._ping_handle, self._close_by_ping_handler):
            if timer is not None:
                timer.cancel()
