"""A caller's view of one call: grpclib's client stream, for peers that are done before we are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from grpclib.client import Stream as GrpclibCall

from ziggurat.services.channel.stream import CallRefused

if TYPE_CHECKING:
    from ziggurat.services.channel.channel import Channel
    from ziggurat.services.channel.stream import Stream

__all__ = ["Call"]

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

MAX_SENDS = 5
"""How often a request that never left is handed to a new connection, before the caller hears of it."""


class Call(GrpclibCall[SendT, RecvT]):
    """What `Channel.request` answers with.

    A server may end a call before the client has ended its side (RFC 9113 8.1); grpclib then refuses to look at the
    status, because "outgoing stream was not ended", and forgets it altogether when the connection has gone meanwhile.
    """

    if TYPE_CHECKING:
        _stream: Stream  # pyright: ignore[reportIncompatibleVariableOverride]
        _channel: Channel  # pyright: ignore[reportIncompatibleVariableOverride]

    async def send_request(self, *, end: bool = False) -> None:
        """Send the request headers; on a new connection, where the one at hand takes no new call any more."""
        for _ in range(MAX_SENDS - 1):
            try:
                return await self._send_request(end)
            except CallRefused:
                pass  # nothing was sent
        return await self._send_request(end)

    async def _send_request(self, end: bool) -> None:
        misused = self._send_request_done or (end and not self._cardinality.client_streaming)  # grpclib says so below
        if not misused and not self._channel.connected:
            await self._connect()
        await super().send_request(end=end)

    async def _connect(self) -> None:
        """Dial before grpclib asks for a connection, so that a deadline that ends the wait can say what it ended.

        Raises:
            asyncio.TimeoutError: the call's deadline passed; the dial so far is its ``__cause__``.
        """
        wrapper = self._wrapper  # applies the deadline
        cause: BaseException | None = None
        try:
            with wrapper:
                try:
                    await self._channel.ready(lambda: bool(wrapper.cancelled))
                except asyncio.CancelledError as cancelled:
                    cause = cancelled.__cause__
                    raise
        except TimeoutError as error:
            if cause is not None:
                error.__cause__ = cause
            raise

    async def recv_trailing_metadata(self) -> None:
        """Wait for the status.

        Raises:
            GRPCError: the status is not OK.
            grpclib.exceptions.ProtocolError: our side was not ended, and neither was the peer's.
        """
        end_done = self._end_done
        if self._send_request_done and self._stream.ended:
            self._end_done = True  # nothing that could be sent would be read
        try:
            await super().recv_trailing_metadata()
        finally:
            self._end_done = end_done

    async def _maybe_finish(self) -> None:
        if self._send_request_done and self._stream.ended and not self._cancel_done:
            if not self._recv_initial_metadata_done:
                await self.recv_initial_metadata()
            if not self._recv_trailing_metadata_done:
                await self.recv_trailing_metadata()
        else:
            await super()._maybe_finish()
