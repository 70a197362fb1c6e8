"""A client's call: what a stub holds and the stream under it, in one object."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar, cast

from grpclib.client import Stream as GrpclibCall
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from multidict import MultiDict

from ziggurat.services.channel.reply import Reply, one_too_many
from ziggurat.services.http2 import ErrorCode

if TYPE_CHECKING:
    from types import TracebackType

    from grpclib.metadata import Deadline, _Metadata, _MetadataLike  # pyright: ignore[reportPrivateUsage]
    from grpclib.protocol import Peer

    from ziggurat.services.channel.channel import Channel

__all__ = ["Call"]

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")


class Call(GrpclibCall[SendT, RecvT], Reply):
    """A call, as `Channel.request` returns it; to its users, grpclib's client ``Stream``.

    Unlike grpclib's, it raises a status as soon as the status arrives, even from a send. Anything that breaks the call
    wakes both the sending and the receiving task, and a call that the server has not seen is sent again.
    """

    if TYPE_CHECKING:
        _channel: Channel

    __slots__ = ("_cancelled", "_received", "_recv_type", "_send_type")

    def __init__(
        self,
        channel: Channel,
        method_name: str,
        metadata: _MetadataLike | None,
        cardinality: Cardinality,
        send_type: type[SendT],
        recv_type: type[RecvT],
        deadline: Deadline | None,
    ) -> None:
        Reply.__init__(self, channel, method_name, metadata, cardinality, deadline)
        self._send_type = send_type
        self._recv_type = recv_type
        self._cancelled = False
        self._received = 0

    # -- what a user may ask

    @property
    def deadline(self) -> Deadline | None:
        """When the call has to be over; ``None``: never."""
        return self._deadline

    @property
    def peer(self) -> Peer | None:  # type: ignore[override]
        """The other end; ``None`` before the request was sent."""
        return None if self._protocol is None else self._protocol.peer

    @property
    def initial_metadata(self) -> _Metadata | None:  # type: ignore[override]
        """What came with the response's headers; ``None`` before `recv_initial_metadata`."""
        if self._initial is None and self._head_read and self._head is not None:
            pairs = () if self._status_in_head else self._read(self._head).pairs
            self._initial = cast("_Metadata", MultiDict(pairs))
        return self._initial

    @property
    def trailing_metadata(self) -> _Metadata | None:  # type: ignore[override]
        """What came with the status; ``None`` before that was looked at."""
        section = self._head if self._status_in_head else self._trailers
        if self._trailing is None and section is not None and (self._trailers_read or self._status_read):
            self._trailing = cast("_Metadata", MultiDict(self._read(section).pairs))
        return self._trailing

    # -- sending

    async def send_request(self, *, end: bool = False) -> None:
        """Send the request's headers.

        Args:
            end: whether nothing follows, for a streaming request.

        Raises:
            grpclib.exceptions.ProtocolError: they were sent before, or a unary request has no message.
            GRPCError: the dial failed.
            CallRefused: no connection took the call.
        """
        if self._request_sent:
            raise ProtocolError("Request is already sent")
        if end and not self._streams_requests:
            raise ProtocolError("Unary request requires a message to be sent before ending outgoing stream")
        await self._send_request(end, self._channel.gzip)

    async def send_message(self, message: SendT, *, end: bool = False, compress: bool | None = None) -> None:
        """Send a message, and the request's headers before the first one.

        Args:
            message: what the codec takes.
            end: whether it is the last; of a unary request it is.
            compress: whether to compress it; ``None`` for what the endpoint says.

        Raises:
            grpclib.exceptions.ProtocolError: our side has ended, or nothing was said about compression in the request.
            GRPCError: the server has ended the call with an error.
            StreamTerminatedError: the call is over, so the message would not be read.
        """
        gzip = self._channel.gzip if compress is None else compress
        if not self._request_sent:
            announced = gzip or self._channel.gzip
            if not self._send_request_at_once(announced):
                await self._send_request(False, announced)
        if self._message_sent and not self._streams_requests:
            raise ProtocolError("Message was already sent")
        last = end or not self._streams_requests
        if self._ended_by_us:
            raise ProtocolError("Stream is ended")
        if gzip and not self._gzip:
            raise ProtocolError("The request did not announce compression: compress the first message, too")
        if "send_message" not in self._unheard:
            (message,) = await self._told(self._channel.__dispatch__.send_message(message))
        body = self._codec.encode(message, self._send_type)
        held = self._hold(body, gzip, last)
        try:
            if gzip or self._resending is not None or not self._send_at_once(body, False, last):
                await self._send_body(body, held, gzip=gzip, end=last)
        except StreamTerminatedError:
            await self._raise_status()
            if not self.remote_ended or (self._streams_requests and self._streams_responses):
                raise  # else the server needs no more of it, and its response counts
        self._message_sent = True
        self._ended_by_us = end

    async def end(self) -> None:
        """End our side of a streaming request. Once the server is done with the call, nothing happens.

        Raises:
            grpclib.exceptions.ProtocolError: it has ended, or has not begun.
            StreamTerminatedError: the call has failed.
        """
        if not self._request_sent:
            raise ProtocolError("Request was not sent")
        if self._ended_by_us:
            raise ProtocolError("Stream was already ended")
        if self._streams_requests:
            if not self.remote_ended:
                await self._send_end()
        elif not self._message_sent:
            raise ProtocolError("Unary request requires a single message to be sent")
        self._ended_by_us = True

    async def cancel(self) -> None:
        """Give the call up, and tell the server so. Whoever sends or receives gets a ``StreamTerminatedError``.

        Raises:
            grpclib.exceptions.ProtocolError: the request was not sent, or this was called before.
        """
        if not self._request_sent:
            raise ProtocolError("Request was not sent yet")
        if self._cancelled:
            raise ProtocolError("Stream was already cancelled")
        self._cancelled = True
        self._reset(ErrorCode.CANCEL)
        self.terminate(StreamTerminatedError("The call was cancelled"))
        if not self.remote_ended:
            self.discard()

    # -- receiving

    async def recv_initial_metadata(self) -> None:
        """Wait for the response's headers.

        Raises:
            GRPCError: they say that the call has failed, or are not gRPC's.
            StreamTerminatedError: the call ended before.
        """
        if not self._request_sent:
            raise ProtocolError("Request was not sent yet")
        if self._head_read:
            raise ProtocolError("Initial metadata was already received")
        while self._head is None:
            if self._again is not None or self._resending is not None:
                await self._send_again()
            else:
                await self._wait()
        if not self._accept_head():
            self._head_read = True
            await self._read_head(self._head)

    async def recv_message(self) -> RecvT | None:
        """Return the next message; ``None`` at the end of a stream. A cancelled wait takes no message away.

        Raises:
            GRPCError: the call has failed, or a message may not pass: too large, not to be decoded, one too many.
            StreamTerminatedError: the call ended before its time.
        """
        if not self._head_read:
            plain = self._request_sent and self._again is None and self._resending is None
            if self._head is None and plain and (reader := self._more_to_come()) is not None:
                await reader  # not in there, for two coroutines less in each call
            if not self._accept_head():
                await self.recv_initial_metadata()
        body = self._next()
        if body is None and (body := await self._receive()) is None:
            if not self._streams_responses and not self._received:
                if not (self._trailers_read or self._status_in_head):
                    await self.recv_trailing_metadata()
                if self._succeeded:  # else the status was raised before
                    raise GRPCError(Status.UNIMPLEMENTED, "the server ended a unary call without a message")
            return None
        if self._received and not self._streams_responses:
            self._close_with(one_too_many())
        try:
            message: RecvT = self._codec.decode(body, self._recv_type)
        except GRPCError:
            raise
        except Exception as error:
            raise GRPCError(Status.INTERNAL, f"a message cannot be decoded: {error}") from error
        if "recv_message" not in self._unheard:
            (message,) = await self._told(self._channel.__dispatch__.recv_message(message))
        self._received += 1
        return message

    async def recv_trailing_metadata(self) -> None:
        """Wait for the status.

        Raises:
            GRPCError: the status is not OK.
            grpclib.exceptions.ProtocolError: neither side has ended, or the headers were not asked for.
            StreamTerminatedError: the call ended before its time.
        """
        over = self.remote_ended or self.broken is not None
        if not (over or self._ended_by_us or (self._message_sent and not self._streams_requests)):
            raise ProtocolError("Outgoing stream was not ended")
        if not self._head_read:
            raise ProtocolError("Initial metadata was not received before waiting for trailing metadata")
        if self._trailers_read:
            raise ProtocolError("Trailing metadata was already received")
        if not self._status_in_head:  # else it was read with the head
            if not self.remote_ended:
                await self._wait_for_end()
            self._trailers_read = True
            if self._trailers is None:
                raise GRPCError(Status.UNKNOWN, "Missing grpc-status header")
            if not self._status_passes(self._trailers):
                await self._read_status(self._read(self._trailers))
        self._trailers_read = True

    # -- the scope

    async def __aenter__(self) -> Call[SendT, RecvT]:
        channel = self._channel
        if self._deadline is not None:
            left = self._deadline.time_remaining()
            if left <= 0:
                raise TimeoutError("Deadline exceeded")
            self._timer = asyncio.get_running_loop().call_later(left, self._expire)
        channel._calls_started += 1  # pyright: ignore[reportPrivateUsage]
        channel._last_call_started = time.monotonic()  # pyright: ignore[reportPrivateUsage]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        succeeded = False
        try:
            if error is None:
                if not self._cancelled and self._unfinished():
                    await self._finish()
                succeeded = True
            elif isinstance(error, StreamTerminatedError):
                await self._raise_status()
        finally:
            self._leave()
            if succeeded:
                self._channel._calls_succeeded += 1  # pyright: ignore[reportPrivateUsage]
            else:
                self._channel._calls_failed += 1  # pyright: ignore[reportPrivateUsage]

    async def _finish(self) -> None:
        """Wait for what is still to come, and raise a status that is not OK."""
        if not self._head_read:
            await self.recv_initial_metadata()
        if not self._trailers_read:
            if self._streams_responses:
                self.discard()  # nobody can read it any more, and the server may wait for room
            await self.recv_trailing_metadata()
        if self._received and self._size and not self._streams_responses:
            raise one_too_many()
