"""The stream of messages on a connection that a peer made."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TypeAlias

import anyio
from google.protobuf.message import DecodeError
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import H2Error

from ziggurat.node.wire.codec import MessageCodec, MessageTooLarge, Wanted
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import StreamLost
from ziggurat.services.errors import one_line

__all__ = ["InboundStream", "ServerStream"]

ServerStream: TypeAlias = "Stream[KaspadMessage, KaspadMessage]"


class InboundStream:
    """A `MessageStream`. The server's handler opens it, and waits in `finished` until the node is done with it."""

    def __init__(self, stream: ServerStream, codec: MessageCodec) -> None:
        self._stream = stream
        self._codec = codec  # the connection's
        self._done = anyio.Event()

    async def open(self) -> None:
        """Send the response headers. First of all: kaspad sends nothing before it has them.

        Raises:
            StreamLost: the peer has gone.
        """
        try:
            await self._stream.send_initial_metadata()
        except (GRPCError, ProtocolError, StreamTerminatedError, H2Error) as error:
            raise StreamLost(_story(error)) from error

    async def finished(self) -> None:
        """Wait for `aclose`. grpclib cancels the wait when the peer resets the stream or the connection is lost."""
        try:
            await self._done.wait()
        except CancelledError:
            # What the peer said before it went can still be read, in the router's own task. But nothing can be sent:
            # without this, grpclib tries to send trailers and logs that it could not.
            await self._stream.cancel()
            raise

    async def send(self, message: KaspadMessage, /) -> None:
        try:
            await self._stream.send_message(message)
        except (GRPCError, ProtocolError, StreamTerminatedError, H2Error) as error:
            raise StreamLost(_story(error)) from error

    async def receive(self) -> KaspadMessage | None:
        try:
            return await self._stream.recv_message()
        except (GRPCError, ProtocolError, StreamTerminatedError, DecodeError, AssertionError) as error:
            raise StreamLost(_story(error)) from error

    def expect(self, wanted: Wanted, /) -> None:
        self._codec.wanted = wanted

    def finish(self) -> None:
        """Let the handler end the stream with its trailers."""
        self._done.set()

    async def aclose(self) -> None:
        self.finish()


def _story(error: Exception) -> str:
    if isinstance(error, GRPCError):
        return one_line(f"{error.status.name}: {error.message}" if error.message else error.status.name)
    if isinstance(error, DecodeError):
        return one_line(str(error)) if isinstance(error, MessageTooLarge) else "a message is not protobuf"
    return one_line(str(error)) or type(error).__name__
