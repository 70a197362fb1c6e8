from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.wire.convert.errors import MISSING, ConversionError
from ziggurat.node.wire.convert.hashes import (
    hash_from_wire,
    hash_to_wire,
    hashes_from_wire,
    hashes_to_wire,
    subnetwork_id_from_wire,
    subnetwork_id_to_wire,
    transaction_id_from_wire,
    transaction_id_to_wire,
)
from ziggurat.node.wire.p2p_pb2 import Hash, SubnetworkId, TransactionId


@given(st.binary(max_size=80))
def test_a_hash_has_exactly_32_bytes_both_ways(value: bytes) -> None:
    if len(value) == 32:
        assert hash_from_wire(hash_to_wire(value)) == value
        assert transaction_id_from_wire(transaction_id_to_wire(value)) == value
        return
    for refused in (
        lambda: hash_from_wire(Hash(bytes=value)),
        lambda: hash_to_wire(value),
        lambda: transaction_id_from_wire(TransactionId(bytes=value)),
        lambda: transaction_id_to_wire(value),
    ):
        with pytest.raises(ConversionError, match="Bytes size mismatch error could not convert slice to array"):
            refused()


@given(st.binary(min_size=32, max_size=32))
def test_32_bytes_pass_unchanged(value: bytes) -> None:
    assert hash_from_wire(Hash(bytes=value)) == hash_to_wire(value).bytes == value
    assert transaction_id_from_wire(TransactionId(bytes=value)) == transaction_id_to_wire(value).bytes == value


@given(st.lists(st.binary(min_size=32, max_size=32)))
def test_a_list_keeps_its_order(values: list[bytes]) -> None:
    assert hashes_from_wire(hashes_to_wire(values)) == tuple(values)


def test_one_malformed_entry_invalidates_a_list() -> None:
    with pytest.raises(ConversionError):
        hashes_from_wire([Hash(bytes=b"a" * 32), Hash(bytes=b"a" * 31)])


def test_absent_and_empty_fields_are_different_errors() -> None:
    with pytest.raises(ConversionError, match=MISSING):
        hash_from_wire(Hash(), present=False)
    with pytest.raises(ConversionError, match=MISSING):
        transaction_id_from_wire(TransactionId(), present=False)
    with pytest.raises(ConversionError, match="size mismatch"):
        hash_from_wire(Hash())


@given(st.none() | st.binary(min_size=20, max_size=20))
def test_a_subnetwork_id_survives_a_round_trip_and_none_stays_absent(value: bytes | None) -> None:
    message = subnetwork_id_to_wire(value)

    assert (message is None) == (value is None)
    assert subnetwork_id_from_wire(message or SubnetworkId(), present=message is not None) == value


@given(st.binary(max_size=40).filter(lambda value: len(value) != 20))
def test_a_subnetwork_id_of_another_length_is_refused_and_so_is_an_empty_one(value: bytes) -> None:
    with pytest.raises(ConversionError, match="could not convert slice to array"):
        subnetwork_id_from_wire(SubnetworkId(bytes=value))
    with pytest.raises(ConversionError):
        subnetwork_id_to_wire(value)
