from __future__ import annotations

from dataclasses import replace
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
@given(st.from_type(Header), st.booleans())
def test_a_header_comes_back_in_both_forms(header: Header, runs: bool) -> None:
    message = BlockHeader.FromString(header_to_wire(header, runs=runs).SerializeToString())

    assert header_from_wire(message, runs=runs) == header


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
