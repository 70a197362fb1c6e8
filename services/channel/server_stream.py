"""A server's end of one stream: the sending half of an answer, from its headers to its trailers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from ziggurat.services.channel.message_stream import MessageStream
from ziggurat.services.channel.request_head import Refusal, RequestHead
from ziggurat.services.errors import copy_error
from ziggurat.services.http2 import ErrorCode, HeaderFields, HeaderTemplate

if TYPE_CHECKING:
    from ziggurat.services.channel.server_protocol import ServerProtocol

__all__ = ["ServerStream"]

OVER = StreamTerminatedError("the call is over: its trailers have been sent")


class ServerStream(MessageStream):
    """A server's end.

    Attributes:
        head: what the request's headers say.
        gzip: whether messages are compressed.
    """

    __slots__ = ("gzip", "head")

    def __init__(self, head: RequestHead) -> None:
        super().__init__()
        self.head = head
        self.gzip = False

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        """The messages' ``grpc-encoding``."""
        return self.head.encoding

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The request's headers."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.head.fields]

    def attach(self, protocol: ServerProtocol) -> None:
        """The stream is about to be opened there."""
        self._attach(protocol)

    async def send_headers(
        self, template: HeaderTemplate, own: HeaderFields = (), fresh: HeaderFields = (), *, end: bool = False
    ) -> None:
        """Send headers, or with ``end`` trailers, once the transport takes bytes; see `HeaderWriter.write`.

        Raises:
            StreamTerminatedError: the call is over.
        """
        protocol = cast("ServerProtocol", self._protocol)
        while not protocol.writable and self.stopped is None:
            await self._wait_for_room(for_window=False)
        if self.stopped is not None:
            raise copy_error(self.stopped)
        core = protocol.core
        if end:
            self.stop(OVER)  # who is in the middle of a message cannot finish it
        core.send_headers(self, template, own, fresh, end=end)
        protocol.pings_in_a_row = 0
        protocol.flush_soon()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer a request that is not served.

        Raises:
            StreamTerminatedError: the call is over.
        """
        template, own = refusal.fields
        await self.send_headers(template, own, end=True)
        self._reset(ErrorCode.NO_ERROR)  # RFC 9113 8.1: the rest of the request is of no use

    async def expect_end(self) -> None:
        """Wait until the client has ended a request of one message, which was taken.

        Raises:
            GRPCError: another message has come.
            StreamTerminatedError: the call ended before its time.
        """
        while not self._size:
            if self.broken is not None:
                raise copy_error(self.broken)
            if self.remote_ended:
                return
            self._wanted = 1
            await self._new_reader()
        error = GRPCError(Status.UNIMPLEMENTED, "a unary request has more than one message")
        self.spoil(error)
        raise copy_error(error)

    def leave(self) -> None:
        """Nobody reads or sends here any more."""
        if not self.discarding:
            self.discard()

    def _refuse(self, error: Exception) -> None:
        """A message may not pass: the handler is to send the status, so the stream is not reset."""

    def on_fault(self, reason: str) -> None:
        """The request breaks HTTP/2's rules."""
        self.terminate(StreamTerminatedError(f"Protocol error: {reason}"))
