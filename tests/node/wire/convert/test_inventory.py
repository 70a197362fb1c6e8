from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert import inventory
from ziggurat.node.wire.convert.errors import MISSING, ConversionError

hashes = st.binary(min_size=32, max_size=32)


@given(hashes)
def test_a_single_hash_survives_a_round_trip(value: bytes) -> None:
    assert inventory.inv_relay_block_from_wire(inventory.inv_relay_block_to_wire(value)) == value
    assert inventory.transaction_not_found_to_wire(value).id.bytes == value


@given(st.lists(hashes, max_size=20))
def test_a_list_survives_a_round_trip_in_order(values: list[bytes]) -> None:
    expected = tuple(values)

    ids = [p2p_pb2.TransactionId(bytes=value) for value in values]
    assert tuple(inventory.inv_transactions_from_wire(p2p_pb2.InvTransactionsMessage(ids=ids))) == expected
    assert tuple(inventory.request_transactions_from_wire(p2p_pb2.RequestTransactionsMessage(ids=ids))) == expected
    assert inventory.request_relay_blocks_from_wire(inventory.request_relay_blocks_to_wire(values)) == expected


def test_an_announcement_without_a_hash_is_refused() -> None:
    with pytest.raises(ConversionError, match=MISSING):
        inventory.inv_relay_block_from_wire(p2p_pb2.InvRelayBlockMessage())


def test_more_than_131072_ids_are_refused() -> None:
    limit = inventory.MAX_TRANSACTION_IDS
    inv = p2p_pb2.InvTransactionsMessage(ids=[p2p_pb2.TransactionId(bytes=b"i" * 32)] * limit)
    assert sum(1 for _ in inventory.inv_transactions_from_wire(inv)) == limit == 131072
    inv.ids.add(bytes=b"i" * 32)
    request = p2p_pb2.RequestTransactionsMessage(ids=inv.ids)

    reason = "^Number of invs in tx inv message is over the limit$"
    with pytest.raises(ConversionError, match=reason):
        inventory.inv_transactions_from_wire(inv)
    with pytest.raises(ConversionError, match=reason):
        inventory.request_transactions_from_wire(request)


def test_one_malformed_entry_invalidates_a_list() -> None:
    with pytest.raises(ConversionError, match="Bytes size mismatch"):
        tuple(inventory.inv_transactions_from_wire(p2p_pb2.InvTransactionsMessage(ids=[p2p_pb2.TransactionId()])))
    with pytest.raises(ConversionError, match="Bytes size mismatch"):
        inventory.request_relay_blocks_from_wire(p2p_pb2.RequestRelayBlocksMessage(hashes=[p2p_pb2.Hash()]))
