"""The stream of messages on a connection that a peer made."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable

import anyio
from google.protobuf.message import DecodeError
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import H2Error

from ziggurat.node.address import NetAddress
from ziggurat.node.wire import KaspadMessage, MessageCodec, Wanted, stream_lost

__all__ = ["InboundStream"]


class InboundStream:
    """A `MessageStream`. The server's handler opens it, and waits in `wait_closed` until the node is done with it.

    Args:
        stream: grpclib's.
        codec: of the connection.
        address: where the peer comes from.
        release: gives back the permit of a handshake under way; called once.

    Attributes:
        address: see above.
    """

    def __init__(
        self,
        stream: Stream[KaspadMessage, KaspadMessage],
        codec: MessageCodec,
        address: NetAddress,
        release: Callable[[], None],
    ) -> None:
        self.address = address
        self._stream = stream
        self._codec = codec
        self._release: Callable[[], None] | None = release
        self._done = anyio.Event()

    async def open(self) -> None:
        """Send the response headers. This comes first: kaspad sends nothing before it has them.

        Raises:
            StreamLost: the peer has left.
        """
        try:
            await self._stream.send_initial_metadata()
        except (GRPCError, ProtocolError, StreamTerminatedError, H2Error) as error:
            raise stream_lost(error) from error

    def handshake_over(self) -> None:
        """Let the next peer shake hands. Further calls have no effect."""
        if self._release is not None:
            release, self._release = self._release, None
            release()

    async def wait_closed(self) -> None:
        """Wait for `aclose`. grpclib cancels the wait when the peer resets the stream or the connection is lost."""
        try:
            await self._done.wait()
        except CancelledError:
            # What the peer sent before it left can still be read, in the router's own task. But nothing can be sent:
            # without this, grpclib tries to send trailers and logs that it could not.
            await self._stream.cancel()
            raise

    async def send(self, message: KaspadMessage, /) -> None:
        try:
            await self._stream.send_message(message)
        except (GRPCError, ProtocolError, StreamTerminatedError, H2Error) as error:
            raise stream_lost(error) from error

    async def receive(self) -> KaspadMessage | None:
        try:
            return await self._stream.recv_message()
        except (GRPCError, ProtocolError, StreamTerminatedError, DecodeError, AssertionError) as error:
            raise stream_lost(error) from error

    def expect(self, wanted: Wanted, /) -> None:
        self._codec.wanted = wanted

    def finish(self) -> None:
        """Let the handler end the stream with its trailers."""
        self._done.set()

    async def aclose(self) -> None:
        self.finish()
