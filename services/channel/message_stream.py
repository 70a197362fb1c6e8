"""A stream of gRPC messages on one connection: what a caller's and a handler's end have in common.

It is the HTTP/2 stream itself, not something beside it: for a short call, each object more is a cost that one sees.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import TYPE_CHECKING

from grpclib.exceptions import GRPCError, StreamTerminatedError

from ziggurat.services.channel.compression import compress, inflate, judge_encoding, too_large
from ziggurat.services.channel.inbox import PREFIX_SIZE, Inbox
from ziggurat.services.channel.options import HIGH_WATER
from ziggurat.services.errors import copy_error
from ziggurat.services.http2 import ErrorCode, error_name

if TYPE_CHECKING:
    from ziggurat.services.channel.protocol import Protocol

__all__ = ["MessageStream"]

_pack_prefix = Struct(">BL").pack

RESET_BY_PEER = "Stream reset by remote party"


class MessageStream(Inbox):
    """One end of a stream of messages.

    Attributes:
        stopped: why nothing more may be sent; ``None`` while something may. A stream that ended well has none.
    """

    __slots__ = ("_limit", "_protocol", "_sender", "_sending", "stopped")

    encoding: str | None
    """The peer's ``grpc-encoding``."""

    def __init__(self) -> None:
        Inbox.__init__(self)
        self.stopped: Exception | None = None
        self._protocol: Protocol | None = None
        self._limit: int | None = None
        self._sender: asyncio.Future[None] | None = None  # waits for a window or for the transport
        self._sending = False  # a message is partly sent

    @property
    def protocol(self) -> Protocol:
        """The connection, which the stream has once it is open."""
        assert self._protocol is not None
        return self._protocol

    def _attach(self, protocol: Protocol) -> None:
        """The stream is about to be opened there."""
        self._protocol = protocol
        protocol.streams_started += 1
        limit = self._limit = protocol.max_message_size
        self._unjudged = -1 if limit is None else limit

    def lift_limits(self) -> None:
        """Let messages and windows have the full size, on this stream and on its connection.

        See `ConnectionOptions.initial_message_size`.
        """
        protocol = self.protocol
        protocol.lift_limits(self)
        self._limit = protocol.options.max_message_size

    def discard_received(self) -> None:
        """Let go of what has arrived, and of what still does: nobody will read it."""
        self.discard()

    # -- receiving

    async def _receive(self) -> bytes | None:
        """Return the next message, inflated; ``None`` at the end. A cancelled wait takes nothing away."""
        while (body := self._next()) is None:
            if not await self._wait():
                return None
        return body

    def _inflate(self, body: bytes) -> bytes:
        try:
            return inflate(body, self._limit)
        except GRPCError as error:
            self.spoil(copy_error(error))  # one without a traceback, which would hold this stream
            raise

    def _judge(self, flag: int, length: int) -> GRPCError | None:
        limit = self._limit
        if limit is not None and length > limit:
            return too_large(length, limit)
        return judge_encoding(flag, self.encoding) if flag else None

    def _refuse(self, error: Exception) -> None:
        self._reset(ErrorCode.CANCEL)
        self.stop(error)

    def _give_back(self, size: int) -> None:
        protocol = self._protocol
        if protocol is not None and not protocol.closing:
            core = protocol.core
            before = core.out_size
            core.read(self, size)
            if core.out_size != before:
                protocol.flush_soon()

    def _settle_later(self) -> None:
        self.protocol.borrowers.append(self)

    # -- sending

    async def _send(self, body: bytes, *, gzip: bool, end: bool) -> None:
        """Send one message with its prefix, as the windows and the transport let it pass.

        Raises:
            RuntimeError: another task is sending.
            Exception: `stopped`.
        """
        if self.stopped is not None:
            raise copy_error(self.stopped)
        if self._sending:
            raise RuntimeError("another task is sending on this stream")
        if gzip:
            body = compress(body)
        if self._send_at_once(body, gzip, end):
            return
        self._sending = True
        try:
            await self._send_slowly(_pack_prefix(gzip, len(body)), memoryview(body), end)
        finally:
            self._sending = False

    def _send_at_once(self, body: bytes, flag: bool, end: bool) -> bool:
        """Send one message, compressed if ``flag`` says so, in one frame. Return whether that may be now."""
        protocol, size = self._protocol, len(body) + PREFIX_SIZE
        assert protocol is not None
        core = protocol.core
        if self.stopped is not None or self._sending or not protocol.writable:
            return False
        if not core.send_if_room(self, (_pack_prefix(flag, size - PREFIX_SIZE), body), size, end):
            return False
        if not protocol.scheduled or core.out_size >= HIGH_WATER:
            protocol.flush_soon()
        return True

    async def _send_slowly(self, prefix: bytes, body: memoryview, end: bool) -> None:
        protocol, size, position = self.protocol, PREFIX_SIZE + len(body), 0
        core = protocol.core
        try:
            while position < size:
                step = min(core.room(self), size - position)
                if step <= 0 or not protocol.writable:
                    await self._wait_for_room(step <= 0)
                    continue
                part = body[max(0, position - PREFIX_SIZE) : max(0, position + step - PREFIX_SIZE)]
                parts = (part,) if position >= PREFIX_SIZE else (prefix[position : position + step], part)
                position += step
                core.send_data(self, parts, step, end=end and position == size)
                protocol.flush_soon()
        except asyncio.CancelledError:
            if position:  # nothing can follow half a message
                self._reset(ErrorCode.CANCEL)
                error = StreamTerminatedError("a send was cancelled inside a message")
                self.stop(error)
                self.break_off(error)
            raise

    async def _wait_for_room(self, for_window: bool) -> None:
        """Wait until the peer, or else the transport, may take more."""
        if self.stopped is not None:
            raise copy_error(self.stopped)
        protocol = self.protocol
        if for_window:
            protocol.core.wait_for_window(self)
        else:
            protocol.wait_writable(self)
        self._sender = asyncio.get_running_loop().create_future()
        try:
            await self._sender
        finally:
            self._sender = None
            protocol.forget_sender(self)
        if self.stopped is not None:
            raise copy_error(self.stopped)

    def on_window(self) -> None:
        """The peer or the transport takes more."""
        sender = self._sender
        if sender is not None and not sender.done():
            sender.set_result(None)

    def stop(self, error: Exception) -> None:
        """Let no more be sent, and tell who waits to send."""
        if self.stopped is None:
            self.stopped = error
        self.on_window()

    # -- the end

    def terminate(self, error: Exception) -> None:
        """The stream is over before its time: nothing more can be sent, and nothing more will come."""
        self.stop(error)
        self.break_off(error)

    def on_reset(self, code: int) -> None:
        """The peer has given the stream up."""
        self.terminate(StreamTerminatedError(f"{RESET_BY_PEER}, error_code: {code} ({error_name(code)})"))

    def _reset(self, code: ErrorCode) -> None:
        """Give the stream up, and tell the peer so; the frame leaves with what else there is."""
        protocol = self._protocol
        if protocol is not None and not self.closed and not protocol.closing:
            protocol.core.reset(self, code)
            protocol.flush_soon()
