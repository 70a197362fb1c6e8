"""A call in a server: what a handler holds and the stream under it, in one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.metadata import Deadline, encode_grpc_message
from grpclib.server import Stream as GrpclibStream
from multidict import MultiDict

from ziggurat.services.channel.metadata import encode_binary, encode_pairs
from ziggurat.services.channel.request_head import RequestHead
from ziggurat.services.channel.server_stream import ServerStream
from ziggurat.services.http2 import ErrorCode, HeaderSection, HeaderTemplate

if TYPE_CHECKING:
    from grpclib.metadata import _Metadata, _MetadataLike  # pyright: ignore[reportPrivateUsage]
    from grpclib.protocol import Peer

    from ziggurat.services.channel.call_handler import CallHandler
    from ziggurat.services.channel.method import Method

__all__ = ["ServerCall"]

RecvT = TypeVar("RecvT")
SendT = TypeVar("SendT")

TRAILERS = {status: HeaderTemplate([(b"grpc-status", b"%d" % status.value)]) for status in Status}


class ServerCall(GrpclibStream[RecvT, SendT], ServerStream):
    """A call, as a handler gets it; to its users, grpclib's server ``Stream``.

    Differences: a unary request with no message or with two is an error of `recv_message`, and so is a message that
    cannot be decoded.

    Args:
        head: the request.
        method: what it is for; ``None`` for a method that there is not.
        handler: who runs the call.

    Attributes:
        deadline: when the call has to be over; ``None`` for never.
        ended_by: why the handler is being cancelled; ``None`` while it is not, and when it is the server that ends.
    """

    __slots__ = (
        "_cancel_done",
        "_handler",
        "_messages_received",
        "_metadata",
        "_method",
        "_send_initial_metadata_done",
        "_send_message_done",
        "_send_trailing_metadata_done",
        "_started",
        "deadline",
        "ended_by",
    )

    def __init__(self, head: RequestHead, method: Method | None, handler: CallHandler) -> None:
        ServerStream.__init__(self, head)
        self._method = method
        self._handler = handler
        self._metadata: _Metadata | None = None
        self._started = self._cancel_done = False
        self._messages_received = 0
        self._send_initial_metadata_done = self._send_message_done = self._send_trailing_metadata_done = False
        self.deadline: Deadline | None = None
        self.ended_by: Exception | None = None

    # -- what a handler may ask

    @property
    def method(self) -> Method:
        """What the call is for."""
        assert self._method is not None
        return self._method

    @property
    def unknown(self) -> bool:
        """Whether there is no such method."""
        return self._method is None

    @property
    def metadata(self) -> _Metadata:
        """What came with the request."""
        if self._metadata is None:
            self._metadata = cast("_Metadata", MultiDict(self.head.pairs))
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: _Metadata) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._metadata = metadata

    @property
    def user_agent(self) -> str | None:  # type: ignore[override]
        """The client's."""
        return self.head.user_agent

    @property
    def peer(self) -> Peer:  # type: ignore[override]
        """The client's end of the connection."""
        return self.protocol.peer

    # Of grpclib's private names, those that interceptors and handlers are known to look at.

    @property
    def _stream(self) -> ServerStream:  # type: ignore[override]
        return self

    @property
    def _method_name(self) -> str:  # type: ignore[override]
        return self.method.name

    @property
    def _cardinality(self) -> Cardinality:  # type: ignore[override]
        return self.method.cardinality

    @property
    def _recv_type(self) -> type[RecvT]:  # type: ignore[override]
        return cast("type[RecvT]", self.method.request_type)

    @property
    def _send_type(self) -> type[SendT]:  # type: ignore[override]
        return cast("type[SendT]", self.method.reply_type)

    # -- receiving

    async def recv_message(self) -> RecvT | None:
        """Return the next message; ``None`` at the end. A cancelled wait takes no message away.

        Raises:
            GRPCError: a message may not pass: too large, not to be decoded; or a unary request has no message, or two.
            StreamTerminatedError: the call ended before its time.
        """
        method = self.method
        while (body := self._next()) is None:
            if not await self._wait():
                if not method.streams_requests and not self._messages_received:
                    raise GRPCError(Status.UNIMPLEMENTED, "a unary request has no message")
                return None
        if not method.streams_requests and (self._size or not self.remote_ended):
            await self.expect_end()
        try:
            message: Any = method.codec.decode(body, method.request_type)
        except GRPCError:
            raise
        except Exception as error:
            raise GRPCError(Status.INTERNAL, f"a message cannot be decoded: {error}") from error
        if method.listened("recv_message"):
            (message,) = await cast("Any", method.dispatch).recv_message(message)
        self._messages_received += 1
        return cast("RecvT", message)

    # -- sending

    async def send_initial_metadata(self, *, metadata: _MetadataLike | None = None) -> None:
        """Send the headers of the answer; `send_message` does it otherwise.

        Raises:
            grpclib.exceptions.ProtocolError: they were sent before.
            StreamTerminatedError: the call is over.
        """
        if self._send_initial_metadata_done:
            raise ProtocolError("Initial metadata was already sent")
        method = self.method
        if method.listened("send_initial_metadata"):
            (metadata,) = await cast("Any", method.dispatch).send_initial_metadata(MultiDict(metadata or ()))
        self.gzip = self._handler.gzip and self.head.accepts_gzip
        own = encode_pairs(metadata) if metadata else ()
        await self.send_headers(method.gzip_head if self.gzip else method.head, own)
        self._send_initial_metadata_done = True

    async def send_message(self, message: SendT) -> None:
        """Send a message.

        Raises:
            grpclib.exceptions.ProtocolError: it is the second one of a unary answer.
            StreamTerminatedError: the call is over.
        """
        method = self.method
        if not self._send_initial_metadata_done:
            await self.send_initial_metadata()
        if self._send_message_done and not method.streams_responses:
            raise ProtocolError("Message was already sent")
        if method.listened("send_message"):
            (message,) = await cast("Any", method.dispatch).send_message(message)
        await self._send(method.codec.encode(message, method.reply_type), gzip=self.gzip, end=False)
        cast("Any", self._protocol).pings_in_a_row = 0
        self._send_message_done = True

    async def send_trailing_metadata(
        self,
        *,
        status: Status = Status.OK,
        status_message: str | None = None,
        status_details: Any = None,
        metadata: _MetadataLike | None = None,
    ) -> None:
        """End the call with a status; this is done for a handler that returns or raises.

        Raises:
            grpclib.exceptions.ProtocolError: it was sent before, or a unary answer has no message.
            StreamTerminatedError: the call is over.
        """
        if self._send_trailing_metadata_done:
            raise ProtocolError("Trailing metadata was already sent")
        method = self.method
        if status is Status.OK and not method.streams_responses and not self._send_message_done:
            raise ProtocolError("Unary response with OK status requires a single message to be sent")
        own: list[tuple[bytes, bytes]] = []
        template = TRAILERS[status]
        if not self._send_initial_metadata_done:
            own, template = [*template.fields], method.head
        if status_message is not None:
            own.append((b"grpc-message", encode_grpc_message(status_message).encode("ascii")))
        if status_details is not None and method.details_codec is not None:
            details = method.details_codec.encode(status, status_message, status_details)
            own.append((b"grpc-status-details-bin", encode_binary(details)))
        if method.listened("send_trailing_metadata"):
            (metadata,) = await cast("Any", method.dispatch).send_trailing_metadata(
                MultiDict(metadata or ()), status=status, status_message=status_message, status_details=status_details
            )
        if metadata:
            own += encode_pairs(metadata)
        await self.send_headers(template, own, end=True)
        self._send_trailing_metadata_done = True
        if status is not Status.OK:
            self._reset(ErrorCode.NO_ERROR)  # RFC 9113 8.1: the rest of the request is of no use

    async def cancel(self) -> None:
        """Give the call up, and tell the client so.

        Raises:
            grpclib.exceptions.ProtocolError: it was cancelled before.
        """
        if self._cancel_done:
            raise ProtocolError("Stream was already cancelled")
        self._cancel_done = True
        self._reset(ErrorCode.NO_ERROR)
        super().terminate(StreamTerminatedError("the call was cancelled"))

    # -- the end

    async def finish(self, error: Exception | None) -> None:
        """Send the status that a handler has ended with, unless it has done so itself, or nobody would get it.

        Raises:
            grpclib.exceptions.ProtocolError: a unary answer has no message. The client was told.
        """
        if self._send_trailing_metadata_done or self._cancel_done or self.stopped is not None:
            return
        try:
            if isinstance(error, GRPCError):
                await self.send_trailing_metadata(
                    status=error.status, status_message=error.message, status_details=error.details
                )
            elif error is None and (self._send_message_done or self.method.streams_responses):
                await self.send_trailing_metadata()
            else:
                await self.send_trailing_metadata(status=Status.UNKNOWN, status_message="Internal Server Error")
                if error is None:
                    raise ProtocolError(
                        f"Unary response with OK status requires a single message to be sent: {self.method.name!r}"
                    )
        except StreamTerminatedError:
            pass

    def terminate(self, error: Exception) -> None:
        """The call is over before its time: the handler is cancelled."""
        super().terminate(error)
        self._handler.cancel(self, error)

    def expire(self) -> None:
        """The deadline has passed: the handler is cancelled."""
        self._handler.cancel(self, TimeoutError("Deadline exceeded"))

    # -- from the core

    def on_headers(self, section: HeaderSection, ends: bool) -> None:
        """The request is there; or trailers, which mean nothing."""
        if not self._started:
            self._started = True
            self._handler.start(self)

    def on_end(self) -> None:
        """The client has sent everything."""
        self._wake_reader()
