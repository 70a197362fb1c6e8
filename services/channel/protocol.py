"""asyncio around one HTTP/2 connection, in either role: one write for each turn of the loop, and a close that ends.

What is sent collects in the core until the event loop has gone round once, so that a request's headers and its message,
or the requests of fifty callers, leave in one system call.
"""

from __future__ import annotations

import asyncio
import socket
from abc import abstractmethod
from typing import TYPE_CHECKING, cast

from grpclib.protocol import Peer

from ziggurat.services.channel.options import HIGH_WATER, ConnectionOptions
from ziggurat.services.errors import one_line
from ziggurat.services.http2 import Connection, ErrorCode, HeaderSection, LocalSettings, RemoteProtocolError, Stream
from ziggurat.services.signal import Signal

if TYPE_CHECKING:
    from ziggurat.services.channel.message_stream import MessageStream

__all__ = ["Protocol"]

LARGE_READ = 16384
"""Bytes from which on a read is taken for a part of a large message."""


class Protocol(asyncio.Protocol):
    """What both ends have in common; the owner of a `Connection`.

    Args:
        options: the settings.
        client: which end we are.

    Attributes:
        core: the HTTP/2 protocol.
        options: as above.
        writable: whether the transport takes bytes.
        watched: whether `look_at` has to see what arrives.
        failure: one line on why the connection came to a bad end; ``None`` while it has not.
        settings_received: whether the peer's SETTINGS have come.
        scheduled: whether `flush` is to be called when the loop goes round.
        closing: whether nothing may be sent any more.
        lost: set once nothing is left of the connection.
        loss: the error that `connection_lost` got; ``None`` before, and for a connection that ended without one.
        lifted: whether `lift_limits` was called.
        max_message_size: of what is received on a new stream, in bytes; ``None`` without a limit.
        streams_started: how many there were.
        borrowers: streams that have views of what is being read.
    """

    core: Connection

    def __init__(self, options: ConnectionOptions, *, client: bool) -> None:
        stream_window, connection_window = options.windows
        self.core = Connection(
            self,
            LocalSettings(
                stream_window=stream_window,
                connection_window=connection_window,
                max_frame_size=options.max_frame_size,
                max_header_list_size=options.max_header_list_size,
                max_concurrent_streams=None if client else options.max_concurrent_streams,
                max_unread=options.max_unread,
            ),
            client=client,
        )
        self.options = options
        self.writable = True
        self.watched = True
        self.failure: str | None = None
        self.settings_received = False
        self.closing = False
        self.lost = Signal()
        self.loss: BaseException | None = None
        self.streams_started = 0
        self.bytes_sent = self.bytes_received = 0
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.scheduled = False
        self._linger: asyncio.TimerHandle | None = None
        self.lifted = False
        limit, initial = options.max_message_size, options.initial_message_size
        self.max_message_size = limit if initial is None else min(initial, 0xFFFFFFFF if limit is None else limit)
        self._blocked: dict[MessageStream, None] = {}  # those that wait for the transport
        self.borrowers: list[MessageStream] = []

    @property
    def peer(self) -> Peer:
        """grpclib's view of the other end."""
        return Peer(cast(asyncio.Transport, self._transport))

    @property
    def peer_name(self) -> str | None:
        """The address of the other end; ``None`` if it has none."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        if not isinstance(name, tuple):
            return str(name) if name else None
        host, port = cast("tuple[object, ...]", name)[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface and our SETTINGS."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Feed the core, which tells the streams."""
        if self.watched:
            data = self.look_at(data)
        if self.closing or not data:
            return
        self.bytes_received += len(data)
        if self.writable:
            self.core.unread_answers = 0
        try:
            self.core.receive(data)
        except RemoteProtocolError as error:
            self._settle()
            self.fail(f"HTTP/2 protocol error: {one_line(str(error))}")
            return
        if self.borrowers:
            self._settle()
        # Behind the tasks that this has woken, so that what they send leaves in the same turn of the loop. A large read
        # is mostly a part of a large message, which wakes nobody: that turn would be one too many.
        if not self.scheduled and (self.core.out or len(data) < LARGE_READ):
            self.scheduled = True
            self._loop.call_soon(self.flush)

    def _settle(self) -> None:
        """Let streams with a small part of what was read keep a copy of it."""
        for stream in self.borrowers:
            stream.settle()
        self.borrowers.clear()

    def look_at(self, data: bytes) -> bytes:
        """Judge what arrived, while the protocol is ``watched``. Return what the core is to have."""
        return data

    def pause_writing(self) -> None:
        """The transport has had enough for now."""
        self.writable = False

    def resume_writing(self) -> None:
        """The transport takes bytes again."""
        self.writable = True
        blocked, self._blocked = self._blocked, {}
        for stream in blocked:
            stream.on_window()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End every stream that is not complete."""
        self.loss = exc
        self.closing = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        detail = self.failure or (one_line(str(exc)) or type(exc).__name__ if exc else None)
        self.end_streams(f"Connection lost: {detail}" if detail else "Connection lost")
        self.core.detach()
        self.lost.set()

    # -- sending

    def flush_soon(self) -> None:
        """Write what the core holds, once the loop has gone round; at once when it is much."""
        if self.core.out_size >= HIGH_WATER:
            self.flush()
        elif not self.scheduled:
            self.scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what the core holds."""
        self.scheduled = False  # should it be, the loop finds nothing left, or what has come since
        transport = self._transport
        if self.core.out and transport is not None and not transport.is_closing():
            data = self.core.take()
            self.bytes_sent += len(data)
            transport.write(data)

    def wait_writable(self, stream: MessageStream) -> None:
        """Have ``stream.on_window`` called, once, when the transport takes bytes again."""
        self._blocked[stream] = None

    def forget_sender(self, stream: MessageStream) -> None:
        """A stream does not wait any more, for whatever it was."""
        self._blocked.pop(stream, None)
        self.core.blocked.pop(stream, None)

    def lift_limits(self, stream: MessageStream) -> None:
        """Let the windows of the connection and of a stream have their full size."""
        stream_window, connection_window = self.options.windows
        if self.closing:
            return
        if not self.lifted:
            self.lifted = True
            self.max_message_size = self.options.max_message_size
            if more := self.options.connection_window - connection_window:
                self.core.widen(None, more)
        if more := self.options.stream_window - stream_window:
            self.core.widen(stream, more)
        self.flush_soon()

    # -- the end

    def fail(self, reason: str) -> None:
        """End the connection because of ``reason``; what the core has to say about it is still sent."""
        self.failure = self.failure or reason
        self._close(reason)

    def close(self) -> None:
        """Take no new stream, end those there are, send what is there and close; abort after ``linger`` seconds."""
        self._close("Connection closed")

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        if self._transport is None:
            return
        self.closing = True
        if not self.lost.is_set():  # a transport that is gone raises an AttributeError
            self._transport.abort()
        self.end_streams(f"Connection lost: {self.failure}" if self.failure else "Connection closed")

    async def aclose(self) -> None:
        """Close, and return when the last byte is out, or ``linger`` seconds are over."""
        self.close()
        if self._transport is not None:
            await self.lost.wait()

    def _close(self, reason: str) -> None:
        transport = self._transport
        if self.closing or transport is None:
            return
        if not self.core.failed:  # else it has said its GOAWAY
            self.core.go_away(ErrorCode.NO_ERROR)
        self.flush()
        self.closing = True
        # Armed whatever the buffer's size: closing TLS, or a stream behind a pump, waits for the peer as well.
        self._linger = self._loop.call_later(self.options.linger, self.abort)
        transport.close()
        self.end_streams(reason)

    @abstractmethod
    def end_streams(self, reason: str) -> None:
        """End every stream that is not complete with ``reason``, and whoever waits for one."""

    # -- what the core tells

    def on_settings(self) -> None:
        """The peer's SETTINGS are there, or have changed."""
        self.settings_received = True

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        """The peer takes no new stream."""

    def on_ping_ack(self, data: bytes) -> None:
        """The peer has answered a PING."""

    def on_stream_closed(self) -> None:
        """There is room for another stream."""

    def on_request(self, section: HeaderSection) -> Stream | None:
        """A client's request; a client gets none."""
        return None

    def on_malformed_request(self, reason: str) -> None:
        """What a client sent in place of a request."""
