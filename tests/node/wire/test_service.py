from __future__ import annotations

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.service import MESSAGE_STREAM, KaspadMessage


def test_the_path_is_the_one_that_kaspad_serves() -> None:
    assert MESSAGE_STREAM == "/protowire.P2P/MessageStream"


def test_the_message_is_the_generated_one() -> None:
    assert KaspadMessage is p2p_pb2.KaspadMessage


def test_our_package_name_does_not_reach_the_wire() -> None:
    message = KaspadMessage(reject=p2p_pb2.RejectMessage(reason="LOOPBACK_CONNECTION"), request_id=7)

    # Field 22, then field 1, then field 102: numbers and values, nothing of names.
    assert message.SerializeToString() == b"\xb2\x01\x15\x0a\x13LOOPBACK_CONNECTION\xb0\x06\x07"


def test_an_unknown_payload_reads_as_none_and_is_not_an_error() -> None:
    message = KaspadMessage.FromString(b"\xca\x07\x00")  # field 121, of no bytes

    assert message.WhichOneof("payload") is None
