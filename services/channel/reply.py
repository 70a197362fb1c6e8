"""The receiving half of a client's call: the response's headers, its status, and what comes in place of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from multidict import MultiDict

from ziggurat.services.channel.refusal import NOT_PROCESSED, CallRefused
from ziggurat.services.channel.request import Request
from ziggurat.services.channel.response import Response, page_words, read_response
from ziggurat.services.errors import copy_error
from ziggurat.services.http2 import ErrorCode, HeaderSection

if TYPE_CHECKING:
    from grpclib.encoding.base import StatusDetailsCodecBase
    from grpclib.metadata import Deadline, _Metadata, _MetadataLike  # pyright: ignore[reportPrivateUsage]

    from ziggurat.services.channel.channel import Channel

__all__ = ["Reply", "one_too_many"]

DEADLINE_SLACK = 0.05
"""Seconds before our own deadline in which a server's CANCEL means that its timer ran out first."""

PAGE_TIME = 1.0
PAGE_SIZE = 2048
"""Seconds and bytes for the page of an HTTP server that answers in place of a gRPC server; it goes into the error."""


class Reply(Request):
    """The receiving half of a call, on top of the sending one: a status ends both."""

    __slots__ = (
        "_begun_well",
        "_codec",
        "_head",
        "_head_read",
        "_initial",
        "_status_in_head",
        "_status_read",
        "_timer",
        "_trailers",
        "_trailers_read",
        "_trailing",
    )

    def __init__(
        self,
        channel: Channel,
        method_name: str,
        metadata: _MetadataLike | None,
        cardinality: Cardinality,
        deadline: Deadline | None,
    ) -> None:
        Request.__init__(self, channel, method_name, metadata, cardinality, deadline)
        self._codec = channel._codec  # pyright: ignore[reportPrivateUsage]
        self._head: HeaderSection | None = None
        self._trailers: HeaderSection | None = None
        self._initial: _Metadata | None = None  # where a listener has replaced them
        self._trailing: _Metadata | None = None
        self._begun_well = self._status_in_head = self._head_read = self._trailers_read = self._status_read = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        """The messages' ``grpc-encoding``."""
        return None if self._head is None else self._read(self._head).encoding

    # -- from the core

    def on_headers(self, section: HeaderSection, ends: bool) -> None:
        """The response has begun, or has ended."""
        if self._head is None:
            self._head = section
            self._status_in_head = ends
            self._held = None  # the server has seen the call
        else:
            self._trailers = section
        if not ends and self._reader is not None:  # else `on_end` follows
            self._wake_reader()

    def on_end(self) -> None:
        """The call is over, whatever is still to be sent."""
        if not self.local_ended:
            self._reset(ErrorCode.NO_ERROR)
            self.stop(StreamTerminatedError("The server has ended the call and reads no more (NO_ERROR)"))
        if self._reader is not None:
            self._wake_reader()

    def on_reset(self, code: int) -> None:
        """The server has given the call up."""
        deadline = self._deadline
        if code == ErrorCode.REFUSED_STREAM:
            self.refuse(CallRefused(f"Stream reset by remote party, REFUSED_STREAM: {NOT_PROCESSED}"))
        elif code == ErrorCode.CANCEL and deadline is not None and deadline.time_remaining() <= DEADLINE_SLACK:
            self._expire()
        else:
            super().on_reset(code)

    def on_fault(self, reason: str) -> None:
        """The response breaks HTTP/2's rules."""
        self.terminate(GRPCError(Status.INTERNAL, f"the response is malformed: {reason}"))

    def _expire(self) -> None:
        """The deadline has passed."""
        self._timer = None
        self._reset(ErrorCode.CANCEL)
        self.broken = self.stopped = TimeoutError("Deadline exceeded")
        self.discard()
        self._wake_reader()
        self.on_window()

    # -- reading

    def _accept_head(self) -> bool:
        """Return whether the response has begun, and well, and nobody listens: its head is read then."""
        section = self._head
        if section is None:
            return False
        memo = section.memo  # as in `_read`, for a call less in each call
        response = memo if isinstance(memo, Response) else self._read(section)
        self._begun_well = response.flawless and not self._status_in_head
        self._head_read = self._begun_well and "recv_initial_metadata" in self._unheard
        return self._head_read

    def _status_passes(self, section: HeaderSection) -> bool:
        """Whether `_read_status` has nothing to do: the call has ended well, and nobody listens."""
        memo = section.memo
        response = memo if isinstance(memo, Response) else self._read(section)
        well = self._begun_well and response.flawless and response.status is not None
        return well and "recv_trailing_metadata" in self._unheard

    def _unfinished(self) -> bool:
        """Whether a call that is left has anything to wait for, or to say about its end."""
        over = self._head_read and self.remote_ended and not self._size
        if over and self._trailers is not None and self._status_passes(self._trailers):
            self._trailers_read = True
            return False
        # As in grpclib: not after a connection is lost, which others have been told.
        return self._request_sent and (self.remote_ended or not self.protocol.closing)

    async def _read_head(self, section: HeaderSection) -> None:
        response = self._read(section)
        if self._status_in_head:
            if response.status is None:
                self._close_with(response.fault or response.error(None))
            if "recv_initial_metadata" not in self._unheard:
                nothing = cast("_Metadata", MultiDict())
                (self._initial,) = await self._told(self._channel.__dispatch__.recv_initial_metadata(nothing))
            await self._read_status(response)
            return
        if response.fault is not None:
            await self._read_page(response.fault)
        if response.encoding_fault is not None:
            self._close_with(response.encoding_fault)
        if "recv_initial_metadata" not in self._unheard:
            metadata = cast("_Metadata", MultiDict(response.pairs))
            (self._initial,) = await self._told(self._channel.__dispatch__.recv_initial_metadata(metadata))

    async def _read_status(self, response: Response) -> None:
        """Tell the listeners of the status, once, and raise it if it is not OK."""
        first, self._status_read = not self._status_read, True
        if first and "recv_trailing_metadata" not in self._unheard:
            (self._trailing,) = await self._told(
                self._channel.__dispatch__.recv_trailing_metadata(
                    cast("_Metadata", MultiDict(response.pairs)),
                    status=response.status or Status.UNKNOWN,
                    status_message=response.message,
                    status_details=response.details(self._details_codec),
                )
            )
        if response.status is not Status.OK:  # no local variable: the error's traceback holds this frame
            raise response.error(self._details_codec)
        head = None if self._head is None else self._read(self._head)
        if fault := response.pairs_fault or (head and head.pairs_fault):
            raise GRPCError(Status.INTERNAL, fault)

    async def _read_page(self, error: GRPCError) -> None:
        """An HTTP server has answered. Its page says more than its status, and a status in trailers more than both."""
        try:
            async with asyncio.timeout(PAGE_TIME):
                while not self.remote_ended and self.broken is None and self._size < PAGE_SIZE:
                    self._wanted = PAGE_SIZE
                    await self._new_reader()
        except TimeoutError:
            pass
        await self._raise_status()
        self._join()
        if words := page_words(bytes(self._chunk[:PAGE_SIZE])):
            error = GRPCError(error.status, f"{error.message}: {words!r}")
        self._close_with(error)

    def _read(self, section: HeaderSection) -> Response:
        memo = section.memo
        if isinstance(memo, Response):
            return memo
        return read_response(section, self._codec.__content_subtype__)

    @property
    def _details_codec(self) -> StatusDetailsCodecBase | None:
        return self._channel._status_details_codec  # pyright: ignore[reportPrivateUsage]

    @property
    def _succeeded(self) -> bool:
        section = self._head if self._status_in_head else self._trailers
        return section is not None and self._read(section).status is Status.OK

    async def _raise_status(self) -> None:
        """Raise the status if it is there, and is not OK. An OK is for whoever asks for it."""
        section = self._head if self._status_in_head else self._trailers
        if section is not None:
            response = self._read(section)
            missing = response.status is None and self._status_in_head
            if response.status is not Status.OK and not missing:
                await self._read_status(response)

    def _close_with(self, error: GRPCError | None) -> None:
        """Give the call up because of what came, and raise that."""
        assert error is not None
        self.spoil(error)
        raise copy_error(error)

    def _leave(self) -> None:
        """The call is left: let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._held = None
        if not self.closed:
            self._reset(ErrorCode.CANCEL)
        self.discarding = True
        if self._size:
            self.discard()


def one_too_many() -> GRPCError:
    """Return the error for a second message in answer to a unary call."""
    return GRPCError(Status.UNIMPLEMENTED, "the server sent more than one message in answer to a unary call")
