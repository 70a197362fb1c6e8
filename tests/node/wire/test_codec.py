"""Which messages are decoded, and which are not."""

from __future__ import annotations

import resource

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.codec import (
    CONTROL_SIZE,
    MAX_SIZES,
    PAYLOAD_NAMES,
    MessageCodec,
    MessageTooLarge,
    read_envelope,
)
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

PROOF = KaspadMessage(
    pruningPointProof=p2p.PruningPointProofMessage(
        headers=[p2p.PruningPointProofHeaderArray(headers=[p2p.BlockHeader()] * 100_000)]
    )
)


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([low])


def filler(data: bytes) -> bytes:
    """Return an unknown field, which protobuf keeps."""
    return b"\xfa\x3f" + varint(len(data)) + data


def decode(data: bytes, codec: MessageCodec | None = None) -> KaspadMessage:
    message = (codec or MessageCodec()).decode(data, KaspadMessage)
    assert isinstance(message, KaspadMessage)
    return message


@given(
    st.sampled_from(sorted(PAYLOAD_NAMES)),
    st.binary(max_size=300),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
def test_the_envelope_is_read_as_protobuf_reads_it(number: int, unknown: bytes, response: int, request: int) -> None:
    message = KaspadMessage(response_id=response, request_id=request)
    getattr(message, PAYLOAD_NAMES[number]).MergeFromString(filler(unknown))
    assert read_envelope(message.SerializeToString()) == (number, response)


@given(st.binary(max_size=200))
def test_garbage_is_a_decode_error_or_an_envelope(data: bytes) -> None:
    try:
        number, _ = read_envelope(data)
    except DecodeError:
        return
    assert number >= 0


def test_small_messages_are_always_decoded() -> None:
    codec = MessageCodec()
    codec.wanted = lambda name, response_id: False
    ping = KaspadMessage(ping=p2p.PingMessage(nonce=7))
    assert decode(ping.SerializeToString(), codec) == ping


def test_an_unexpected_message_keeps_its_type_and_id_only() -> None:
    codec, asked = MessageCodec(), []

    def wanted(name: str, response_id: int) -> bool:
        asked.append((name, response_id))
        return False

    codec.wanted = wanted
    PROOF.response_id = 9
    message = decode(PROOF.SerializeToString(), codec)
    PROOF.ClearField("response_id")
    assert asked == [("pruningPointProof", 9)]
    assert (message.WhichOneof("payload"), message.response_id) == ("pruningPointProof", 9)
    assert message.ByteSize() < 10


def test_an_expected_message_is_decoded() -> None:
    codec = MessageCodec()
    codec.wanted = lambda name, response_id: name == "pruningPointProof"
    assert decode(PROOF.SerializeToString(), codec) == PROOF


def test_an_unknown_payload_is_decoded_as_none() -> None:
    data = b"\xc2\x3e" + b"\x80\x80\x08" + bytes(131072)  # field 1000
    assert decode(data).WhichOneof("payload") is None


@pytest.mark.parametrize("name", sorted(MAX_SIZES))
def test_each_type_has_a_maximum_size(name: str) -> None:
    message = KaspadMessage()
    getattr(message, name).MergeFromString(filler(bytes(MAX_SIZES[name])))
    with pytest.raises(MessageTooLarge, match=name):
        decode(message.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a" + b"\xff" * 5 + bytes(CONTROL_SIZE),  # a length beyond the end
        b"\x0b" + bytes(CONTROL_SIZE),  # a group
        b"\xff" * 20 + bytes(CONTROL_SIZE),  # a varint that does not end
        b"\x12\x00" * CONTROL_SIZE,  # many empty payloads
    ],
)
def test_a_malformed_envelope_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_an_unexpected_message_of_empty_entries_is_not_expanded_in_memory() -> None:
    entries = b"\x0a\x00" * (8 * 1024 * 1024)  # 16 MiB; decoded, half a gigabyte
    data = b"\x8a\x03" + varint(len(entries)) + entries  # pruningPointProof
    assert PAYLOAD_NAMES[read_envelope(data)[0]] == "pruningPointProof"
    codec = MessageCodec()
    codec.wanted = lambda name, response_id: False
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode(data, codec)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
