from __future__ import annotations

from dataclasses import fields, replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.wire.convert.errors import MISSING, RANGE, ConversionError
from ziggurat.node.wire.convert.header import Header, header_from_wire, header_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockHeader, Hash

HASH = b"h" * 32
PLAIN = Header(2, ((HASH,),), HASH, HASH, HASH, 1, 2, 3, 4, 5, 6, HASH)


@settings(deadline=None)
@given(st.from_type(Header))
def test_a_header_comes_back(header: Header) -> None:
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


def test_each_hash_stands_in_its_own_field() -> None:
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

    with pytest.raises(ConversionError, match=RANGE):
        header_from_wire(message)
    with pytest.raises(ConversionError, match=RANGE):
        header_to_wire(replace(PLAIN, timestamp=-1))


def test_a_version_has_16_bits() -> None:
    message = header_to_wire(PLAIN)
    message.version = 65536

    with pytest.raises(ConversionError, match=RANGE):
        header_from_wire(message)


@pytest.mark.parametrize("field", ["version", "bits", "nonce", "daa_score", "blue_score", "timestamp"])
def test_a_number_that_does_not_fit_is_refused(field: str) -> None:
    with pytest.raises(ConversionError, match=RANGE):
        header_to_wire(replace(PLAIN, **{field: 2**64}))


@pytest.mark.parametrize(
    ("merkle_root", "utxo_commitment", "timestamp", "bits", "nonce", "daa_score", "hash"),
    [
        (
            "8ec898568c6801d13df4ee6e2a1b54b7e6236f671f20954f05306410518eeb32",
            "710f27df423e63aa6cdb72b89ea5a06cffa399d66f167704455b5af59def8e20",
            *(1_637_609_671_037, 486_722_099, 0x3392C, 1_312_860),
            "58c2d4199e21f910d1571d114969cecef48f09f934d42ccb6a281a15868f2999",
        ),
        (
            "1946d629f7e922a7bced59190521c3771f73d352ddbbb686564ad7fd56857c1b",
            "544eb3142c000f0ad2c76ac41f4222abbababed830eeafee4b6dc56b52d5cac0",
            *(1_633_687_894_966, 0x207FFFFF, 2, 0),
            "411f8cd26f3d41aea39e78573927da24d23995705b579f30959b9127e96b79e3",
        ),
    ],
    ids=["mainnet", "simnet"],
)
def test_genesis_blocks_have_the_hashes_that_the_networks_know(
    merkle_root: str, utxo_commitment: str, timestamp: int, bits: int, nonce: int, daa_score: int, hash: str
) -> None:
    genesis = Header(
        version=0,
        parents=(),
        hash_merkle_root=bytes.fromhex(merkle_root),
        accepted_id_merkle_root=bytes(32),
        utxo_commitment=bytes.fromhex(utxo_commitment),
        timestamp=timestamp,
        bits=bits,
        nonce=nonce,
        daa_score=daa_score,
        blue_work=0,
        blue_score=0,
        pruning_point=bytes(32),
    )

    assert genesis.hash.hex() == hash


@pytest.mark.parametrize("field", [field.name for field in fields(Header)])
def test_every_field_changes_the_hash(field: str) -> None:
    value = getattr(PLAIN, field)
    other = value + 1 if isinstance(value, int) else ((HASH,), (HASH,)) if field == "parents" else b"x" * 32

    assert replace(PLAIN, **{field: other}).hash != PLAIN.hash
