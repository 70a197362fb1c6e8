"""A stream of whole messages, both ways; an inbound and an outbound one look the same."""

from __future__ import annotations

import enum
from typing import Protocol

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from ziggurat.node.wire.codec import MessageTooLarge, Wanted
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.services.channel import MessageSizeError
from ziggurat.services.errors import one_line

__all__ = ["MESSAGE_STREAM", "LossReason", "MessageStream", "StreamLost", "stream_lost"]


MESSAGE_STREAM = "/protowire.P2P/MessageStream"
"""``:path`` of the one gRPC method of the network: a stream of `KaspadMessage` both ways, for as long as the peers stay
connected. It is the only place where kaspad's package name is seen on the wire, and it must not be ours."""


class LossReason(enum.Enum):
    """Why a stream was lost."""

    BUSY = "the peer has too much to do (gRPC's RESOURCE_EXHAUSTED)"
    STATUS = "the peer ended it with another gRPC status"
    RESET = "it was reset, or the connection was lost"
    TOO_LARGE = "a message was larger than it may be"
    MALFORMED = "a message was not protobuf, or broke gRPC's rules"


class StreamLost(Exception):
    """The stream is over, and not by a clean end. ``str`` is one line on why, ``reason`` the same for programs."""

    def __init__(self, text: str, reason: LossReason = LossReason.RESET) -> None:
        super().__init__(text)
        self.reason = reason


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
            StreamLost: the stream is over; every complete message was returned before.
        """
        ...

    def expect(self, wanted: Wanted, /) -> None:
        """Decode large messages only where ``wanted`` says so; others keep their type and nothing else."""
        ...

    async def aclose(self) -> None:
        """End our side, let sent data go out for a moment, and close. Does not raise."""
        ...


def stream_lost(error: Exception) -> StreamLost:
    """Map what grpclib raises on a stream."""
    if isinstance(error, MessageSizeError | MessageTooLarge):
        return StreamLost(_text(error), LossReason.TOO_LARGE)
    if isinstance(error, GRPCError):
        busy = error.status is Status.RESOURCE_EXHAUSTED
        return StreamLost(_text(error), LossReason.BUSY if busy else LossReason.STATUS)
    if isinstance(error, DecodeError):
        return StreamLost("a message is not protobuf", LossReason.MALFORMED)
    if isinstance(error, StreamTerminatedError):
        return StreamLost(_text(error), LossReason.RESET)
    return StreamLost(_text(error), LossReason.MALFORMED)


def _text(error: Exception) -> str:
    if isinstance(error, GRPCError):
        return one_line(f"{error.status.name}: {error.message}" if error.message else error.status.name)
    return one_line(str(error)) or type(error).__name__
