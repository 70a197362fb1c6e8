"""The sending half of a client's call, and its second start: a call that the server has not seen is sent again.

gRPC calls that a transparent retry (gRFC A6). For as long as no response has begun the messages are held, up to a
bound, and sent once more on another connection. A request that never left is tried more often: nothing is lost by it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

from grpclib.const import Cardinality
from grpclib.exceptions import StreamTerminatedError
from multidict import MultiDict

from ziggurat.services.channel.message_stream import MessageStream
from ziggurat.services.channel.metadata import encode_pairs, encode_timeout
from ziggurat.services.channel.refusal import CallRefused
from ziggurat.services.errors import copy_error
from ziggurat.services.http2 import ErrorCode, HeaderFields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpclib.metadata import Deadline, _Metadata, _MetadataLike  # pyright: ignore[reportPrivateUsage]

    from ziggurat.services.channel.channel import Channel
    from ziggurat.services.channel.client_protocol import ClientProtocol

__all__ = ["MAX_HELD", "MAX_SENDS", "Request"]

MAX_SENDS = 5
"""Connections tried for a request that was not sent, before the caller gets the error."""

MAX_HELD = 256 * 1024
"""Bytes of messages that a call holds to send them again. A call that has sent more is not repeated."""

UNARY_STREAM, STREAM_UNARY = Cardinality.UNARY_STREAM, Cardinality.STREAM_UNARY
STREAM_STREAM = Cardinality.STREAM_STREAM
"""An enumeration's attributes are looked up slowly, and these have properties that are slower yet."""

T = TypeVar("T")

Held = list[tuple[bytes | None, bool, bool]]
"""Messages: encoded, whether to compress, whether it is the last. ``None`` is an end without a message."""


class Request(MessageStream):
    """The sending half of a call."""

    __slots__ = (
        "_again",
        "_channel",
        "_deadline",
        "_ended_by_us",
        "_gzip",
        "_held",
        "_held_size",
        "_message_sent",
        "_method_name",
        "_own",
        "_repeated",
        "_request_sent",
        "_resending",
        "_streams_requests",
        "_streams_responses",
        "_unheard",
        "_user_metadata",
    )

    def __init__(
        self,
        channel: Channel,
        method_name: str,
        metadata: _MetadataLike | None,
        cardinality: Cardinality,
        deadline: Deadline | None,
    ) -> None:
        MessageStream.__init__(self)
        self._unheard = (
            channel.__dispatch__.__dict__
        )  # events that nobody listens to; grpclib takes a name out for the first listener
        self._user_metadata = metadata
        self._channel = channel
        self._method_name = method_name
        self._streams_responses = cardinality is UNARY_STREAM or cardinality is STREAM_STREAM
        self._streams_requests = cardinality is STREAM_UNARY or cardinality is STREAM_STREAM
        self._deadline = deadline
        self._own: HeaderFields = ()
        self._request_sent = self._message_sent = self._ended_by_us = False
        self._gzip = self._repeated = False
        self._held: Held | None = []  # None: no more to be repeated
        self._held_size = 0
        self._again: CallRefused | None = None  # why it is to be sent again
        self._resending: asyncio.Future[None] | None = None

    # -- opening

    async def _send_request(self, end: bool, gzip: bool) -> None:
        """Open the stream with the request's headers, on whatever connection has room.

        Args:
            end: whether that is all.
            gzip: whether to announce that messages may be compressed.

        Raises:
            CallRefused: none took it, `MAX_SENDS` times.
            GRPCError: the dial failed.
            asyncio.TimeoutError: the deadline passed; the dial so far is its ``__cause__``.
        """
        if "send_request" in self._unheard:
            self._own = encode_pairs(self._user_metadata) if self._user_metadata else ()
        else:
            metadata = cast("_Metadata", MultiDict(self._user_metadata or ()))
            (metadata,) = await self._told(
                self._channel.__dispatch__.send_request(
                    metadata,
                    method_name=self._method_name,
                    deadline=self._deadline,
                    content_type=self._channel.content_type,
                )
            )
            self._own = encode_pairs(metadata)
        protocol = self._channel.protocol
        if protocol is None or not protocol.has_room():
            protocol = await self._find_connection()
        self._start(protocol, end, gzip)
        if end:
            self._hold(None, False, True)
            self._ended_by_us = True

    def _send_request_at_once(self, gzip: bool) -> bool:
        """Do what `_send_request` does, if there is nothing to wait for; return whether that is so."""
        if "send_request" not in self._unheard:
            return False
        protocol = self._channel.protocol
        if protocol is None or not protocol.has_room():
            return False
        if self._user_metadata:
            self._own = encode_pairs(self._user_metadata)
        self._start(protocol, False, gzip)
        return True

    async def _told(self, listeners: Awaitable[T]) -> T:
        """Wait for an event's listeners, which may take as long as they like, but not longer than the call.

        Raises:
            asyncio.TimeoutError: the deadline passed.
        """
        if self._deadline is None:
            return await listeners
        limit = asyncio.timeout(self._deadline.time_remaining())
        try:
            async with limit:
                return await listeners
        except TimeoutError:
            if limit.expired():
                raise TimeoutError("Deadline exceeded") from None
            raise

    def _start(self, protocol: ClientProtocol, end: bool, gzip: bool) -> None:
        # By position, down to the core: Python takes longer over keywords.
        if self.stopped is not None:
            protocol.slots.wake()  # it was this call's turn
            raise copy_error(self.stopped)
        fresh: HeaderFields = ()
        if self._deadline is not None:
            fresh = ((b"grpc-timeout", encode_timeout(self._deadline.time_remaining())),)
        self._gzip = gzip
        self._attach(protocol)
        protocol.start(self, self._channel.template(self._method_name, gzip), self._own, fresh, end)
        self._request_sent = True

    async def _find_connection(self) -> ClientProtocol:
        deadline = self._deadline
        if deadline is None:
            return await self._wait_turn(None)
        limit = asyncio.timeout(deadline.time_remaining())
        try:
            async with limit:
                return await self._wait_turn(limit.expired)
        except TimeoutError as error:
            if not limit.expired():
                raise
            cancelled = error.__cause__
            raise TimeoutError("Deadline exceeded") from cancelled and cancelled.__cause__

    async def _wait_turn(self, expired: Callable[[], bool] | None) -> ClientProtocol:
        refused: CallRefused | None = None
        for _ in range(MAX_SENDS):
            protocol = await self._channel.ready(expired)
            try:
                await protocol.wait_turn()
            except CallRefused as error:
                refused = copy_error(error)
            else:
                return protocol
        assert refused is not None
        raise copy_error(refused)

    # -- messages

    async def _send_body(self, body: bytes, held: bool, *, gzip: bool, end: bool) -> None:
        """Send one message; again, on another connection, if this one does not take the call.

        Args:
            body: the message.
            held: whether it is held for that.
            gzip: whether to compress it.
            end: whether it is the last.
        """
        if self._again is None and self._resending is None:
            try:
                await self._send(body, gzip=gzip, end=end)
            except StreamTerminatedError:
                if self._again is None or not held:
                    raise
            else:
                return
        await self._send_again()
        if not held:
            await self._send(body, gzip=gzip, end=end)

    async def _send_end(self) -> None:
        """End our side without a message."""
        held = self._hold(None, False, True)
        if self._again is not None or self._resending is not None:
            await self._send_again()
            if held:
                return
        self._end_now()

    def _end_now(self) -> None:
        if self.stopped is not None:
            raise copy_error(self.stopped)
        if not self.closed and not self.local_ended:
            self.protocol.core.send_data(self, (), 0, end=True)
            self.protocol.flush_soon()

    # -- the second start

    def _hold(self, body: bytes | None, gzip: bool, end: bool) -> bool:
        """Keep a message (``None``: the end) for a second start; return whether it is kept."""
        if self._held is None:
            return False
        if body is not None:
            self._held_size += len(body)
            if self._held_size > MAX_HELD:
                self._held = None
                return False
        self._held.append((body, gzip, end))
        return True

    def refuse(self, error: CallRefused) -> None:
        """The server has not seen the call: send it again, if it can be done and was not done before."""
        self._reset(ErrorCode.CANCEL)
        if self._held is None or self._repeated or self.broken is not None:
            self.terminate(error)
            return
        self._again = self.stopped = error  # whoever sends or receives begins anew
        self.on_window()
        self._wake_reader()

    async def _send_again(self) -> None:
        """Send the call again, or wait for the task that does."""
        if self._resending is not None:
            await asyncio.shield(self._resending)
            if self.stopped is not None:
                raise copy_error(self.stopped)
            return
        self._again, self.stopped, self._repeated = None, None, True
        self._renew()
        self._resending = asyncio.get_running_loop().create_future()
        try:
            self._start(await self._find_connection(), False, self._gzip)
            for body, gzip, end in self._held or ():  # what others add meanwhile comes last
                if body is None:
                    self._end_now()
                else:
                    await self._send(body, gzip=gzip, end=end)
        except BaseException as error:
            again = copy_error(error) if isinstance(error, Exception) else None
            self.terminate(again or StreamTerminatedError("the call was cancelled while it was sent again"))
            raise
        finally:
            resending, self._resending = self._resending, None
            resending.set_result(None)
