"""What the two ends of one call's HTTP/2 stream have in common: whole messages in, flow-controlled bytes out."""

from __future__ import annotations

import struct
import time
from functools import partial
from typing import TYPE_CHECKING, cast

from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import Stream as GrpclibStream
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError

from ziggurat.services.channel.compression import compress, encoding_of, inflate, judge_encoding, too_large
from ziggurat.services.channel.message_buffer import PREFIX, MessageBuffer
from ziggurat.services.errors import copy_error

if TYPE_CHECKING:
    from grpclib.protocol import Connection as GrpclibConnection

    from ziggurat.services.channel.connection import Connection

__all__ = ["CallRefused", "Headers", "Stream"]

Headers = list[tuple[str, str]]

PACK_PREFIX = struct.Struct(">BI").pack


class CallRefused(StreamTerminatedError):
    """The peer has not processed this call, and will not: sending it again is safe."""


class Stream(GrpclibStream):
    """What client and server have in common.

    Attributes:
        ended: whether the peer has sent everything.
        stopped: why nothing more may be sent, or ``None``.
    """

    connection: Connection
    buffer: MessageBuffer  # type: ignore[assignment]
    gzip = False  # whether to compress what is sent
    ended = False
    stopped: Exception | None = None
    _body: bytes | None = None

    def init_stream(self, stream_id: int, connection: GrpclibConnection) -> None:
        """Called by grpclib once the stream has a number."""
        self.id = stream_id
        connection.streams_started += 1
        self.created = connection.last_stream_created = time.monotonic()
        options = self.connection.options
        self.buffer = MessageBuffer(
            partial(connection.ack, stream_id),
            options.max_message_size,
            self._judge,
            self._refuse,
            options.initial_message_size,
        )
        if self.connection.lifted:
            self.lift_limits()

    def lift_limits(self) -> None:
        """Let messages and windows have the full size, on this stream and on its connection."""
        self.buffer.lift_limit()
        self.connection.lift_limits()
        options = self.connection.options
        self.connection.widen(options.stream_window - options.windows[0], cast(int, self.id))

    def discard_received(self) -> None:
        """Let go of what has arrived, and of what still does: nobody will read it."""
        self.buffer.discard()

    # Receiving

    async def recv_data(self, size: int) -> bytes:
        """Return the next message, in the two steps in which grpclib asks for it: its prefix, then its body.

        The whole message is awaited in the first step, so a caller who gives up in between has lost nothing.
        """
        if self._body is not None:
            body, self._body = self._body, None
            return body
        message = await self.buffer.message()
        if message is None:
            return b""
        flag, body = message
        if flag:
            try:
                body = inflate(body, self.buffer.limit)
            except GRPCError as error:
                self.buffer.spoil(error)
                self._refuse(error)
                raise
        self._body = body
        return PACK_PREFIX(0, len(body))

    def _judge(self, flag: int, length: int) -> GRPCError | None:
        limit = self.connection.options.max_message_size
        if limit is not None and length > limit:
            return too_large(length, limit)
        return judge_encoding(flag, encoding_of(self.headers))

    def _refuse(self, error: GRPCError) -> None:
        """A message may not pass; the buffer drops what follows."""

    def terminate(self, error: Exception) -> None:
        """The stream is over before its time: nothing more can be sent, and nothing more will come."""
        self.stop(error)
        self.buffer.fail(error)

    def __terminated__(self, reason: str) -> None:
        self.terminate(StreamTerminatedError(reason))

    def __ended__(self) -> None:
        self.ended = True
        self.buffer.eof()

    # Sending

    async def ready(self) -> None:
        """Wait until the connection takes bytes. Raises when this stream may send no more."""
        while self.stopped is None and not self.connection.write_ready.is_set():
            await self.connection.wait_writable()
        if self.stopped is not None:
            raise copy_error(self.stopped)

    def stop(self, error: Exception) -> None:
        """Let no more be sent, and tell those who wait to send."""
        if self.stopped is None:
            self.stopped = error
        self.window_updated.set()
        self.connection.wake_writers()

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        """Send one message with its prefix, as flow control and the transport let it pass."""
        if self.gzip:
            body = compress(data[PREFIX:])
            data = PACK_PREFIX(1, len(body)) + body
        engine, connection, stream_id = self._h2_connection, self.connection, cast(int, self.id)
        position, size = 0, len(data)
        while True:
            if self.stopped is not None or not connection.write_ready.is_set():
                await self.ready()
            window = engine.local_flow_control_window(stream_id)
            if window <= 0:
                self.window_updated.clear()
                await self.window_updated.wait()
                continue
            step = min(window, engine.max_outbound_frame_size, size - position)
            chunk = data if step == size else data[position : position + step]
            position += step
            engine.send_data(stream_id, chunk, end_stream=end_stream and position == size)
            self.data_sent += step
            connection.data_sent += step
            connection.data_send_process()
            connection.flush()
            if position == size:
                return

    async def send_headers(self, headers: Headers, end_stream: bool = False) -> None:
        """Send a server's headers or trailers."""
        await self.ready()
        stream_id = cast(int, self.id)
        if stream_id not in self._h2_connection.streams:
            raise StreamClosedError(stream_id)  # as grpclib does: its handlers expect it
        self._h2_connection.send_headers(stream_id, headers, end_stream=end_stream)
        self.connection.flush()
        self.connection.headers_send_process()

    async def end(self) -> None:
        """End our side. Once the peer is done with the call there is nothing to end, and nothing happens."""
        if self.stopped is not None and self.ended:
            return
        await self.ready()
        self._h2_connection.end_stream(cast(int, self.id))
        self.connection.flush()

    async def reset(self, error_code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Give the call up, and tell the peer so."""
        self.reset_nowait(error_code)

    def reset_nowait(self, error_code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Give the call up; the frame leaves when the transport takes it."""
        if self.closable:
            self._h2_connection.reset_stream(cast(int, self.id), error_code=error_code)
            self.connection.flush()
