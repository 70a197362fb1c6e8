"""A client call: grpclib's client stream, for servers that may end a call before the client does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from grpclib.client import Stream as GrpclibCall
from grpclib.const import Cardinality

from ziggurat.services.channel.stream import CallRefused

if TYPE_CHECKING:
    from ziggurat.services.channel.channel import Channel
    from ziggurat.services.channel.stream import Stream

__all__ = ["Call"]

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

MAX_SENDS = 5
"""Connections tried for a request that was not sent, before the caller gets the error."""

CLIENT_STREAMING = (Cardinality.STREAM_UNARY, Cardinality.STREAM_STREAM)


class Call(GrpclibCall[SendT, RecvT]):
    """A call, as `Channel.request` returns it.

    A server may end a call before the client has ended its side (RFC 9113 8.1). grpclib then refuses to read the status
    ("outgoing stream was not ended"), and loses it if the connection has closed in the meantime.
    """

    if TYPE_CHECKING:
        _stream: Stream  # pyright: ignore[reportIncompatibleVariableOverride]
        _channel: Channel  # pyright: ignore[reportIncompatibleVariableOverride]

    async def send_request(self, *, end: bool = False) -> None:
        """Send the request headers, on a new connection if the current one no longer accepts calls."""
        for _ in range(MAX_SENDS - 1):
            try:
                return await self._send_request(end)
            except CallRefused:
                pass  # nothing was sent
        return await self._send_request(end)

    async def _send_request(self, end: bool) -> None:
        misused = self._send_request_done or (end and self._cardinality not in CLIENT_STREAMING)  # grpclib raises below
        if not misused and not self._channel.connected:
            await self._connect()
        await super().send_request(end=end)

    async def _connect(self) -> None:
        """Dial before grpclib asks for a connection, so that a deadline during the dial can report what it cut off.

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

    def lift_limits(self) -> None:
        """Let messages have the full size; see `Endpoint`. The request must have been sent."""
        self._stream.lift_limits()

    def discard_received(self) -> None:
        """Let go of what has arrived, and of what still does: nobody will read it."""
        if self._send_request_done:
            self._stream.discard_received()

    async def recv_trailing_metadata(self) -> None:
        """Wait for the status.

        Raises:
            GRPCError: the status is not OK.
            grpclib.exceptions.ProtocolError: neither side has ended.
        """
        end_done = self._end_done
        if self._send_request_done and self._stream.ended:
            self._end_done = True  # the peer would not read what we send
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
