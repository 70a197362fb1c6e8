"""A bidirectional stream of messages. Inbound and outbound streams have the same interface."""

from __future__ import annotations

import enum
from typing import Protocol

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from ziggurat.node.wire.codec import MessageTooLarge, Wanted
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.services.channel import MessageSizeError
from ziggurat.services.errors import one_line

__all__ = ["MESSAGE_STREAM", "STREAM_ENDED", "LossReason", "MessageStream", "StreamLost", "stream_lost"]


MESSAGE_STREAM = "/protowire.P2P/MessageStream"
"""The ``:path`` of the network's only gRPC method, a bidirectional stream of `KaspadMessage` that lasts as long as the
connection. Only here does a package name appear on the wire, and it must be kaspad's, not ours."""


STREAM_ENDED = (GRPCError, ProtocolError, StreamTerminatedError)
"""What sending raises on a stream that has ended."""


class LossReason(enum.Enum):
    """Why a stream was lost."""

    BUSY = "the peer is busy (gRPC's RESOURCE_EXHAUSTED)"
    STATUS = "the peer ended the stream with another gRPC status"
    RESET = "the stream was reset, or the connection was lost"
    TOO_LARGE = "a message was too large"
    MALFORMED = "a message was not protobuf, or broke gRPC's rules"


class StreamLost(Exception):
    """The stream did not end cleanly. ``str`` says why in one line; ``reason`` is the same for programs."""

    def __init__(self, text: str, reason: LossReason = LossReason.RESET) -> None:
        super().__init__(text)
        self.reason = reason


class MessageStream(Protocol):
    """A stream of messages. One task sends, one receives, and any task may call `aclose`."""

    @property
    def cost(self) -> int:
        """What the message that `receive` returned last takes in memory, in bytes, at most."""
        ...

    async def send(self, message: KaspadMessage, /) -> None:
        """Send a message, waiting until the peer has room for it.

        Raises:
            StreamLost: the stream is lost, and no more messages can be sent.
        """
        ...

    async def receive(self) -> KaspadMessage | None:
        """Return the next message, or ``None`` after the peer has ended its side. Cancelling loses no message.

        Raises:
            StreamLost: the stream is lost; all complete messages have been returned before.
        """
        ...

    def expect(self, wanted: Wanted, /) -> None:
        """Decode only messages that are small or wanted; of others, keep the type and response id only."""
        ...

    def lift_limits(self) -> None:
        """Let the peer send messages of the full size, now that it has completed the handshake."""
        ...

    async def aclose(self) -> None:
        """End our side, wait briefly for unsent data, and close the stream. Does not raise."""
        ...


def stream_lost(error: Exception) -> StreamLost:
    """Map an exception that a call raised."""
    if isinstance(error, GRPCError) and isinstance(error.__cause__, DecodeError):
        error = error.__cause__  # a message that came, and not a status
    if isinstance(error, MessageSizeError | MessageTooLarge):
        return StreamLost(_text(error), LossReason.TOO_LARGE)
    if isinstance(error, GRPCError):
        busy = error.status is Status.RESOURCE_EXHAUSTED
        return StreamLost(_text(error), LossReason.BUSY if busy else LossReason.STATUS)
    if isinstance(error, DecodeError):
        return StreamLost("a message is not protobuf", LossReason.MALFORMED)
    if isinstance(error, StreamTerminatedError):
        return StreamLost(_text(error), LossReason.RESET)
    if isinstance(error, ProtocolError):
        return StreamLost(_text(error), LossReason.MALFORMED)
    detail = one_line(f"what the peer sent cannot be read ({type(error).__name__}: {error})")
    return StreamLost(detail, LossReason.MALFORMED)


def _text(error: Exception) -> str:
    if isinstance(error, GRPCError):
        return one_line(f"{error.status.name}: {error.message}" if error.message else error.status.name)
    return one_line(str(error)) or type(error).__name__
