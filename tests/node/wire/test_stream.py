"""grpclib's exceptions on a stream become one error with a reason."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from ziggurat.node.wire.codec import MessageTooLarge
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, RejectMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM, LossReason, StreamLost, stream_lost
from ziggurat.services.channel import MessageSizeError


def test_a_lost_stream_was_reset_by_default() -> None:
    assert str(StreamLost("gone")) == "gone"
    assert StreamLost("gone").reason is LossReason.RESET


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (GRPCError(Status.RESOURCE_EXHAUSTED, "later"), LossReason.BUSY, "RESOURCE_EXHAUSTED: later"),
        (GRPCError(Status.INTERNAL), LossReason.STATUS, "INTERNAL"),
        # A peer may quote our own setting: the type decides, not the text.
        (GRPCError(Status.RESOURCE_EXHAUSTED, "max_message_size"), LossReason.BUSY, "max_message_size"),
        (MessageSizeError(Status.RESOURCE_EXHAUSTED, "too large"), LossReason.TOO_LARGE, "too large"),
        (MessageTooLarge("a message ping of 9 bytes"), LossReason.TOO_LARGE, "a message ping of 9 bytes"),
        (DecodeError("odd"), LossReason.MALFORMED, "a message is not protobuf"),
        (ProtocolError("odd"), LossReason.MALFORMED, "odd"),
        (StreamTerminatedError("reset\nby peer"), LossReason.RESET, "reset by peer"),
        (StreamTerminatedError(), LossReason.RESET, "StreamTerminatedError"),
    ],
)
def test_each_error_has_its_reason(error: Exception, reason: LossReason, text: str) -> None:
    lost = stream_lost(error)

    assert lost.reason is reason
    assert text in str(lost)


def test_the_path_is_kaspads() -> None:
    assert MESSAGE_STREAM == "/protowire.P2P/MessageStream"


def test_our_package_name_does_not_reach_the_wire() -> None:
    message = KaspadMessage(reject=RejectMessage(reason="LOOPBACK_CONNECTION"), request_id=7)

    # Field 22, then field 1, then field 102: numbers and values, no names.
    assert message.SerializeToString() == b"\xb2\x01\x15\x0a\x13LOOPBACK_CONNECTION\xb0\x06\x07"


def test_an_unknown_payload_is_none_and_not_an_error() -> None:
    message = KaspadMessage.FromString(b"\xca\x07\x00")  # field 121, empty

    assert message.WhichOneof("payload") is None
