"""The stream of messages on a connection that we made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from google.protobuf.message import DecodeError
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from ziggurat.node.handshake import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.wire import MESSAGE_STREAM, KaspadMessage, LossReason, MessageCodec, Wanted, stream_lost

if TYPE_CHECKING:
    from ziggurat.services.channel import Channel

__all__ = ["OutboundStream"]

HEADERS_TIMEOUT = 10.0
"""Seconds to the response headers, as in kaspad's client. The stream itself never has a deadline."""

HALF_CLOSE_TIMEOUT = 0.5
"""Seconds for the peer to end its side after we have ended ours. A GOAWAY right behind our last message makes some
servers drop the message."""


class OutboundStream:
    """A `MessageStream`; made by `ConnectionHandler.connect`. It owns the channel."""

    def __init__(self, channel: Channel, codec: MessageCodec) -> None:
        self._codec = codec  # the channel's
        self._channel = channel
        # Without a deadline: the stream lasts as long as the peers stay connected.
        self._call = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)

    async def open(self) -> None:
        """Request the stream, and wait for the peer's response headers.

        Raises:
            HandshakeError: the peer refused, hung up, or did not answer within `HEADERS_TIMEOUT`.
        """
        # Not as a block: the call lasts as long as the peer, and the end of a block waits for it, or resets it.
        await self._call.__aenter__()
        try:
            with anyio.move_on_after(HEADERS_TIMEOUT):
                await self._call.send_request()
                await self._call.recv_initial_metadata()
                return
        except (GRPCError, ProtocolError, StreamTerminatedError, AssertionError) as error:
            raise _not_opened(error) from error
        raise HandshakeTimeout(HEADERS_TIMEOUT, "response headers", silent=True)

    async def send(self, message: KaspadMessage, /) -> None:
        try:
            await self._call.send_message(message)
        except (GRPCError, ProtocolError, StreamTerminatedError) as error:
            raise stream_lost(error) from error

    async def receive(self) -> KaspadMessage | None:
        try:
            message = await self._call.recv_message()
            if message is None:
                await self._call.recv_trailing_metadata()  # raises where the status is not OK
            return message
        except (GRPCError, ProtocolError, StreamTerminatedError, DecodeError, AssertionError) as error:
            raise stream_lost(error) from error

    def expect(self, wanted: Wanted, /) -> None:
        self._codec.wanted = wanted

    async def aclose(self) -> None:
        try:
            with anyio.move_on_after(HALF_CLOSE_TIMEOUT):
                await self._call.end()
                while await self._call.recv_message() is not None:
                    pass
        except Exception:
            pass  # it was never opened, or has ended already
        await self._channel.aclose()


def _not_opened(error: Exception) -> HandshakeError:
    lost = stream_lost(error)
    if lost.reason is LossReason.BUSY:
        return HandshakeError(Kind.BUSY, str(lost), by_peer=True, hint="try again in a while")
    if isinstance(error, GRPCError) and error.status is Status.UNIMPLEMENTED:
        return HandshakeError(Kind.REJECTED, "it knows no Kaspa P2P stream", by_peer=True, hint="is this a P2P port?")
    return HandshakeError(Kind.CLOSED, str(lost), by_peer=True)
