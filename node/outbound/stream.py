"""The stream of messages on a connection that we made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from google.protobuf.message import DecodeError
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.wire.codec import MessageCodec, MessageTooLarge, Wanted
from ziggurat.node.wire.service import MESSAGE_STREAM, KaspadMessage
from ziggurat.node.wire.stream import StreamLost
from ziggurat.services.errors import one_line
from ziggurat.services.ledger import Ledger

if TYPE_CHECKING:
    from ziggurat.services.channel import Channel

__all__ = ["OutboundStream"]

HALF_CLOSE_TIMEOUT = 0.5
"""Seconds that a peer has to end its side when we have ended ours. A GOAWAY right behind our last message makes some
servers drop the message."""


class OutboundStream:
    """A `MessageStream`; made by `ConnectionHandler.connect`, which owns the channel until the peer is known.

    Attributes:
        ledger: the record of the dial.
    """

    def __init__(self, channel: Channel, ledger: Ledger, codec: MessageCodec) -> None:
        self.ledger = ledger
        self._codec = codec  # the channel's
        self._channel = channel
        # Without a deadline: the stream lasts as long as the two stay together.
        self._call = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)

    async def open(self) -> None:
        """Ask for the stream, and wait for the peer's response headers.

        Raises:
            HandshakeError: the peer said no, or hung up.
        """
        # Not as a block: it lasts as long as the peer, and a block's end waits for the peer's, or resets the stream.
        await self._call.__aenter__()
        try:
            await self._call.send_request()
            await self._call.recv_initial_metadata()
        except (GRPCError, ProtocolError, StreamTerminatedError, AssertionError) as error:
            raise _not_opened(error) from error

    async def send(self, message: KaspadMessage, /) -> None:
        try:
            await self._call.send_message(message)
        except (GRPCError, ProtocolError, StreamTerminatedError) as error:
            raise StreamLost(_story(error)) from error

    async def receive(self) -> KaspadMessage | None:
        try:
            message = await self._call.recv_message()
            if message is None:
                await self._call.recv_trailing_metadata()  # raises where the status is not OK
            return message
        except (GRPCError, ProtocolError, StreamTerminatedError, DecodeError, AssertionError) as error:
            raise StreamLost(_story(error), busy=_busy(error)) from error

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


def _busy(error: Exception) -> bool:
    # Of the peer, not ours: a message beyond our own limit has the same status.
    return (
        isinstance(error, GRPCError)
        and error.status is Status.RESOURCE_EXHAUSTED
        and "max_message_size" not in (error.message or "")
    )


def _not_opened(error: Exception) -> HandshakeError:
    if _busy(error):
        return HandshakeError(Kind.BUSY, _story(error), by_peer=True, hint="try again in a while")
    if isinstance(error, GRPCError) and error.status is Status.UNIMPLEMENTED:
        return HandshakeError(Kind.REJECTED, "it knows no Kaspa P2P stream", by_peer=True, hint="is this a P2P port?")
    return HandshakeError(Kind.CLOSED, _story(error), by_peer=True)


def _story(error: Exception) -> str:
    if isinstance(error, GRPCError):
        return one_line(f"{error.status.name}: {error.message}" if error.message else error.status.name)
    if isinstance(error, DecodeError):
        return one_line(str(error)) if isinstance(error, MessageTooLarge) else "a message is not protobuf"
    return one_line(str(error)) or type(error).__name__
