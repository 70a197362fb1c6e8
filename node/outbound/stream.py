"""The message stream of an outbound connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from ziggurat.node.handshake import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.peer import Tunnel
from ziggurat.node.wire import (
    MESSAGE_STREAM,
    STREAM_ENDED,
    KaspadMessage,
    LossReason,
    MessageCodec,
    Wanted,
    stream_lost,
)

if TYPE_CHECKING:
    from ziggurat.services.channel import Channel

__all__ = ["OutboundStream"]

HEADERS_TIMEOUT = 10.0
"""Seconds to wait for the response headers, as in kaspad's client. The stream itself has no deadline."""

HALF_CLOSE_TIMEOUT = 0.5
"""Seconds for the peer to end its side of the stream after we have ended ours. Some servers drop the last message when
a GOAWAY follows right behind it."""


class OutboundStream:
    """A `MessageStream`, made by `ConnectionHandler.connect`. It owns its channel.

    Attributes:
        tunnel: how it goes through the proxy; ``None`` when direct.
    """

    def __init__(self, channel: Channel, codec: MessageCodec, tunnel: Tunnel | None = None) -> None:
        self.tunnel = tunnel
        self._codec = codec  # the channel's codec
        self._channel = channel
        # No deadline: the stream lasts as long as the peers are connected.
        self._call = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)

    async def open(self) -> None:
        """Request the stream, and wait for the peer's response headers.

        Raises:
            HandshakeError: the peer refused, hung up, or sent no headers within `HEADERS_TIMEOUT`.
        """
        # No `async with`: the call outlives this method, and leaving the block would wait for it or reset it.
        await self._call.__aenter__()
        try:
            with anyio.move_on_after(HEADERS_TIMEOUT):
                await self._call.send_request()
                await self._call.recv_initial_metadata()
                return
        except Exception as error:  # grpclib has many for headers that it cannot read
            raise _not_opened(error) from error
        raise HandshakeTimeout(HEADERS_TIMEOUT, "response headers", silent=True)

    async def send(self, message: KaspadMessage, /) -> None:
        try:
            await self._call.send_message(message)
        except STREAM_ENDED as error:
            raise stream_lost(error) from error

    async def receive(self) -> KaspadMessage | None:
        try:
            message = await self._call.recv_message()
            if message is None:
                await self._call.recv_trailing_metadata()  # raises where the status is not OK
            return message
        except Exception as error:
            raise stream_lost(error) from error

    @property
    def cost(self) -> int:
        return self._codec.cost

    def expect(self, wanted: Wanted, /) -> None:
        self._codec.wanted = wanted

    def lift_limits(self) -> None:
        self._call.lift_limits()

    async def aclose(self) -> None:
        try:
            with anyio.move_on_after(HALF_CLOSE_TIMEOUT):
                await self._call.end()
                while await self._call.recv_message() is not None:
                    pass
        except Exception:
            pass  # the stream was never opened, or has already ended
        self._call.discard_received()
        await self._channel.aclose()


def _not_opened(error: Exception) -> HandshakeError:
    lost = stream_lost(error)
    if lost.reason is LossReason.BUSY:
        return HandshakeError(Kind.BUSY, str(lost), by_peer=True, hint="try again later")
    if isinstance(error, GRPCError) and error.status is Status.UNIMPLEMENTED:
        return HandshakeError(Kind.REJECTED, "it has no Kaspa P2P service", by_peer=True, hint="is this its P2P port?")
    return HandshakeError(Kind.CLOSED, str(lost), by_peer=True)
