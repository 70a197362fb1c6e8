"""Which messages are decoded, and which are not."""

from __future__ import annotations

import resource

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.flows.consensus_reject import ConsensusReject
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.codec import (
    LIMITS,
    PAYLOAD_NAMES,
    SMALL,
    MessageCodec,
    MessageTooLarge,
    read_envelope,
)
from ziggurat.node.wire.cost import MESSAGE_COST, WORST_FACTOR
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


@pytest.mark.parametrize(
    "unknown", [b"\xfd\x3f1234", b"\xf9\x3f12345678", b"\xfb\x3f\x08\x01\xfc\x3f", b"\xf8\x3f\x01", b"\xfa\x3f\x01x"]
)
def test_unknown_fields_of_any_kind_beside_the_payload_are_skipped(unknown: bytes) -> None:
    message = KaspadMessage(response_id=7, reject=p2p.RejectMessage(reason="x" * SMALL))
    data = unknown + message.SerializeToString() + unknown
    assert read_envelope(data) == (22, 7)
    assert decode(data).reject == message.reject


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


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_each_type_has_a_maximum_size(name: str) -> None:
    message = KaspadMessage()
    getattr(message, name).MergeFromString(filler(bytes(LIMITS[name].size)))
    with pytest.raises(MessageTooLarge, match=name):
        decode(message.SerializeToString())


@pytest.mark.parametrize("name", ["addresses", "invTransactions", "requestTransactions", "requestRelayBlocks"])
def test_each_list_has_a_maximum_number_of_entries(name: str) -> None:
    def message(entries: int) -> bytes:
        body = b"\x0a\x00" * entries
        return varint(KaspadMessage.DESCRIPTOR.fields_by_name[name].number << 3 | 2) + varint(len(body)) + body

    most = LIMITS[name].entries
    assert decode(message(most)).WhichOneof("payload") == name
    with pytest.raises(MessageTooLarge, match=f"^a {name} message of .* bytes has more than {most} entries$"):
        decode(message(most + 1))


def test_entries_count_on_all_levels() -> None:
    key = p2p.ScriptPublicKey(script=bytes(34))
    outputs = [p2p.TransactionOutput(value=1, scriptPublicKey=key)] * 100
    transaction = p2p.TransactionMessage(outputs=outputs)
    most = LIMITS["block"].entries // 101
    allowed = p2p.BlockMessage(transactions=[transaction] * most)
    assert len(decode(KaspadMessage(block=allowed).SerializeToString()).block.transactions) == most
    with pytest.raises(MessageTooLarge, match=r"a block message of .* entries"):
        decode(KaspadMessage(block=p2p.BlockMessage(transactions=[transaction] * (most + 1))).SerializeToString())


def test_a_list_of_another_type_is_limited_by_its_memory() -> None:
    with pytest.raises(MessageTooLarge, match=r"a pruningPointProof message of .* bytes of memory"):
        decode(b"\x8a\x03" + varint(2 << 20) + b"\x0a\x00" * (1 << 20))


def test_a_message_that_takes_long_to_count_is_too_large() -> None:
    with pytest.raises(MessageTooLarge, match=r"an? addresses message of .* fields"):
        decode(b"\x0a" + varint(80_000) + b"\x78\x00" * 40_000)


def test_all_that_the_flow_rejects_has_a_limit() -> None:
    assert set(ConsensusReject.types) <= set(LIMITS)


@pytest.mark.parametrize("entries", [1, SMALL // 2 - 3, SMALL, 1000])
def test_the_cost_of_a_message_is_known(entries: int) -> None:
    codec = MessageCodec()
    message = KaspadMessage(requestRelayBlocks=p2p.RequestRelayBlocksMessage(hashes=[p2p.Hash()] * entries))
    data = message.SerializeToString()
    decode(data, codec)
    assert MESSAGE_COST + 40 * entries <= codec.cost <= MESSAGE_COST + WORST_FACTOR * len(data)
    codec.wanted = lambda name, response_id: False
    decode(data, codec)
    if len(data) > SMALL:
        assert codec.cost == MESSAGE_COST


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a" + b"\xff" * 5 + bytes(SMALL),  # a length beyond the end
        b"\x0b" + bytes(SMALL),  # a group
        b"\xff" * 20 + bytes(SMALL),  # a varint that does not end
        b"\x12\x00" * SMALL,  # many empty payloads
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
