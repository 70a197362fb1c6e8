"""The message stream of an inbound connection."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ziggurat.node.address import AddressNetwork, NetAddress
from ziggurat.node.inbound.request import Call
from ziggurat.node.wire import STREAM_ENDED, KaspadMessage, MessageCodec, Wanted, stream_lost

__all__ = ["InboundStream"]


class InboundStream:
    """A `MessageStream`. The server's handler opens it, then waits in `wait_closed` until the node closes it.

    Args:
        stream: the call.
        codec: the connection's codec.
        address: the address that the peer connects from.
        release: called once, when the handshake is over; frees its place.
        proxied: whether the address is that of a proxy that the peer comes through.
        onion: whether it came in by our onion service, and so through Tor.
        network: the network that the peer comes from; ``None`` is the address's own.

    Attributes:
        address: as above.
        proxied: as above.
        onion: as above.
        network: as above.
    """

    def __init__(
        self,
        stream: Call,
        codec: MessageCodec,
        address: NetAddress,
        release: Callable[[], None],
        *,
        proxied: bool = False,
        onion: bool = False,
        network: AddressNetwork | None = None,
    ) -> None:
        self.address = address
        self.network = address.network if network is None else network
        self.proxied = proxied
        self.onion = onion
        self._stream = stream
        self._codec = codec
        self._release: Callable[[], None] | None = release
        self._done = anyio.Event()

    async def open(self) -> None:
        """Send the response headers. Must come first: kaspad sends nothing before it has them.

        Raises:
            StreamLost: the stream or the connection has ended.
        """
        try:
            await self._stream.send_initial_metadata()
        except STREAM_ENDED as error:
            raise stream_lost(error) from error

    def handshake_over(self) -> None:
        """Free this handshake's place for the next one. Further calls have no effect."""
        if self._release is not None:
            release, self._release = self._release, None
            release()

    async def wait_closed(self) -> None:
        """Wait for `aclose`. The wait is cancelled when the peer resets the stream or the connection is lost.

        The router's own task can still read what the peer sent before.
        """
        await self._done.wait()

    async def send(self, message: KaspadMessage, /) -> None:
        try:
            await self._stream.send_message(message)
        except STREAM_ENDED as error:
            raise stream_lost(error) from error

    async def receive(self) -> KaspadMessage | None:
        try:
            return await self._stream.recv_message()
        except Exception as error:
            raise stream_lost(error) from error

    @property
    def cost(self) -> int:
        return self._codec.cost

    def expect(self, wanted: Wanted, /) -> None:
        self._codec.wanted = wanted

    def lift_limits(self) -> None:
        self._stream.lift_limits()

    def finish(self) -> None:
        """Let the handler end the stream by sending trailers."""
        self._done.set()

    async def aclose(self) -> None:
        self.finish()
        self._stream.discard_received()
