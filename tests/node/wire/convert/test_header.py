from __future__ import annotations

from dataclasses import fields, replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.wire.convert.errors import MISSING, OUT_OF_RANGE, ConversionError
from ziggurat.node.wire.convert.header import Header, header_from_wire, header_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockHeader, Hash

HASH = b"h" * 32
PLAIN = Header(2, ((HASH,),), HASH, HASH, HASH, 1, 2, 3, 4, 5, 6, HASH)


@settings(deadline=None)
@given(st.from_type(Header))
def test_a_header_survives_a_round_trip(header: Header) -> None:
    message = BlockHeader.FromString(header_to_wire(header).SerializeToString())

    assert header_from_wire(message) == header


@pytest.mark.parametrize("field", ["hashMerkleRoot", "acceptedIdMerkleRoot", "utxoCommitment", "pruningPoint"])
def test_an_absent_hash_is_refused(
    field: Literal["hashMerkleRoot", "acceptedIdMerkleRoot", "utxoCommitment", "pruningPoint"],
) -> None:
    message = header_to_wire(PLAIN)
    message.ClearField(field)

    with pytest.raises(ConversionError, match=MISSING):
        header_from_wire(message)


def test_each_hash_has_its_own_field() -> None:
    message = BlockHeader(
        hashMerkleRoot=Hash(bytes=b"1" * 32),
        acceptedIdMerkleRoot=Hash(bytes=b"2" * 32),
        utxoCommitment=Hash(bytes=b"3" * 32),
        pruningPoint=Hash(bytes=b"4" * 32),
        bits=5,
        nonce=6,
        daaScore=7,
        blueScore=8,
        blueWork=b"\x09",
        timestamp=10,
        version=11,
    )
    expected = Header(11, (), b"1" * 32, b"2" * 32, b"3" * 32, 10, 5, 6, 7, 9, 8, b"4" * 32)

    assert header_from_wire(message) == expected
    assert header_to_wire(expected) == message


def test_a_negative_timestamp_is_refused_both_ways() -> None:
    message = header_to_wire(PLAIN)
    message.timestamp = -1

    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        header_from_wire(message)
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        header_to_wire(replace(PLAIN, timestamp=-1))


def test_a_version_has_16_bits() -> None:
    message = header_to_wire(PLAIN)
    message.version = 65536

    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        header_from_wire(message)


@pytest.mark.parametrize("field", ["version", "bits", "nonce", "daa_score", "blue_score", "timestamp"])
def test_a_number_that_does_not_fit_is_refused(field: str) -> None:
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        header_to_wire(replace(PLAIN, **{field: 2**64}))


def hashes(text: str) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, text.split()))


def test_the_hash_of_mainnets_genesis_block_is_known() -> None:
    merkle_root, utxo_commitment = hashes(
        "8ec898568c6801d13df4ee6e2a1b54b7e6236f671f20954f05306410518eeb32 "
        "710f27df423e63aa6cdb72b89ea5a06cffa399d66f167704455b5af59def8e20"
    )
    zero = bytes(32)
    header = Header(0, (), merkle_root, zero, utxo_commitment, 1637609671037, 486722099, 211244, 1312860, 0, 0, zero)

    assert header.hash.hex() == "58c2d4199e21f910d1571d114969cecef48f09f934d42ccb6a281a15868f2999"


def test_the_hash_of_a_block_with_parents_on_two_levels_is_known() -> None:
    """One of the blocks that kaspad was tested with: no two of its fields are equal."""
    first, second, merkle_root, accepted_id_merkle_root, utxo_commitment, pruning_point = hashes(
        "24947bb2900ec3e33b5633070a65998d385e565f2d1c567fc7984d299b1e2e0f "
        "115c2165588b77cff3216ae42b9cef0469eb55e3074252d1f3008c8893ee6be3 "
        "e23134b15883ba18ed205b42cb0cb57689b0aac1d558b306a86228cd5c714226 "
        "60c11f95f917a1943be3ea8d10c89f717d56cbf6dca8b510ca185ba6c2f9e7ab "
        "a835da94915b193d2d36f3cf36957625ebadfcc86c35b0c26d8e9d451c355ebe "
        "4cb48d0b2073b802360145a15ad1abdc01d89b5c2fe4722630ab9b5fe9dfc4f2"
    )
    header = Header(
        version=2,
        parents=((first, second), (second,)),
        hash_merkle_root=merkle_root,
        accepted_id_merkle_root=accepted_id_merkle_root,
        utxo_commitment=utxo_commitment,
        timestamp=1231006513094,
        bits=505527324,
        nonce=0,
        daa_score=4,
        blue_work=0x25F166,
        blue_score=5,
        pruning_point=pruning_point,
    )

    assert header.hash.hex() == "88e472275e5203607d59c5b554a8e7f0500487adf269d2a9deab692a9dda6747"


@pytest.mark.parametrize("field", [field.name for field in fields(Header)])
def test_every_field_changes_the_hash(field: str) -> None:
    value = getattr(PLAIN, field)
    other = value + 1 if isinstance(value, int) else ((HASH,), (HASH,)) if field == "parents" else b"x" * 32

    assert replace(PLAIN, **{field: other}).hash != PLAIN.hash
