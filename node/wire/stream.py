"""What the node needs of a connection: whole messages, both ways. A dialled one and an accepted one look the same."""

from __future__ import annotations

from typing import Protocol

from ziggurat.node.wire.codec import Wanted
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["MessageStream", "StreamLost"]


class StreamLost(Exception):
    """The connection is over, and not by a clean end. ``str`` is one line on why.

    Attributes:
        busy: the peer said, before any message, that it has too much to do (gRPC's RESOURCE_EXHAUSTED).
    """

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


class MessageStream(Protocol):
    """One stream of messages. One task sends, one receives, and `aclose` may be called by a third."""

    async def send(self, message: KaspadMessage, /) -> None:
        """Send one message, as fast as the peer takes it.

        Raises:
            StreamLost: nothing can be sent any more.
        """
        ...

    async def receive(self) -> KaspadMessage | None:
        """Return the next message, or ``None`` when the peer has ended its side. A cancelled wait loses nothing.

        Raises:
            StreamLost: the connection is over; every message that came whole was returned before.
        """
        ...

    def expect(self, wanted: Wanted, /) -> None:
        """Read large messages only where ``wanted`` says so; of the others there is the type, and nothing in it."""
        ...

    async def aclose(self) -> None:
        """End our side, let what was sent go out for a moment, and close. Does not raise."""
        ...
